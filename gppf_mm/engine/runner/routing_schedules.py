"""Schedules that a run does not follow to their ends, or begins anew."""

from torch import nn

from gppf_mm.models import LegoNetwork
from gppf_mm.models.routers import GumbelTopKRouter, LearnedRouter
from gppf_mm.models.weighting import ScheduledWeighting

_WHERE = "model.lego.router"
# They change at an iteration; others have come to their last number by then.
_AT_ONCE = ("k", "freeze_at")


def late_schedules(model: nn.Module, max_iters: int) -> str | None:
    """Say what is to change after the run, which would be silent.

    Args:
        model: The multi-task model that is about to be trained.
        max_iters: The iterations of the run.

    Returns:
        The warning, or None if nothing is.
    """
    network = _learned(model)
    reached = None if network is None else _reached(network, max_iters)
    late = []
    if network is not None and reached is not None:
        late = _late_routes(network.router, reached)
    place = f" (the routes come to {reached})" if late and reached != max_iters else ""
    late += _late_weights(model, max_iters)
    if not late:
        return None
    return (
        f"The run ends before its schedules do: {', '.join(late)}, and "
        f"`train_cfg.max_iters` is {max_iters}{place}. Let them end earlier, or train "
        "longer."
    )


def restarted_schedules(model: nn.Module, path: str) -> str | None:
    """Say what of the routes begins anew over weights of a trained run.

    Args:
        model: The multi-task model, with the weights of ``load_from``.
        path: The checkpoint, named in the warning.

    Returns:
        The warning, or None if nothing does.
    """
    network = _learned(model)
    if network is None or not network.iteration:
        return None
    keys = [f"`{_WHERE}.{key}`" for key, at in _ends(network.router).items() if at]
    if not keys:
        return None
    return (
        f"`load_from` is {path!r}, whose routes stand at iteration "
        f"{network.iteration}, and {', '.join(keys)} will begin at 0 again. For "
        f"schedules that go on from there: model.lego.transfer=dict(checkpoint={path!r}"
        ") in place of `load_from`; a run that was interrupted goes on with --resume."
    )


def _learned(model: nn.Module) -> LegoNetwork | None:
    """Return a model's network if its routes are learned."""
    network = getattr(model, "network", None)
    learned = isinstance(network, LegoNetwork) and isinstance(
        network.router, LearnedRouter
    )
    return network if learned else None


def _reached(network: LegoNetwork, max_iters: int) -> int | None:
    """Return the iteration that the routes come to, None if all of them stand still."""
    origins, tasks = network.origins, network.router.tasks
    begins = {task: origins.position(task, 0) if origins else 0 for task in tasks}
    ends = {
        task: origins.position(task, max_iters) if origins else max_iters
        for task in tasks
    }
    # Routes that a transfer keeps stand still, and are meant to.
    return min((ends[t] for t in ends if ends[t] > begins[t]), default=None)


def _late_routes(router: LearnedRouter, reached: int) -> list[str]:
    """Say what of a router changes after an iteration."""
    return [
        f"`{_WHERE}.{key}` at iteration {at}"
        for key, at in _ends(router).items()
        if at > reached or (at == reached and key in _AT_ONCE)
    ]


def _late_weights(model: nn.Module, max_iters: int) -> list[str]:
    """Say which weights, of regularizers and of tasks, change after the run."""
    schedules = {
        f"model.lego.regularizers.{type(item).__name__}.weight": item.weight
        for item in getattr(model, "regularizers", ())
    }
    weighting = getattr(model, "weighting", None)
    if isinstance(weighting, ScheduledWeighting):
        for task, points in weighting.schedules.items():
            schedules[f"model.weighting.points.{task}"] = points
    return [
        f"`{key}` at iteration {points.end}"
        for key, points in schedules.items()
        if points.end > max_iters
        or (points.end == max_iters and points.interpolation == "step")
    ]


def _ends(router: LearnedRouter) -> dict[str, int]:
    """Return the iteration of each key's last change."""
    ends = {name: schedule.end for name, schedule in router.schedules.items()}
    if isinstance(router, GumbelTopKRouter):
        ends = {"k": ends["k"], "anneal_iters": int(router.anneal_iters)}
    if router.freeze_at is not None:
        ends["freeze_at"] = router.freeze_at
    return ends
