"""What a checkpoint may hold besides tensors when PyTorch loads it weights-only.

Since PyTorch 2.6 ``torch.load`` refuses every object that nobody has declared harmless.
A checkpoint of MMEngine holds its message hub: ``HistoryBuffer`` objects over NumPy
arrays, and NumPy numbers; and its schedulers, one of which remembers a function.
Declaring exactly those keeps the protection on: a checkpoint from a stranger still
cannot run code.
"""

from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleParamScheduler

# What is pickled as an attribute of a class, and by which names.
_ATTRIBUTES: dict[type, tuple[str, ...]] = {
    HistoryBuffer: ("current", "max", "mean", "min"),
    OneCycleParamScheduler: ("_annealing_cos", "_annealing_linear"),
}


def allow_checkpoint_types() -> None:
    """Declare what MMEngine's checkpoints hold harmless to ``torch.load``.

    Holds for the process, and may be called again.
    """
    torch.serialization.add_safe_globals(
        [
            *_ATTRIBUTES,
            (_get_attribute, "builtins.getattr"),
            np.ndarray,
            np.dtype,
            *_dtype_classes(),
            *_numpy_rebuilders(),
        ]
    )


def _get_attribute(owner: type, name: str) -> Callable[..., object]:
    """Stand in for the ``getattr`` of a checkpoint.

    A ``HistoryBuffer`` is pickled with its methods, each as ``getattr(HistoryBuffer,
    name)``, and a ``OneCycleLR`` with its annealing function. The real ``getattr``
    would open the door to everything else.

    Raises:
        UnpicklingError: If it is asked for anything but those methods.
    """
    # By identity: what a checkpoint hands over need be neither a class nor hashable.
    names = next((names for kind, names in _ATTRIBUTES.items() if kind is owner), ())
    if name not in names:
        allowed = "; ".join(
            f"{', '.join(names)} of MMEngine's {kind.__name__}"
            for kind, names in _ATTRIBUTES.items()
        )
        raise UnpicklingError(
            f"The checkpoint asks for the attribute {name!r} of {owner!r}; nothing but "
            f"{allowed} is allowed. Load it with `weights_only=False` only if you "
            "trust its source."
        )
    return getattr(owner, name)


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
