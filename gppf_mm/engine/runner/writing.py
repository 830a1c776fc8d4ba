"""Writing a checkpoint so that it is whole or absent."""

from collections.abc import Callable
from pathlib import Path

from mmengine.dist import barrier, is_main_process
from mmengine.optim import OptimWrapper
from torch import nn
from torch.distributed import checkpoint as dcp

from gppf_mm.engine.distributed import SIMTFullyShardedDataParallel
from gppf_mm.utils.sharded_files import COMMON, named_shards

from .checkpoints import remove, replace_file, replace_folder

Save = Callable[[str, str], None]


def write_checkpoint(
    out_dir: str,
    filename: str,
    save: Save,
    model: nn.Module,
    optim_wrapper: OptimWrapper | None,
    remote: bool,
) -> None:
    """Write a checkpoint, together on all ranks.

    Args:
        out_dir: The folder.
        filename: The checkpoint's name in it.
        save: MMEngine's way to save a checkpoint, of folder and file name.
        model: The model, in its wrapper.
        optim_wrapper: The wrapper of the optimizer to be saved too, or None.
        remote: Whether the folder is on no local disk, where nothing is replaced.

    Raises:
        OSError: If a local file cannot be written.
        ValueError: If shards are to be written to a remote folder.
    """
    if not isinstance(model, SIMTFullyShardedDataParallel):
        _write_file(out_dir, filename, save, remote)
    elif model.checkpoint == "full":
        optimizer = None if optim_wrapper is None else optim_wrapper.optimizer
        with model.state.whole(optimizer):
            _write_file(out_dir, filename, save, remote)
    elif remote:
        raise ValueError(
            f"`model_wrapper_cfg.checkpoint` is 'sharded', and {out_dir!r} is no local "
            "folder; expected a folder to which all ranks can write, or "
            "checkpoint='full'."
        )
    else:
        _write_folder(Path(out_dir, filename), save, model, optim_wrapper)


def _write_file(out_dir: str, filename: str, save: Save, remote: bool) -> None:
    if remote:
        save(out_dir, filename)
        return
    target = Path(out_dir, filename)
    written = Path(out_dir, f"{filename}.partial")
    try:
        save(out_dir, written.name)
    except (OSError, RuntimeError) as error:
        written.unlink(missing_ok=True)
        raise OSError(
            f"The checkpoint {str(target)!r} cannot be written "
            f"({type(error).__name__}: {error}). Is the disk full, or the folder "
            "read-only? The checkpoints before it are whole; make room and go on "
            "with --resume."
        ) from error
    if is_main_process():
        replace_file(str(written), str(target))


def _write_folder(
    target: Path,
    save: Save,
    model: SIMTFullyShardedDataParallel,
    optim_wrapper: OptimWrapper | None,
) -> None:
    written = target.with_name(f"{target.name}.partial")
    if is_main_process():
        remove(written)
        written.mkdir(parents=True)
    barrier()
    with model.state.left_out():
        save(str(written), COMMON)
    optimizer = None if optim_wrapper is None else optim_wrapper.optimizer
    shards = named_shards(model.module.state_dict(), optimizer)
    dcp.save(shards, storage_writer=dcp.FileSystemWriter(str(written)))
    if is_main_process():
        replace_folder(written, target)
