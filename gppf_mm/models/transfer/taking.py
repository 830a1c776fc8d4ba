"""Taking units, routes and tasks over from a trained run."""

import logging
from collections.abc import Mapping

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from gppf_mm.utils.loading import state_differences

from ..network import LegoNetwork
from ..parts import PartPaths
from ..routers import LearnedRouter
from .comparing import compare_routers
from .settings import Transfer
from .source import TrainedRun

Values = Mapping[str, Tensor]


@torch.no_grad()
def take_over(
    network: LegoNetwork,
    transfer: Transfer,
    private: Mapping[str, Values],
    paths: Mapping[str, PartPaths],
) -> tuple[TrainedRun, dict[str, frozenset[str]]]:
    """Give a shared network the bank, and its tasks the routes, of a trained run.

    Args:
        network: The shared network, changed in place.
        transfer: What to take; tasks that are not new take their own.
        private: The private values of the shared parts, by new task and the bank's
            name. They are changed in place.
        paths: Where the run's tasks have the shared parts, if not under their names
            and its checkpoint does not tell.

    Returns:
        The run, and the names of the private values that each new task took from it.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If its bank or router is another, or it lacks a task; see
            `compare_routers` as well.
    """
    where = transfer.where
    run = TrainedRun(transfer.checkpoint, f"{where}.checkpoint")
    _check_tasks(network, transfer, run)
    _take_bank(network, run)
    compare_routers(network, transfer, run)
    for task in network.router.tasks:
        new = transfer.new.get(task)
        like = task if new is None else new.route
        if like is not None:
            _take_route(network, run, like, task, f"{where}.route")
            if network.origins is not None:
                network.origins.set(task, run.position(like))
    _warn_of_still_routes(network, transfer)
    taken = {
        task: _take_norms(
            private[task],
            run,
            new.norms,
            run.paths.get(new.norms) or paths.get(new.norms),
            where,
        )
        for task, new in transfer.new.items()
        if new.norms is not None
    }
    return run, taken


@torch.no_grad()
def take_tasks(models: Mapping[str, nn.Module], run: TrainedRun) -> None:
    """Give tasks all that the run has of them: private values and heads.

    Args:
        models: The stock models, by task, changed in place.
        run: The run.

    Raises:
        ValueError: If a model is another than the run's.
    """
    for task, model in models.items():
        own, found = _tensors(model), run.of_task(task)
        differences = state_differences(found, own)
        if differences:
            raise ValueError(
                f"The task {task!r} of `{run.where}` ({run.path!r}) is another than "
                f"that of `model.tasks`: compared with its weights the model has "
                f"{differences}. Give it the run's config, or another name, as a new "
                "task."
            )
        for name, value in own.items():
            value.copy_(found[name])


def _check_tasks(network: LegoNetwork, transfer: Transfer, run: TrainedRun) -> None:
    where = transfer.where
    for task in network.router.tasks:
        if task not in transfer.new and task not in run.tasks:
            raise ValueError(
                f"`model.tasks` has the task {task!r}, which {run.path!r} does not "
                f"have; it has {', '.join(map(repr, run.tasks))}. Say how it starts: "
                f"`{where}.new`=dict({task}=dict(route='{run.tasks[0]}'))."
            )
    for new in transfer.new.values():
        for key, like in (("route", new.route), ("norms", new.norms)):
            run.require(f"{where}.{key}", [like] if like else [])


def _take_bank(network: LegoNetwork, run: TrainedRun) -> None:
    own = _of_all(_tensors(network))
    parts = list(dict.fromkeys(map(_part, own)))
    theirs = _of_all(run.network)
    # Parts that only the run shares, such as a neck, stay behind.
    found = {name: value for name, value in theirs.items() if _part(name) in parts}
    order = list(dict.fromkeys(map(_part, theirs)))
    differences = state_differences(found, own)
    in_order = list(found) == list(own) and order[: len(parts)] == parts
    if not differences and not in_order:
        # Rows of the routes would be taken for those of other layers.
        differences = "its layers in another order"
    if differences:
        raise ValueError(
            f"`{run.where}` is {run.path!r}, whose bank is another: compared with it "
            f"the model has {differences}. Expected the same backbone type, depth and "
            "width, `num_units` and `placement`."
        )
    for name, value in own.items():
        value.copy_(found[name])


