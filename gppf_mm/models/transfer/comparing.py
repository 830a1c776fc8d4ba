"""Routes that are taken over, and the router that makes plans of them."""

import logging
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log

from ..network import LegoNetwork
from ..routers import LearnedRouter
from ..routing_settings import first_difference, settings_of
from .settings import Transfer
from .source import TrainedRun


def compare_routers(network: LegoNetwork, transfer: Transfer, run: TrainedRun) -> None:
    """Compare the settings by which a run made plans of its routes with the model's.

    The values of a route fit any router of as many units, and with another type, ``k``
    or temperature they are another mix.

    Args:
        network: The shared network.
        transfer: What it takes from the run.
        run: The run. One whose config is not in the checkpoint is not compared.

    Raises:
        ValueError: If they differ where routes are to stay as they are: for tasks that
            are kept, or with frozen routes. Elsewhere a warning says so. If learned
            routes are of other groups, which are other layers.
    """
    taken = [
        task
        for task in network.router.tasks
        if task not in transfer.new or transfer.new[task].route is not None
    ]
    if not run.settings or not taken:
        return
    theirs = {k: v for k, v in run.settings.items() if k.startswith("router.")}
    own = settings_of(dict(router=network.router_cfg))
    if isinstance(network.router, LearnedRouter):
        _check_groups(transfer, theirs, own)
    difference = first_difference(theirs, own)
    if difference is None:
        return
    key, before, now = difference
    message = (
        f"`{transfer.where}.checkpoint` is {transfer.checkpoint!r}, which was trained "
        f"with `{key}` {before!r}, and the model has {now!r}: the same routes mean "
        "another mix of units"
    )
    kept = transfer.kept(taken)
    if kept or "routes" in transfer.freeze:
        raise ValueError(
            f"{message}, and {', '.join(map(repr, kept or taken))} would not predict "
            "what they did. Use the router of the run, or leave "
            f"{'units' if kept else 'routes'!r} out of `{transfer.where}.freeze`."
        )
    print_log(
        f"{message}. The tasks learn on from there.",
        logger="current",
        level=logging.WARNING,
    )


def _check_groups(
    transfer: Transfer, theirs: Mapping[str, Any], own: Mapping[str, Any]
) -> None:
    before, now = (found.get("router.group", "block") for found in (theirs, own))
    if before != now:
        raise ValueError(
            f"`{transfer.where}.checkpoint` is {transfer.checkpoint!r}, which was "
            f"trained with `router.group` {before!r}, and the model has {now!r}: its "
            "routes are of other groups of layers and cannot be copied. Use the "
            "`group` of the run."
        )
