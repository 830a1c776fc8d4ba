"""Pretrained files as the first values of the shared parts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from mmengine.runner import CheckpointLoader
from torch import Tensor

from .network import LegoNetwork

_KEY = "model.lego.init.checkpoint"
_BACKBONE = "backbone."


def read_pretrained(
    checkpoint: str | Sequence[str] | None, network: LegoNetwork
) -> list[dict[str, Tensor]]:
    """Read pretrained values of the shared parts.

    Args:
        checkpoint: The local file, several, or None.
        network: The network whose bank they are for.

    Returns:
        For each file its values by the bank's names; heads are left out. A file that
        is listed again has the same values, not equal ones: what units start from in
        common, `LegoBank.fill` perturbs.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If this is neither a path nor a list of paths.
        ValueError: If there are more files than units, or one cannot be loaded, lacks
            a parameter of the bank or has it in another shape.
    """
    if checkpoint is None or isinstance(checkpoint, str):
        return [_read(_KEY, checkpoint, network)] if checkpoint else []
    if not isinstance(checkpoint, Sequence) or not all(
        isinstance(file, str) for file in checkpoint
    ):
        raise TypeError(
            f"`{_KEY}` is {checkpoint!r}; expected the path of a local checkpoint, a "
            "list of such paths, or None."
        )
    units = network.bank.num_units
    if len(checkpoint) > units:
        raise ValueError(
            f"`{_KEY}` lists {len(checkpoint)} files and the layers have {units} "
            "unit(s) at most; expected one file for each unit or fewer. Leave some "
            "out, or raise `model.lego.num_units`."
        )
    read: dict[Path, dict[str, Tensor]] = {}
    files = []
    for index, file in enumerate(checkpoint):
        path = Path(file).resolve()
        if path not in read:
            read[path] = _read(f"{_KEY}[{index}]", file, network)
        files.append(read[path])
    return files


def _read(key: str, checkpoint: str, network: LegoNetwork) -> dict[str, Tensor]:
    state = _load(key, checkpoint)
    expected = _expected_shapes(network)
    parts = tuple(dict.fromkeys(f"{name.split('.')[0]}." for name in expected))
    # In whatever order they are shared, and placed, a bare file is the backbone's.
    first = _BACKBONE if _BACKBONE in parts else parts[0]
    if not any(name.startswith(parts) for name in state):
        state = {f"{first}{name}": value for name, value in state.items()}
    # The file of a backbone may have no neck, but not the half of a part.
    present = (first,) + tuple(
        part for part in parts if any(name.startswith(part) for name in state)
    )
    for name, shape in expected.items():
        if not name.startswith(present):
            continue
        found = tuple(state[name].shape) if name in state else "nothing"
        if found != shape:
            raise ValueError(
                f"`{key}` is {checkpoint!r}, which holds {found} for {name!r}; "
                f"expected shape {shape}. Use a checkpoint of the same backbone type, "
                "depth and width."
            )
    # The heads of another training stay where they are.
    return {name: value for name, value in state.items() if name.startswith(parts)}


def _load(key: str, checkpoint: str) -> dict[str, Tensor]:
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(
            f"`{key}` is {checkpoint!r}, which is no file; expected a local "
            "checkpoint. Download it first, or leave the key out."
        )
    try:
        file = CheckpointLoader.load_checkpoint(checkpoint, map_location="cpu")
    except Exception as error:
        # The bytes of another kind of file lead the unpickler anywhere.
        raise ValueError(
            f"`{key}` is {checkpoint!r}, which PyTorch cannot load "
            f"({type(error).__name__}: {error}); expected an OpenMMLab checkpoint or "
            "a state dict."
        ) from error
    state = file.get("state_dict", file) if isinstance(file, Mapping) else {}
    return {
        str(name).removeprefix("module."): value
        for name, value in state.items()
        if torch.is_tensor(value)
    }


def _expected_shapes(network: LegoNetwork) -> dict[str, tuple[int, ...]]:
    bank = network.bank
    shapes = {name: tuple(bank.unit(name, 0).shape) for name in bank.lego_names}
    shapes |= {name: tuple(bank.parameter(name).shape) for name in bank.shared_names}
    return shapes | network.statistics.moment_shapes()