def _take_route(
    network: LegoNetwork, run: TrainedRun, like: str, task: str, key: str
) -> None:
    own = {
        name: value
        for name, value in _tensors(network.router).items()
        if task in name.split(".")
    }
    if not own and like != task:
        raise ValueError(
            f"`{key}` is {like!r}, but a {type(network.router).__name__} learns no "
            "routes that could be copied: they stand in the config, under `router`. "
            "Leave `route` out, and name the task in `norms`."
        )
    for name, value in own.items():
        other = ".".join(like if part == task else part for part in name.split("."))
        found = run.network.get(f"router.{other}")
        if found is not None and found.dim() and value.dim():
            found = _in_common(found, value, network, run)
        if found is None or found.shape != value.shape:
            text = "nothing" if found is None else f"shape {tuple(found.shape)}"
            raise ValueError(
                f"`{run.where}` is {run.path!r}, which has {text} for the router's "
                f"{other!r}; expected shape {tuple(value.shape)}. Use a router that "
                "learns routes, with the `group` and the units of that run."
            )
        value.copy_(found)


def _in_common(
    found: Tensor, value: Tensor, network: LegoNetwork, run: TrainedRun
) -> Tensor:
    """Leave out what a run's route has for parts that only the run shares.

    Their groups come after the others. Units that only they have are the last columns
    of learned logits: the banks are the same, so that no group in common has them.
    """
    own, theirs = ({*map(_part, _of_all(s))} for s in (_tensors(network), run.network))
    if own == theirs:
        return found
    found = found[: value.shape[0]]
    if isinstance(network.router, LearnedRouter) and found.dim() == 2:
        found = found[:, : value.shape[1]]
    return found


def _warn_of_still_routes(network: LegoNetwork, transfer: Transfer) -> None:
    """Tell what settings do not show: routes of new tasks that will not be learned."""
    router, where = network.router, transfer.where
    for task, new in transfer.new.items():
        logits = router.parameters_of(task)
        learns = router.trained_parameters(task, network.step_of(task))
        if logits and "routes" in transfer.freeze and new.route is None:
            _warn(
                f"`{where}.freeze` has 'routes', and the task {task!r} copies none: it "
                "keeps a route that was drawn by chance. Name a task of the run as "
                "`route`, or let it learn."
            )
        elif logits and "routes" not in transfer.freeze and new.route and not learns:
            _warn(
                f"The task {task!r} copies the route of {new.route!r}, which stands "
                f"past `freeze_at` of the router: it will not be learned. Put 'routes' "
                f"into `{where}.freeze` if it shall not; else leave `freeze_at` out, "
                "or set it later."
            )


def _warn(message: str) -> None:
    print_log(message, logger="current", level=logging.WARNING)


def _take_norms(
    values: Values, run: TrainedRun, like: str, paths: PartPaths | None, where: str
) -> frozenset[str]:
    found = run.of_task(like)
    to_stock = (paths or PartPaths()).to_stock
    taken = set()
    for name, value in values.items():
        other = found.get(to_stock(name))
        if other is not None and other.shape == value.shape:
            value.copy_(other)
            taken.add(name)
    if values and not taken:
        raise ValueError(
            f"`{where}.norms` is {like!r}, but {run.path!r} has none of that task's "
            f"values under these names, {next(iter(values))!r} for one; expected them "
            "there, or where `model.parts` in the config of a checkpoint of the run "
            "says. With `norms=None` a task starts from its recipe's."
        )
    return frozenset(taken)


def _of_all(state: Values) -> dict[str, Tensor]:
    """Return what all tasks have: neither routes nor steps."""
    own = ("router.", "origins.", "step")
    return {name: value for name, value in state.items() if not name.startswith(own)}


def _part(name: str) -> str:
    """Return the shared part of a value: ``bank.lego.backbone.conv1...``."""
    return name.split(".")[2 if name.startswith("bank.") else 1]


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {k: v for k, v in module.state_dict().items() if isinstance(v, Tensor)}
