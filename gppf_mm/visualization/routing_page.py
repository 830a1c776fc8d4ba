"""One page about a run's routing, with pictures and with all their numbers."""

from collections.abc import Mapping

import numpy as np

from gppf_mm.analysis import (
    RouteHistory,
    Routes,
    affinity,
    affinity_by_stage,
    unit_usage,
)

from .findings import findings
from .html import (
    bullets,
    details,
    facts,
    numbers,
    page,
    paragraph,
    picture,
    section,
    table,
    tables,
)

_NO_HISTORY = (
    "This run noted no routes while it trained. default_hooks.routing="
    "dict(type='RoutingHook') in the config notes them."
)


def routing_page(
    routes: Routes,
    history: RouteHistory | None,
    pictures: Mapping[str, bytes],
    about: Mapping[str, str],
) -> str:
    """Write the page.

    It needs no network, no script and no other file. Whatever a picture shows stands in
    a table too.

    Args:
        routes: The tasks' routes.
        history: How they moved, or None if nobody noted it.
        pictures: The PNG files' contents: ``routing_map``, ``task_affinity``,
            ``unit_usage`` and, with a history, ``movement_curves`` and
            ``movement_map``.
        about: Facts to begin with, by name.

    Returns:
        The page's HTML.
    """
    return page(
        "Routing: how tasks share the lego units",
        [
            facts(about),
            section("In short", bullets(findings(routes, history))),
            _map_section(routes, pictures),
            _affinity_section(routes, pictures),
            _usage_section(routes, pictures),
            _movement_section(history, pictures),
        ],
    )


def _map_section(routes: Routes, pictures: Mapping[str, bytes]) -> str:
    units = [str(unit) for unit in range(max(routes.units))]
    return section(
        "Routing map",
        paragraph(
            "Which units each task activates in each routing group, and with which "
            "mixing weight; in evaluation, without the noise of training."
        ),
        picture(
            pictures["routing_map"],
            "Heat maps of mixing weights, groups by units, one for each task; the "
            "numbers are in the tables below.",
        ),
        details(
            "Mixing weights as tables",
            tables(
                table(
                    task,
                    ["group", *units],
                    {
                        label: numbers(row, 3)
                        for label, row in zip(routes.labels(), values, strict=True)
                    },
                )
                for task, values in routes.weights.items()
            ),
        ),
    )


def _affinity_section(routes: Routes, pictures: Mapping[str, bytes]) -> str:
    return section(
        "Task affinity",
        paragraph(
            "The cosine of two tasks' mixing weights, averaged over the routing "
            "groups: 1 for equal routes, 0 for tasks without a common unit."
        ),
        picture(
            pictures["task_affinity"],
            "Heat maps of the affinity of each pair of tasks, over all groups and by "
            "stage; the numbers are in the tables below.",
        ),
        _matrix("all groups", affinity(routes), routes.tasks),
        details(
            "Affinity by stage",
            tables(
                _matrix(stage, matrix, routes.tasks)
                for stage, matrix in affinity_by_stage(routes).items()
            ),
        ),
    )


def _matrix(caption: str, matrix: np.ndarray, tasks: tuple[str, ...]) -> str:
    rows = {task: numbers(row, 2) for task, row in zip(tasks, matrix, strict=True)}
    return table(caption, ["task", *tasks], rows)


def _usage_section(routes: Routes, pictures: Mapping[str, bytes]) -> str:
    parts = []
    units = [str(unit) for unit in range(max(routes.units))]
    for name, values, digits in zip(
        ("tasks that activate the unit", "sum of their mixing weights"),
        unit_usage(routes),
        (0, 2),
        strict=True,
    ):
        rows = {
            label: numbers(row, digits)
            for label, row in zip(routes.labels(), values, strict=True)
        }
        parts.append(table(name, ["group", *units], rows))
    return section(
        "Unit usage",
        picture(
            pictures["unit_usage"],
            "Heat maps of how many tasks activate each unit and of the sum of their "
            "mixing weights; the numbers are in the tables below.",
        ),
        details("Unit usage as tables", tables(parts)),
    )


def _movement_section(
    history: RouteHistory | None, pictures: Mapping[str, bytes]
) -> str:
    if history is None:
        return section("Over training", paragraph(_NO_HISTORY))
    rows = {}
    for task in history.tasks:
        distances, spread = (
            history.distances_to_last(task),
            history.effective_units(task),
        )
        switch = history.last_switch(task)
        rows[task] = [
            f"{distances[0]:.3f}",
            "never" if switch is None else str(switch),
            f"{spread[0]:.2f}",
            f"{spread[-1]:.2f}",
        ]
    noted = (
        f"Noted {len(history.iterations)} times, at iterations "
        f"{history.iterations[0]} to {history.iterations[-1]}."
    )
    first, last = history.mean_affinity()[[0, -1]]
    if np.isfinite(first):  # There are two tasks with layers in common.
        noted += f" The mean affinity of two tasks went from {first:.2f} to {last:.2f}."
    return section(
        "Over training",
        paragraph(noted),
        picture(
            pictures["movement_curves"],
            "Curves over the iterations: each task's distance to its last routes, the "
            "number of units over which it spreads, and the tasks' mean affinity.",
        ),
        picture(
            pictures["movement_map"],
            "Each task's mixing weights over the iterations, one strip for each unit.",
        ),
        table(
            "How the routes moved",
            [
                "task",
                "distance of first to last",
                "last change of units",
                "effective units at first",
                "at last",
            ],
            rows,
        ),
    )
