"""What a checkpoint may hold besides tensors when PyTorch loads it weights-only.

Since PyTorch 2.6 ``torch.load`` refuses every object that nobody has declared harmless.
A checkpoint of MMEngine holds its message hub: ``HistoryBuffer`` objects over NumPy
arrays, and NumPy numbers. Declaring exactly those keeps the protection on: a checkpoint
from a stranger still cannot run code.
"""

from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.utils import digit_version

_STATISTICS = ("current", "max", "mean", "min")


def allow_checkpoint_types() -> None:
    """Declare what MMEngine's checkpoints hold harmless to ``torch.load``.

    Holds for the process, may be called again, and does nothing before PyTorch 2.6,
    which loads everything by default.
    """
    # 2.4 and 2.5 have the function, but not the (object, name) pairs.
    if digit_version(torch.__version__) < digit_version("2.6.0"):
        return
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            (_get_statistic, "builtins.getattr"),
            np.ndarray,
            np.dtype,
            *_dtype_classes(),
            *_numpy_rebuilders(),
        ]
    )


def _get_statistic(owner: type, name: str) -> Callable[..., object]:
    """Stand in for the ``getattr`` of a checkpoint.

    A ``HistoryBuffer`` is pickled with its methods, each as ``getattr(HistoryBuffer,
    name)``. The real ``getattr`` would open the door to everything else.

    Raises:
        UnpicklingError: If it is asked for anything but those methods.
    """
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise UnpicklingError(
            f"The checkpoint asks for the attribute {name!r} of {owner!r}; nothing but "
            f"{', '.join(_STATISTICS)} of MMEngine's HistoryBuffer is allowed. Load it "
            "with `weights_only=False` only if you trust its source."
        )
    return getattr(HistoryBuffer, name)


def _dtype_classes() -> set[type]:
    """Return the classes of the dtypes of numbers, truth values and strings.

    The dtype of Python objects is not among them: an array of it can hold anything.
    """
    codes = np.typecodes["AllInteger"] + np.typecodes["AllFloat"] + "?SU"
    return {type(np.dtype(code)) for code in codes}


def _numpy_rebuilders() -> list[tuple[Callable[..., object], str]]:
    """Return NumPy's functions that rebuild arrays and numbers, by their pickled names.

    NumPy 2 renamed the module ``numpy.core``; a checkpoint has the name of the NumPy
    that wrote it.
    """
    rebuilders: tuple[Any, ...] = (
        np.zeros(1).__reduce__()[0],
        np.float64(0).__reduce__()[0],
    )
    return [
        (rebuilder, f"{module}.{rebuilder.__name__}")
        for rebuilder in rebuilders
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    ]
