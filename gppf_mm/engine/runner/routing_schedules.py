"""Routing schedules that a run does not follow to their ends, or begins anew."""

from torch import nn

from gppf_mm.models import LegoNetwork
from gppf_mm.models.routers import GumbelTopKRouter, LearnedRouter

_WHERE = "model.lego.router"
# They change at an iteration; others have come to their last number by then.
_AT_ONCE = ("k", "freeze_at")


def late_schedules(model: nn.Module, max_iters: int) -> str | None:
    """Say what of the routes is to change after the run, which would be silent.

    Args:
        model: The multi-task model that is about to be trained.
        max_iters: The iterations of the run.

    Returns:
        The warning, or None if nothing is.
    """
    network = _learned(model)
    if network is None:
        return None
    router = network.router
    origins = network.origins
    begins = {
        task: origins.position(task, 0) if origins else 0 for task in router.tasks
    }
    ends = {
        task: origins.position(task, max_iters) if origins else max_iters
        for task in router.tasks
    }
    # Routes that a transfer keeps stand still, and are meant to.
    reached = min((ends[t] for t in ends if ends[t] > begins[t]), default=None)
    if reached is None:
        return None
    late = [
        f"`{_WHERE}.{key}` at iteration {at}"
        for key, at in _ends(router).items()
        if at > reached or (at == reached and key in _AT_ONCE)
    ]
    if not late:
        return None
    place = "" if reached == max_iters else f" (the schedules come to {reached})"
    return (
        f"The run ends before its routing schedules do: {', '.join(late)}, and "
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


def _ends(router: LearnedRouter) -> dict[str, int]:
    """Return the iteration of each key's last change."""
    ends = {name: schedule.end for name, schedule in router.schedules.items()}
    if isinstance(router, GumbelTopKRouter):
        ends = {"k": ends["k"], "anneal_iters": int(router.anneal_iters)}
    if router.freeze_at is not None:
        ends["freeze_at"] = router.freeze_at
    return ends
