"""Routes for the tests of analysis and figures."""

import numpy as np

from gppf_mm.analysis import Routes


def random_routes(seed: int = 0, tasks: str = "abc", k: int = 2) -> Routes:
    """Return routes of five groups in two stages with 3 or 4 units; b lacks one."""
    generator = np.random.default_rng(seed)
    units = (4, 4, 3, 4, 3)
    weights = {}
    for task in tasks:
        table = np.full((5, 4), np.nan)
        for row, count in enumerate(units):
            values = np.zeros(count)
            chosen = generator.choice(count, k, replace=False)
            values[chosen] = generator.dirichlet(np.ones(k))
            table[row, :count] = values
        weights[task] = table
    weights["b"][3] = np.nan
    return Routes(
        ("p.a.0", "p.a.1", "p.b.0", "p.b.1", "p.b.2"),
        ("p.a", "p.a", "p.b", "p.b", "p.b"),
        units,
        weights,
    )


def one_group(**weights: list[float]) -> Routes:
    tables = {task: np.array([row]) for task, row in weights.items()}
    return Routes(("g",), ("g",), (len(next(iter(weights.values()))),), tables)
