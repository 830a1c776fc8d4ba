"""What a run's routes come to, in sentences."""

import numpy as np

from gppf_mm.analysis import RouteHistory, Routes, affinity, unit_usage


def findings(routes: Routes, history: RouteHistory | None) -> list[str]:
    """Return sentences on who shares what, and whether that has settled.

    Args:
        routes: The tasks' routes.
        history: How they moved, or None if nobody noted it.
    """
    found = []
    pairs = _pairs(routes)
    if pairs:
        most = max(pairs, key=pairs.__getitem__)
        least = min(pairs, key=pairs.__getitem__)
        found.append(f"Most alike: {' and '.join(most)}, affinity {pairs[most]:.2f}.")
        if len(pairs) > 1:
            found.append(
                f"Least alike: {' and '.join(least)}, affinity {pairs[least]:.2f}."
            )
            found.append(f"Mean over all pairs: {np.mean([*pairs.values()]):.2f}.")
    counts, _ = unit_usage(routes)
    total = int(np.isfinite(counts).sum())
    alone = int((counts == 1).sum())
    found.append(
        f"Of {total} units {int((counts == 0).sum())} are used by no task, {alone} by "
        f"one and {int((counts > 1).sum())} by several; "
        f"{int((counts == len(routes.tasks)).sum())} by every task."
    )
    if history is not None:
        found += _settling(history)
    return found


def _pairs(routes: Routes) -> dict[tuple[str, str], float]:
    matrix, tasks = affinity(routes), routes.tasks
    return {
        (tasks[a], tasks[b]): float(matrix[a, b])
        for a, b in zip(*np.triu_indices(len(tasks), k=1), strict=True)
        if np.isfinite(matrix[a, b])
    }


def _settling(history: RouteHistory) -> list[str]:
    switches = {task: history.last_switch(task) for task in history.tasks}
    moved = {task: when for task, when in switches.items() if when is not None}
    if not moved:
        return ["No task ever changed which units it activates."]
    last = max(moved, key=moved.__getitem__)
    return [
        f"{len(moved)} of {len(switches)} tasks changed which units they activate; the "
        f"last change was seen at iteration {moved[last]}, of {last}."
    ]
