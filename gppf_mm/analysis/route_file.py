"""The file in which a run notes its routes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .history import RouteHistory
from .routes import Routes

ROUTE_FILE = "routes.jsonl"
_DIGITS = 5


class RouteFile:
    """JSON lines: what the routes are of, then the routes at each noted iteration.

    The first line has ``groups``, ``stages`` and ``units``. Every other line has
    ``iter``, the number of iterations done, and ``weights``: for each task and group
    the mixing weights of the group's units, null for a group that the task lacks.

    Args:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def start(self, routes: Routes, iteration: int) -> None:
        """Begin the file, or make it ready for a run that is resumed.

        Lines of later iterations, which the resumed run will write again, are dropped,
        and so is a line that a kill cut off. A file of other tasks or groups begins
        anew.

        Args:
            routes: The present routes.
            iteration: The number of iterations done, 0 for a new run.

        Raises:
            OSError: If the file cannot be written.
        """
        head = _head(routes)
        lines = [json.dumps(head)]
        if iteration and self.path.is_file():
            found = list(_read_lines(self.path))
            if found and found[0] == head:
                lines += [
                    json.dumps(entry)
                    for entry in found[1:]
                    if _is_entry(entry, routes) and entry["iter"] <= iteration
                ]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        written = self.path.with_name(f"{self.path.name}.partial")
        written.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        os.replace(written, self.path)

    def append(self, routes: Routes, iteration: int) -> None:
        """Note the routes.

        Args:
            routes: The routes.
            iteration: The number of iterations done.

        Raises:
            OSError: If the file cannot be written.
        """
        entry = dict(iter=iteration, weights=_to_lists(routes))
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def read_history(path: str | Path) -> RouteHistory:
    """Read what a run noted.

    Args:
        path: The file.

    Returns:
        The routes at each noted iteration, ascending, each once.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no routes.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no file {str(path)!r}; expected the routes that a run with "
            "default_hooks.routing=dict(type='RoutingHook') notes in its work dir."
        )
    lines = list(_read_lines(path))
    head = lines[0] if lines else {}
    entries = {item["iter"]: item for item in lines[1:] if "iter" in item}
    if not {"groups", "stages", "units"} <= head.keys() or not entries:
        raise ValueError(
            f"The file {str(path)!r} holds no routes; expected a first line with "
            "'groups', 'stages' and 'units' and one line for each noted iteration, as "
            "a RoutingHook writes them."
        )
    iterations = sorted(entries)
    routes = [_from_entry(head, entries[iteration]) for iteration in iterations]
    return RouteHistory(iterations, routes)


def _head(routes: Routes) -> dict[str, Any]:
    return dict(
        groups=list(routes.groups),
        stages=list(routes.stages),
        units=list(routes.units),
    )


def _is_entry(line: dict[str, Any], routes: Routes) -> bool:
    return "iter" in line and tuple(line["weights"]) == routes.tasks


def _to_lists(routes: Routes) -> dict[str, list]:
    return {
        task: [
            None
            if np.isnan(row).all()
            else [round(float(value), _DIGITS) for value in row[:units]]
            for row, units in zip(table, routes.units, strict=True)
        ]
        for task, table in routes.weights.items()
    }


def _from_entry(head: dict[str, Any], entry: dict[str, Any]) -> Routes:
    weights = {}
    for task, rows in entry["weights"].items():
        table = np.full((len(rows), max(head["units"])), np.nan)
        for index, row in enumerate(rows):
            if row is not None:
                table[index, : len(row)] = row
        weights[task] = table
    return Routes(
        tuple(head["groups"]), tuple(head["stages"]), tuple(head["units"]), weights
    )


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole lines; a kill may have cut off the last."""
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found
