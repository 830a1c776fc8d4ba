"""State dicts that have to fit."""

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from torch import Tensor, nn

# Names in a multi-task model's state dict.
_TASKS = "tasks."
_BANK = "network.bank."
_ROUTER = "network.router."
_LOGITS = f"{_ROUTER}logits."


def load_whole(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a state dict that must fit.

    It is ``load_state_dict`` with ``strict=True``, but for what a stock model takes out
    of the state in a hook of its own because it computes it anew, as Swin V2 does with
    the tables of its windows: a state that has it is not refused.

    Args:
        model: The model, changed in place.
        state: The values, by name.

    Raises:
        RuntimeError: If a name is missing or unknown, or a shape differs.
    """
    found = model.load_state_dict(state, strict=False)
    missing = [name for name in found.missing_keys if name not in state]
    if missing or found.unexpected_keys:
        raise RuntimeError(
            f"Error(s) in loading state_dict for {type(model).__name__}: missing "
            f"key(s) {missing}, unexpected key(s) {found.unexpected_keys}."
        )


def state_differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """Say how the names and shapes in two state dicts differ.

    Args:
        found: The state dict of a file.
        expected: That of a model. What is no tensor, such as what a task weighting
            remembers, has a name alone.

    Returns:
        How many names are missing, unexpected or of another shape, with two examples
        each; nothing if none is.
    """
    kinds = {
        "missing": [name for name in expected if name not in found],
        "unexpected": [name for name in found if name not in expected],
        "of another shape": [
            f"{name} {tuple(found[name].shape)} instead of {tuple(value.shape)}"
            for name, value in expected.items()
            if isinstance(value, Tensor)
            and isinstance(found.get(name), Tensor)
            and found[name].shape != value.shape
        ],
    }
    return "; ".join(
        f"{len(names)} {kind} ({', '.join(names[:2])}{', ...' * (len(names) > 2)})"
        for kind, names in kinds.items()
        if names
    )


def saved_tasks(state: Mapping[str, Any]) -> list[str]:
    """Return the tasks of a multi-task model's state dict, in their order.

    A task all of whose values are shared has nothing under its own name. Where routes
    are learned it has logits.
    """
    own, routed = (_first_below(state, prefix) for prefix in (_TASKS, _LOGITS))
    return routed if set(own) <= set(routed) else own


def same_rows(state: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether rows of learned routes mean the same layers in two state dicts.

    They are numbered in the order of the bank, which names do not show.
    """
    banks = [[n for n in names if n.startswith(_BANK)] for names in (state, other)]
    return banks[0] == banks[1] or not _first_below(state, _ROUTER)


def _first_below(state: Mapping[str, Any], prefix: str) -> list[str]:
    """Return what follows a prefix, up to the next dot, in the state's order."""
    names = [name[len(prefix) :] for name in state if name.startswith(prefix)]
    return list(dict.fromkeys(name.split(".")[0] for name in names))


def order_tasks(cfg: Config | dict[str, Any], state: Mapping[str, Any]) -> None:
    """Put a config's tasks in the order in which a checkpoint was trained with them.

    MMEngine sorts the keys of the config that it writes beside the checkpoints. The
    order decides which task names the shared parameters, hence that of the groups.

    Args:
        cfg: The config, changed in place unless its tasks are others.
        state: The checkpoint's state dict.
    """
    tasks, trained = cfg["model"]["tasks"], saved_tasks(state)
    if sorted(tasks) == sorted(trained):
        cfg["model"]["tasks"] = {task: tasks[task] for task in trained}
