"""What the tasks' routes have in common."""

from collections.abc import Sequence

import numpy as np

from .routes import Routes


def affinity(routes: Routes, rows: Sequence[int] | None = None) -> np.ndarray:
    """Measure how much the routes of each pair of tasks overlap.

    It is the cosine of the two tasks' mixing weights in a group, averaged over the
    groups that both have: 1 for equal routes, 0 for tasks without a common active unit
    (our choice).

    Args:
        routes: The routes.
        rows: Indices of the groups that count. Defaults to None, all.

    Returns:
        A symmetric array of shape ``(tasks, tasks)`` with 1 on its diagonal; NaN for
        tasks that have no group in common.
    """
    tables = np.stack(list(routes.weights.values()))  # (tasks, groups, K)
    if rows is not None:
        tables = tables[:, list(rows)]
    present = ~np.isnan(tables).all(axis=-1)
    directions = np.nan_to_num(tables)
    lengths = np.linalg.norm(directions, axis=-1, keepdims=True)
    directions = directions / np.where(lengths > 0, lengths, 1.0)
    cosines = np.einsum("agk,bgk->ab", directions, directions)
    common = np.einsum("ag,bg->ab", present.astype(float), present.astype(float))
    return np.divide(
        cosines, common, out=np.full_like(cosines, np.nan), where=common > 0
    ).clip(max=1.0)


def affinity_by_stage(routes: Routes) -> dict[str, np.ndarray]:
    """Measure the affinity within each stage; see `affinity`.

    Args:
        routes: The routes.

    Returns:
        The matrix of each stage, by the stage's name in `Routes.stage_labels`.
    """
    names = dict(zip(dict.fromkeys(routes.stages), routes.stage_labels(), strict=True))
    return {
        label: affinity(
            routes, [row for row, name in enumerate(routes.stages) if name == stage]
        )
        for stage, label in names.items()
    }


def unit_usage(routes: Routes) -> tuple[np.ndarray, np.ndarray]:
    """Measure how much each unit is used.

    Args:
        routes: The routes.

    Returns:
        Two arrays of shape ``(groups, K)``: how many tasks activate the unit, and the
        sum of their mixing weights; NaN where there is no such unit. With weights that
        sum to 1, a group's second row sums to the number of tasks that have the group.
    """
    tables = np.stack(list(routes.weights.values()))
    absent = np.isnan(tables).all(axis=0)
    counts = (np.nan_to_num(tables) > 0).sum(axis=0).astype(float)
    sums = np.nansum(tables, axis=0)
    counts[absent] = np.nan
    sums[absent] = np.nan
    return counts, sums
