"""What a config says about transfer."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gppf_mm.utils.messages import check_mapping, check_names

FREEZABLE = ("units", "routes", "norms")
_CHECKPOINT = "work_dirs/NAME/iter_90000.pth"


@dataclass(frozen=True)
class NewTask:
    """Where a task that the trained run does not have starts.

    Attributes:
        route: The task of the run whose route it copies. None: the router's own first
            values.
        norms: The task of the run from which it takes its private values of the shared
            parts, that is normalisation layers. None: those of its recipe.
    """

    route: str | None = None
    norms: str | None = None


@dataclass(frozen=True)
class Transfer:
    """How tasks start from a trained run.

    Attributes:
        where: The config key, for errors.
        checkpoint: A checkpoint of a `GPPF` run.
        new: The tasks that the run does not have.
        freeze: What is not trained, of ``FREEZABLE``: the units and shared parameters,
            the routes, without noise and where their schedules stood, the new tasks'
            private values of the shared parts.
    """

    where: str
    checkpoint: str
    new: Mapping[str, NewTask]
    freeze: frozenset[str] = frozenset()

    def kept(self, tasks: Iterable[str]) -> tuple[str, ...]:
        """Return the tasks that stay as they are: with frozen units, all old ones."""
        if "units" not in self.freeze:
            return ()
        return tuple(task for task in tasks if task not in self.new)


def read_transfer(
    where: str, cfg: Mapping[str, Any], tasks: Sequence[str], single: bool = False
) -> Transfer:
    """Read what a config says about transfer.

    Args:
        where: The config key.
        cfg: ``checkpoint``, ``freeze`` (default: nothing) and ``new``, which has for
            each new task None or a dict of ``route`` (default: None) and ``norms``
            (default: as ``route``). With ``single`` these two stand in place of
            ``new``.
        tasks: The tasks of the model.
        single: Whether the model has a single task, a new one. Defaults to False.

    Raises:
        TypeError: If this, ``new`` or one of its entries is no dict, or ``freeze`` is
            no list.
        ValueError: If a key is unknown or missing, a task is not the model's, or
            nothing is left to train.
    """
    own = ("route", "norms") if single else ("new",)
    check_mapping(where, cfg, f"dict(checkpoint={_CHECKPOINT!r})")
    check_names(where, cfg, ("checkpoint", "freeze", *own))
    if not cfg.get("checkpoint"):
        raise ValueError(
            f"`{where}.checkpoint` is missing; expected a checkpoint of a GPPF run, "
            f"such as {_CHECKPOINT!r}."
        )
    if single:
        new = {tasks[0]: _read_new(where, {k: cfg[k] for k in own if k in cfg})}
    else:
        entries = cfg.get("new") or {}
        if not isinstance(entries, Mapping):
            raise TypeError(
                f"`{where}.new` is {entries!r}; expected a dict of the new tasks: "
                f"{where}.new=dict(NAME=dict(route='...')), or NAME=None."
            )
        check_names(f"{where}.new", entries, tasks)
        new = {
            task: _read_new(f"{where}.new.{task}", entry or {})
            for task, entry in entries.items()
        }
    freeze = cfg.get("freeze") or ()
    if not isinstance(freeze, Collection):
        raise TypeError(
            f"`{where}.freeze` is {freeze!r}; expected a list of what is not trained, "
            f"of {FREEZABLE}, such as ['units']."
        )
    freeze = (freeze,) if isinstance(freeze, str) else tuple(freeze)
    check_names(f"{where}.freeze", freeze, FREEZABLE)
    if "units" in freeze and not new:
        raise ValueError(
            f"`{where}.freeze` has 'units' and `{where}.new` names no task: the old "
            "tasks are kept as they are, and nothing would be trained. Name the tasks "
            "that the checkpoint does not have under `new`, or leave `freeze` out."
        )
    return Transfer(where, str(cfg["checkpoint"]), new, frozenset(freeze))


def _read_new(where: str, entry: Mapping[str, Any]) -> NewTask:
    if not isinstance(entry, Mapping):
        raise TypeError(
            f"`{where}` is {entry!r}; expected None or a dict of `route` and `norms`, "
            f"such as dict(route={str(entry)!r})."
        )
    check_names(where, entry, ("route", "norms"))
    route = entry.get("route")
    return NewTask(route, entry.get("norms", route))
