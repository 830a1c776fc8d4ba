"""Groups of tasks with similar routes, and sparse routes made of them."""

from collections.abc import Sequence

import numpy as np

from .affinity import affinity
from .routes import Routes


def group_tasks(routes: Routes, count: int) -> list[tuple[str, ...]]:
    """Part the tasks into groups whose routes are alike.

    Tasks are joined by the average linkage of their `affinity` until so many groups are
    left (our choice).

    Args:
        routes: The routes. Two tasks without a routing group in common count as unlike.
        count: How many groups, from 1 to the number of tasks.

    Returns:
        The groups, in the order of their first tasks.

    Raises:
        ValueError: If there cannot be so many groups.
        ImportError: If SciPy is missing.

    Examples:
        >>> weights = dict(det=[[0.9, 0.1]], seg=[[0.2, 0.8]], night=[[0.1, 0.9]])
        >>> tables = {task: np.array(rows) for task, rows in weights.items()}
        >>> group_tasks(Routes(("layer1",), ("layer1",), (2,), tables), count=2)
        [('det',), ('seg', 'night')]
    """
    try:
        from scipy.cluster.hierarchy import cut_tree, linkage
        from scipy.spatial.distance import squareform
    except ImportError as error:
        raise ImportError(
            "Grouping tasks needs SciPy; install it: pip install scipy."
        ) from error
    tasks = routes.tasks
    if not 1 <= count <= len(tasks):
        raise ValueError(
            f"`--groups` is {count}; expected a number from 1 to {len(tasks)}, that of "
            "the tasks."
        )
    if len(tasks) == 1:
        return [tasks]
    distances = 1 - np.nan_to_num(affinity(routes))
    np.fill_diagonal(distances, 0.0)
    tree = linkage(squareform(distances, checks=False), "average")
    groups: dict[int, list[str]] = {}
    for task, label in zip(tasks, cut_tree(tree, count).flat, strict=True):
        groups.setdefault(label, []).append(task)
    return [tuple(members) for members in groups.values()]


def routes_of_groups(groups: Sequence[Sequence[str]]) -> dict[str, list[int]]:
    """Give all tasks one unit in common, and each group one of its own.

    Args:
        groups: The groups. They may overlap: a task has the units of all of its groups.

    Returns:
        What `FixedRouter` takes as ``routes``, for one unit more than there are groups.

    Examples:
        >>> routes_of_groups([("det",), ("seg", "night")])
        {'det': [0, 1], 'seg': [0, 2], 'night': [0, 2]}
        >>> routes_of_groups([("seg",), ("seg", "night")])
        {'seg': [0, 1, 2], 'night': [0, 2]}
    """
    routes: dict[str, list[int]] = {}
    for unit, members in enumerate(groups, 1):
        for task in members:
            routes.setdefault(task, [0]).append(unit)
    return routes
