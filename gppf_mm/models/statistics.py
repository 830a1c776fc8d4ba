"""How the tasks' gradients relate, for the log."""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor, nn

from .gradients import GradientRows
from .products import InnerProducts

Sets = dict[tuple[str, ...], list[nn.Parameter]]


def gradient_statistics(
    rows: GradientRows,
    sets: Sets,
    tasks: Sequence[str],
    scale: float,
    inner: InnerProducts,
) -> dict[str, Tensor]:
    """Measure the tasks' gradients on the shared parameters.

    Args:
        rows: The gradients.
        sets: The parameters by the tasks that train them; see `GradientRows.sets`.
        tasks: The tasks.
        scale: By this factor, that of a loss scaler, the gradients are too large.
        inner: Takes inner products.

    Returns:
        ``<task>/grad_norm`` of each task that has a gradient; ``cosine/<a>-<b>`` of
        each two, over the parameters that they have in common, if there are any.
    """
    products = {
        members: inner.gramian(parameters, [rows.of(task) for task in members])
        for members, parameters in sets.items()
    }

    def total(one: str, other: str, members: Sequence[str]) -> Tensor:
        """Sum a product over the sets that have all of the members."""
        found = [
            matrix[names.index(one), names.index(other)]
            for names, matrix in products.items()
            if all(member in names for member in members)
        ]
        return torch.stack(found).sum()

    present = [task for task in tasks if any(task in members for members in sets)]
    log = {
        f"{task}/grad_norm": total(task, task, (task,)).sqrt() / scale
        for task in present
    }
    for pair in combinations(present, 2):
        if any(set(pair) <= set(members) for members in sets):
            one, other = pair
            squares = total(one, one, pair) * total(other, other, pair)
            # 0 for a task without any gradient, as torch.cosine_similarity has it.
            lengths = squares.sqrt().clamp_min(torch.finfo(squares.dtype).tiny)
            log[f"cosine/{one}-{other}"] = total(one, other, pair) / lengths
    return log
