"""Which of a recipe's custom hooks go along with its task."""

from collections.abc import Mapping
from typing import Any

from gppf_mm.utils.class_name import class_name

from .source import Recipe

# Hooks that act on a task's own model and need nothing of its training loop.
_KEPT = ("PrepareProtoBeforeValLoopHook",)
# Why others are left behind.
_REASONS = {
    "EMAHook": "averages the whole network; add it to the run's `custom_hooks`",
    "ExpMomentumEMAHook": "averages the whole network; see EMAHook",
    "SyncNormHook": "the run averages running statistics over ranks by itself",
    "SyncBuffersHook": "the run averages running statistics over ranks by itself",
    "CheckInvalidLossHook": "watches the whole loss; add it to the run's hooks",
    "ClassNumCheckHook": "the run compares the classes of all tasks by itself",
    "NumClassCheckHook": "the run compares the classes of all tasks by itself",
    "ProfilerHook": "profiles the whole run; add it to the run's hooks",
}
_BY_EPOCH = "acts on a training loop of its own, by epochs, which a SIMT run has not"


def split_hooks(task: str, recipe: Recipe) -> tuple[list[dict[str, Any]], list[str]]:
    """Split a recipe's ``custom_hooks`` into those of its task and the others.

    Args:
        task: The task's name.
        recipe: Its recipe.

    Returns:
        The hooks that go along, as configs of `TaskHook`, and for each other one a
        note that names it and says why it is left behind.
    """
    kept, notes = [], []
    for hook in recipe.cfg.get("custom_hooks") or []:
        name = class_name(hook.get("type") if isinstance(hook, Mapping) else type(hook))
        if name in _KEPT:
            stock = {"_scope_": recipe.scope, **hook}
            kept.append(dict(type="gppf_mm.TaskHook", task=task, hook=stock))
        else:
            notes.append(f"custom_hooks: {name} {_REASONS.get(name, _BY_EPOCH)}")
    return kept, notes
