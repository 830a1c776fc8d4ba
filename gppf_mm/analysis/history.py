"""How the routes moved while a run trained."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .affinity import affinity
from .routes import Routes


@dataclass(frozen=True)
class RouteHistory:
    """The routes at several moments of a run.

    Attributes:
        iterations: The number of iterations done at each moment, ascending.
        routes: The routes at each moment, all of the same tasks and groups.
    """

    iterations: Sequence[int]
    routes: Sequence[Routes]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks."""
        return self.routes[0].tasks

    def of(self, task: str) -> np.ndarray:
        """Return a task's mixing weights over time, ``(moments, groups, K)``."""
        return np.stack([routes.weights[task] for routes in self.routes])

    def distances_to_last(self, task: str) -> np.ndarray:
        """Measure how far a task's routes are from where they end.

        Returns:
            For each moment the total variation distance of the mixing weights, averaged
            over the task's groups: 0 for the same routes, 1 for no unit in common.
        """
        tables = self.of(task)
        steps = np.abs(tables - tables[-1])
        return np.mean(np.nansum(steps, axis=-1) / 2, axis=-1, where=_has(steps))

    def effective_units(self, task: str) -> np.ndarray:
        """Measure over how many units a task spreads.

        Returns:
            For each moment the exponential of the entropy of the mixing weights,
            averaged over the task's groups: from 1, a single unit, to K, all evenly.
        """
        tables = self.of(task)
        logs = np.log(np.where(tables > 0, tables, 1.0))
        entropies = -np.nansum(tables * logs, axis=-1)
        return np.mean(np.exp(entropies), axis=-1, where=_has(tables))

    def mean_affinity(self) -> np.ndarray:
        """Return the mean affinity of two different tasks at each moment."""
        pairs = np.triu_indices(len(self.tasks), k=1)
        return np.array(
            [
                np.nanmean(found) if np.isfinite(found).any() else np.nan
                for found in (affinity(routes)[pairs] for routes in self.routes)
            ]
        )

    def last_switch(self, task: str) -> int | None:
        """Return the iteration at which a task is first seen with its last units.

        Returns:
            None if the active units never changed.
        """
        active = self.of(task) > 0
        differs = (active != active[-1]).any(axis=(1, 2))
        if not differs.any():
            return None
        return self.iterations[int(np.flatnonzero(differs)[-1]) + 1]


def _has(tables: np.ndarray) -> np.ndarray:
    """Tell the groups that a task has: ``(moments, groups)``."""
    return ~np.isnan(tables).all(axis=-1)
