"""The two files of an export: a stock checkpoint, and its config beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor

from gppf_mm.engine.runner.checkpoints import replace_file
from gppf_mm.registry import MODELS
from gppf_mm.utils.loading import load_whole


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


def check_out(out: str | Path) -> Path:
    """Return the path of the checkpoint to write.

    Raises:
        ValueError: If it is no name beside which a config could be written, or other
            files than those of an earlier export would be replaced.
    """
    out = Path(out)
    if out.suffix != ".pth" or "." in out.stem:
        raise ValueError(
            f"--out is {str(out)!r}; expected a name that ends in .pth and has no "
            "other dot, because the config is written beside it as NAME.py."
        )
    config = out.with_suffix(".py")
    there = next((path for path in (config, out) if path.exists()), None)
    if there is not None and not _is_export(config, out):
        raise ValueError(
            f"--out is {str(out)!r}, and {str(there)!r} is there and is not of an "
            "earlier export; an export replaces both NAME.pth and NAME.py. Choose "
            "another name, or remove the file."
        )
    return out


def _is_export(config: Path, out: Path) -> bool:
    """Return whether an export has written the config: its first line tells."""
    if not config.is_file():
        return False
    with config.open(errors="replace") as file:
        return file.readline().rstrip().endswith(_weights_in(out))


def _weights_in(out: Path) -> str:
    return f"weights in {out.name}."


def write_export(
    out: Path,
    stock: Config,
    state: Mapping[str, Tensor],
    meta: Mapping[str, Any],
    what: str,
) -> ExportedTask:
    """Write both files, whole or not at all.

    The stock model, built from the config that was written, has loaded the weights
    strictly before.

    Args:
        out: The checkpoint to write; see `check_out`.
        stock: The stock config.
        state: The stock state dict.
        meta: What the checkpoint says about itself.
        what: What is exported, for the config's first line.

    Returns:
        What was written.

    Raises:
        ValueError: If the weights do not fit.
    """
    scope = stock.default_scope
    header = f"# {what}, exported for {scope}: {_weights_in(out)}\n"
    out.parent.mkdir(parents=True, exist_ok=True)
    # In a folder of its own: two processes may export to one name at once.
    with TemporaryDirectory(prefix=f".{out.stem}_", dir=out.parent) as folder:
        new = Path(folder, out.name)
        new.with_suffix(".py").write_text(header + stock.pretty_text)
        _verify(new.with_suffix(".py"), state)
        torch.save(dict(meta=dict(meta), state_dict=state), new)
        replace_file(str(new.with_suffix(".py")), str(out.with_suffix(".py")))
        replace_file(str(new), str(out))
    parameters = sum(value.numel() for value in state.values())
    return ExportedTask(
        out, out.with_suffix(".py"), scope, parameters, "train_cfg" in stock
    )


def _verify(config: Path, state: Mapping[str, Tensor]) -> None:
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
