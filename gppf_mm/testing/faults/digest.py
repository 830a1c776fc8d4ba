"""Digests of everything that a run ends with, to compare two runs bit by bit."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import EMAHook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner

# The text of the config names the work dir and `resume`, the experiment the time of
# its start; which files are kept depends on when the run was told to stop; and a run
# that is resumed after its last step counts it as done, where the others are in it.
_OF_THE_PROCESS = ("cfg", "experiment_name", "keep_ckpt_ids", "iter")


def state_digests(runner: Runner) -> dict[str, str]:
    """Digest what a runner holds after training.

    Args:
        runner: The runner.

    Returns:
        A digest of each part: ``model``, ``ema``, ``optimizer``, ``schedulers`` and
        ``message_hub``, whose measured times are left out.
    """
    averages = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
    schedulers: Any = runner.param_schedulers
    parts = dict(
        model=runner.model.state_dict(),
        ema=[hook.ema_model.state_dict() for hook in averages],
        optimizer=runner.optim_wrapper.state_dict(),
        schedulers=[item.state_dict() for item in schedulers],
        message_hub=_messages(runner),
    )
    return {name: digest(value) for name, value in parts.items()}


def digest(value: Any) -> str:
    """Digest tensors, arrays and plain values in containers, to the last bit.

    Args:
        value: What to digest. Dicts count as equal whatever their order.

    Returns:
        The first 16 hexadecimal digits of a SHA-256.

    Examples:
        >>> digest({"a": torch.ones(2), "b": 1}) == digest({"b": 1, "a": torch.ones(2)})
        True
        >>> digest(torch.tensor(0.0)) == digest(torch.tensor(-0.0))
        False
    """
    sha = hashlib.sha256()
    _feed(sha, value)
    return sha.hexdigest()[:16]


def _feed(sha: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        sha.update(f"dict {len(value)}".encode())
        for key in sorted(value, key=repr):
            sha.update(repr(key).encode())
            _feed(sha, value[key])
    elif isinstance(value, (list, tuple)):
        sha.update(f"list {len(value)}".encode())
        for item in value:
            _feed(sha, item)
    elif isinstance(value, torch.Tensor):
        sha.update(f"{value.dtype} {tuple(value.shape)}".encode())
        # As bytes, for NumPy has no bfloat16.
        flat = value.detach().cpu().contiguous().reshape(-1)
        sha.update(flat.view(torch.uint8).numpy().tobytes())
    elif isinstance(value, (np.ndarray, np.generic)):
        sha.update(f"{value.dtype} {value.shape}".encode())
        sha.update(value.tobytes())
    else:
        sha.update(repr(value).encode())


def _messages(runner: Runner) -> dict[str, Any]:
    hub = runner.message_hub
    scalars = {
        name: _history(buffer)
        for name, buffer in hub.log_scalars.items()
        if not name.endswith("time")
    }
    info = {
        name: _without_folder(value)
        for name, value in hub.runtime_info.items()
        if name not in _OF_THE_PROCESS
    }
    return dict(scalars=scalars, info=info)


def _without_folder(value: Any) -> Any:
    return Path(value).name if isinstance(value, str) else value


def _history(buffer: HistoryBuffer) -> list[Any]:
    return [np.asarray(item, dtype=np.float64) for item in buffer.data]
