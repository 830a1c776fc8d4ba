"""Inner products and norms of gradients that processes may have in parts."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from .gradients import Row


class InnerProducts:
    """Inner products of the tasks' gradients, and norms, each over whole tensors.

    Where a bank is sharded, each process has its rows of a gradient, and sums run over
    the processes. All of them have to ask for the same.

    Args:
        whole_shape: Returns the whole tensor's shape of a parameter that is sharded,
            and None of any other. Defaults to None, nothing is sharded.
        gather: Stacks a tensor of all processes: ``(...)`` to ``(processes, ...)``.
            Defaults to None, for a single process.
    """

    def __init__(
        self,
        whole_shape: Callable[[nn.Parameter], torch.Size | None] | None = None,
        gather: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._whole_shape = whole_shape or (lambda parameter: None)
        self._gather = gather or (lambda tensor: tensor[None])

    def gramian(
        self, parameters: Sequence[nn.Parameter], rows: Sequence[Row]
    ) -> Tensor:
        """Return the products of each two tasks' gradients, summed over parameters.

        Args:
            parameters: At least one.
            rows: The tasks' gradients, which have all of the parameters.

        Returns:
            A matrix of shape ``(tasks, tasks)``.
        """
        sums: dict[bool, Tensor] = {}
        for parameter in parameters:
            matrix = torch.stack([row[parameter].flatten() for row in rows])
            product, key = matrix @ matrix.T, self._is_sharded(parameter)
            sums[key] = sums[key] + product if key in sums else product
        if True in sums:
            sums[True] = self._gather(sums[True]).sum(0)
        return torch.stack(list(sums.values())).sum(0)

    def norm(self, row: Row, others: Iterable[Tensor], norm_type: float) -> Tensor:
        """Return the norm of a task's gradients together.

        Args:
            row: Those on shared parameters.
            others: Those on its own, which no process has in parts.
            norm_type: p of the p-norm.
        """
        parts = [g for p, g in row.items() if self._is_sharded(p)]
        whole = [g for p, g in row.items() if not self._is_sharded(p)] + [*others]
        norms = [nn.utils.get_total_norm(whole, norm_type)] if whole else []
        if parts:
            # Of few rows a process may have none, and of nothing there is no largest.
            own = [g for g in parts if g.numel()]
            own_norm = nn.utils.get_total_norm(own, norm_type).to(parts[0])
            norms.append(torch.linalg.vector_norm(self._gather(own_norm), norm_type))
        return torch.linalg.vector_norm(torch.stack(norms), norm_type)

    def size(self, parameters: Iterable[nn.Parameter]) -> int:
        """Return how many values parameters have, whole ones."""
        shapes = ((p, self._whole_shape(p)) for p in parameters)
        return sum(p.numel() if s is None else s.numel() for p, s in shapes)

    def _is_sharded(self, parameter: nn.Parameter) -> bool:
        return self._whole_shape(parameter) is not None
