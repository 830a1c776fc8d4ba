"""Wording shared by the errors that a config can cause."""

import math
import re
import traceback
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from inspect import Parameter, signature
from typing import Any

from torch import nn


def check_names(where: str, found: Iterable[str], allowed: Iterable[str]) -> None:
    """Refuse names that are not among the allowed ones.

    Args:
        where: The config key that holds the names, such as ``model.lego``.
        found: The names that stand there.
        allowed: The names that may stand there.

    Raises:
        ValueError: If a name is not allowed; the message names it, the allowed ones
            and the closest of them.

    Examples:
        >>> check_names("model.lego", ["num_unit"], ["num_units", "router"])
        Traceback (most recent call last):
        ...
        ValueError: `model.lego` has an unknown key 'num_unit'; expected one of \
'num_units', 'router'. Did you mean 'num_units'?
    """
    allowed = list(allowed)
    for name in found:
        if name in allowed:
            continue
        close = get_close_matches(str(name), allowed, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"`{where}` has an unknown key {name!r}; expected one of "
            f"{', '.join(repr(item) for item in allowed)}.{hint}"
        )


def check_tasks(where: str, found: Iterable[str], tasks: Iterable[str]) -> None:
    """Require one entry for every task of the model and none besides.

    Args:
        where: The config key that is keyed by task, such as ``train_dataloader``.
        found: The task names that stand there.
        tasks: The tasks of the model.

    Raises:
        ValueError: If a task is unknown or missing; the message names both.
    """
    found, tasks = list(found), list(tasks)
    check_names(where, found, tasks)
    missing = [task for task in tasks if task not in found]
    if missing:
        raise ValueError(
            f"`{where}` has no entry for task {missing[0]!r}; found "
            f"{', '.join(map(repr, found)) or 'none'}, expected one for each task of "
            f"`model.tasks`. Add `{where}.{missing[0]}` or remove the task."
        )


def check_arguments(
    where: str, cfg: Mapping[str, Any], kind: type, given: Collection[str] = ()
) -> None:
    """Require that a config has the arguments of a class.

    Args:
        where: The config key.
        cfg: ``type`` and arguments.
        kind: The class. One that takes any keyword takes any key.
        given: Arguments that it gets from elsewhere.

    Raises:
        ValueError: If the class does not know a key, or needs another.
    """
    known = signature(kind).parameters
    if any(item.kind is Parameter.VAR_KEYWORD for item in known.values()):
        return
    own = {name: item for name, item in known.items() if name not in given}
    check_names(where, cfg, ["type", *own])
    for name, item in own.items():
        if item.default is Parameter.empty and name not in cfg:
            raise ValueError(
                f"`{where}` has no {name!r}, which {kind.__name__} needs; found "
                f"{', '.join(repr(key) for key in cfg)}. Add `{where}.{name}`."
            )


def check_mapping(where: str, value: Any, example: str) -> None:
    """Require a dict.

    Args:
        where: The config key.
        value: Its value.
        example: What may stand there, as it is written.

    Raises:
        TypeError: If it is none.

    Examples:
        >>> check_mapping("model.lego.init", "r50.pth", "dict(checkpoint='r50.pth')")
        Traceback (most recent call last):
        ...
        TypeError: `model.lego.init` is 'r50.pth'; expected a dict, such as \
dict(checkpoint='r50.pth').
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"`{where}` is {value!r}; expected a dict, such as {example}.")


def check_number(where: str, value: Any) -> None:
    """Require a finite number from 0.

    Args:
        where: The config key.
        value: Its value.

    Raises:
        ValueError: If it is none.
    """
    if not is_number(value) or not 0 <= value < math.inf:
        raise ValueError(f"`{where}` is {value!r}; expected a number from 0.")


def is_number(value: Any) -> bool:
    """Return whether a value is a number, and no truth value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_task_name(name: str) -> None:
    """Refuse a task name that cannot be a module name and a metric prefix.

    Args:
        name: The task's key in ``model.tasks``.

    Raises:
        ValueError: If the name has other characters than letters, digits, ``_`` and
            ``-``, or is one that the model uses.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", str(name)):
        raise ValueError(
            f"`model.tasks` has a task named {name!r}; a task's name becomes a module "
            "name and a metric prefix, so use letters, digits, '_' and '-' only."
        )
    if name == "logits":
        raise ValueError(
            "`model.tasks` has a task named 'logits', the name of the routers' "
            "parameters in checkpoints. Choose another name."
        )
    # Where the tasks' models and their routes live.
    for kind in (nn.ModuleDict, nn.ParameterDict):
        if hasattr(kind(), name):
            raise ValueError(
                f"`model.tasks` has a task named {name!r}, which is an attribute of "
                f"torch.nn.{kind.__name__}, where a task's name is a key. Choose "
                "another name."
            )


def describe(error: BaseException) -> str:
    """Say in one line what an error of another library is about.

    Args:
        error: The error.

    Returns:
        Its type and message or, where it has none, the statement that failed; without
        a full stop.

    Examples:
        >>> describe(KeyError("backbone"))
        "KeyError: 'backbone'"
    """
    text = " ".join(str(error).split()).rstrip(".")
    frames = traceback.extract_tb(error.__traceback__)
    if not text and frames:
        text = f"{frames[-1].line} (in {frames[-1].name})"
    return f"{type(error).__name__}: {text}"
