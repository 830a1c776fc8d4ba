"""How tasks share units, and how that moves while a run trains.

Examples:
    >>> import numpy as np
    >>> from gppf_mm.analysis import Routes, affinity
    >>> weights = dict(det=[[1.0, 0.0]], seg=[[0.0, 1.0]], cls=[[0.5, 0.5]])
    >>> tables = {task: np.array(rows) for task, rows in weights.items()}
    >>> routes = Routes(("layer1.0",), ("layer1",), (2,), tables)
    >>> affinity(routes).round(2).tolist()
    [[1.0, 0.0, 0.71], [0.0, 1.0, 0.71], [0.71, 0.71, 1.0]]
"""

from .affinity import affinity, affinity_by_stage, unit_usage
from .history import RouteHistory
from .route_file import ROUTE_FILE, RouteFile, read_history
from .routes import Routes, read_routes
from .task_groups import group_tasks, routes_of_groups

__all__ = [
    "ROUTE_FILE",
    "RouteFile",
    "RouteHistory",
    "Routes",
    "affinity",
    "affinity_by_stage",
    "group_tasks",
    "read_history",
    "read_routes",
    "routes_of_groups",
    "unit_usage",
]
