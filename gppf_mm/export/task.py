"""One task of a run, written as a checkpoint and a config of its stock library."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from gppf_mm.apis import check_checkpoint, init_model, order_tasks, read_checkpoint
from gppf_mm.engine.runner.checkpoints import replace_file
from gppf_mm.registry import MODELS
from gppf_mm.utils.loading import load_whole
from gppf_mm.utils.messages import check_names

from .config import export_config
from .meta import export_meta
from .weights import export_state_dict


@dataclass(frozen=True)
class ExportedTask:
    """What an export wrote.

    Attributes:
        checkpoint: The checkpoint, ``FILE.pth``.
        config: The stock config beside it, ``FILE.py``.
        scope: The library, as ``'mmdet'``.
        parameters: Values in the checkpoint.
        can_train: Whether the config holds the training too.
    """

    checkpoint: Path
    config: Path
    scope: str
    parameters: int
    can_train: bool


def export_task(
    cfg: Config, checkpoint: str | Path, task: str, out: str | Path
) -> ExportedTask:
    """Write one task as a plain checkpoint with its stock config beside it.

    Both files appear whole or not at all, and only after the stock model, built from
    the config that was written, has loaded the weights strictly.

    Args:
        cfg: The multi-task config.
        checkpoint: A checkpoint of a run with that config. If the run averages its
            weights (``EMAHook``), the file holds the average, and so will the export.
        task: The task.
        out: The file to write, ``FILE.pth``; the config becomes ``FILE.py``.

    Returns:
        What was written.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If there is no such task, ``out`` is no ``.pth`` file, the
            checkpoint is not of this config, or the task needs this package.
    """
    check_names("--task", [task], cfg.model.tasks)
    out = _check_out(out)
    stock = export_config(cfg, task)
    content = read_checkpoint(checkpoint)
    order_tasks(cfg, content)
    model = init_model(cfg)
    check_checkpoint(model, cfg, content, checkpoint)
    load_whole(model, content["state_dict"])
    state = export_state_dict(model, task)
    exported = dict(meta=export_meta(content, stock, task), state_dict=state)

    out.parent.mkdir(parents=True, exist_ok=True)
    new = out.with_stem(f"{out.stem}_new")
    written = (new, new.with_suffix(".py"))
    try:
        written[1].write_text(_header(stock, task, out) + stock.pretty_text)
        _verify(written[1], state)
        torch.save(exported, written[0])
        replace_file(str(written[1]), str(out.with_suffix(".py")))
        replace_file(str(written[0]), str(out))
    finally:
        for path in written:
            path.unlink(missing_ok=True)
    return ExportedTask(
        checkpoint=out,
        config=out.with_suffix(".py"),
        scope=stock.default_scope,
        parameters=sum(value.numel() for value in state.values()),
        can_train="train_cfg" in stock,
    )


def _check_out(out: str | Path) -> Path:
    out = Path(out)
    if out.suffix != ".pth" or "." in out.stem:
        raise ValueError(
            f"--out is {str(out)!r}; expected a name that ends in .pth and has no "
            "other dot, because the config is written beside it as NAME.py."
        )
    return out


def _verify(config: Path, state: Mapping[str, torch.Tensor]) -> None:
    """Load the weights into the stock model that the written config builds."""
    stock = Config.fromfile(config)
    with DefaultScope.overwrite_default_scope(stock.default_scope):
        model = MODELS.build(stock.model)
    try:
        load_whole(model, state)
    except RuntimeError as error:
        raise ValueError(
            f"The exported weights do not fit the stock model: {error} This is a "
            "defect of gppf_mm; please report it with the config."
        ) from error


def _header(stock: Config, task: str, out: Path) -> str:
    return (
        f"# Task {task!r} of a gppf_mm run, exported for {stock.default_scope}: "
        f"weights in {out.name}.\n"
    )
