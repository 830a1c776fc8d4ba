"""Gradient aggregation by torchjd, on the parameters that tasks have in common."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..gradients import Row
from ..products import InnerProducts
from .base import Weighting
from .state import read_state, write_state

MakeAggregator = Callable[[tuple[str, ...], torch.device], nn.Module]


class GradientAggregation(Weighting):
    """Combines the tasks' gradients by an aggregator of torchjd.

    The shared parameters are parted by the set of tasks that train them. Each set has
    an aggregator of its own, which sees the gradients of just these tasks on just these
    parameters, and no rows of zeros (our choice). Where a task is alone, and on its own
    head, its gradient stays as it is.

    Args:
        tasks: The tasks.
        make: Makes the aggregator of a set of tasks, on a device.
        seed: Seed of the aggregator's random numbers. Defaults to 0.
    """

    def __init__(
        self, tasks: Sequence[str], make: MakeAggregator, seed: int = 0
    ) -> None:
        super().__init__(tasks, seed)
        self.method = type(make(self.tasks, torch.device("cpu"))).__name__
        self._make = make
        # A plain dict: their buffers come and go, and are saved as extra state.
        self._aggregators: dict[tuple[str, ...], nn.Module] = {}
        self._saved: dict[str, dict[str, Any]] = {}

    def aggregate(
        self,
        tasks: tuple[str, ...],
        parameters: Sequence[nn.Parameter],
        rows: Sequence[Row],
        scale: float,
    ) -> Tensor | None:
        """See `Weighting.aggregate`.

        Gradients that are not finite are added up instead, for the loss scaler to find:
        solvers do not bear them. A method whose weights are not finite begins anew.
        """
        aggregator = self._aggregator(tasks, parameters[0].device)
        combine = self._by_matrix
        if _needs_products_alone(aggregator):
            combine = self._by_products
        try:
            weights = combine(aggregator, parameters, rows, scale)
        except ValueError as error:
            raise ValueError(
                f"`model.weighting` ({aggregator}) cannot combine the gradients of the "
                f"tasks {', '.join(tasks)}, which alone train {len(parameters)} of the "
                f"shared parameters: {error} Choose another method, or arguments that "
                "suit any set of tasks."
            ) from error
        if weights is not None and not weights.isfinite().all():
            # Its memory may be as large as the gradients: too much to keep a copy of.
            del self._aggregators[tasks]
        return weights

    def shard(self, inner: InnerProducts) -> None:
        """See `Weighting.shard`."""
        aggregator = self._make(self.tasks, torch.device("cpu"))
        if not _needs_products_alone(aggregator):
            raise ValueError(
                f"`model.weighting` ({aggregator}) needs the tasks' gradients whole, "
                "and SIMTFullyShardedDataParallel leaves each process its rows of "
                "them. Choose a method that needs their inner products alone, such as "
                "UPGrad, or take `model_wrapper_cfg` out, for SIMTDataParallel."
            )
        super().shard(inner)

    def _by_products(
        self,
        aggregator: nn.Module,
        parameters: Sequence[nn.Parameter],
        rows: Sequence[Row],
        scale: float,
    ) -> Tensor | None:
        """Mix the rows by weights that follow from their inner products."""
        gramian = self.inner.gramian(parameters, rows) / scale**2
        if not gramian.isfinite().all():
            return super().aggregate((), parameters, rows, scale)
        weights = _weights(aggregator, gramian)
        for parameter in parameters:
            gradients = [row.pop(parameter) for row in rows]
            mixed = gradients[0].mul_(weights[0])
            for gradient, weight in zip(gradients[1:], weights[1:], strict=True):
                mixed.add_(gradient.mul_(weight))
            parameter.grad = mixed
        return weights

    def _by_matrix(
        self,
        aggregator: nn.Module,
        parameters: Sequence[nn.Parameter],
        rows: Sequence[Row],
        scale: float,
    ) -> Tensor | None:
        """Let torchjd see all gradients at once."""
        from torchjd.autojac import jac_to_grad

        matrices = [torch.stack([row.pop(p) for row in rows]) for p in parameters]
        if not torch.stack([matrix.sum() for matrix in matrices]).isfinite().all():
            for parameter, matrix in zip(parameters, matrices, strict=True):
                parameter.grad = matrix.sum(0)
            return None
        for parameter in reversed(parameters):
            parameter.jac = matrices.pop().div_(scale)
        weights = jac_to_grad(parameters, aggregator)
        for parameter in parameters:
            parameter.grad.mul_(scale)
        return weights

    def _aggregator(self, tasks: tuple[str, ...], device: torch.device) -> nn.Module:
        if tasks not in self._aggregators:
            aggregator = self._make(tasks, device)
            saved = self._saved.pop(",".join(tasks), None)
            if saved is not None:
                write_state(aggregator, saved, device)
            self._aggregators[tasks] = aggregator
        return self._aggregators[tasks]

    def get_extra_state(self) -> dict[str, Any]:
        """Return what the aggregators remember, by their tasks."""
        return self._saved | {
            ",".join(tasks): read_state(aggregator)
            for tasks, aggregator in self._aggregators.items()
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Let the aggregators remember; see `get_extra_state`."""
        self._aggregators = {}
        self._saved = dict(state)


def _needs_products_alone(aggregator: nn.Module) -> bool:
    """Tell whether an aggregator's weights follow from inner products."""
    from torchjd.aggregation import GramianWeightedAggregator, NashMTL

    # NashMTL's do, though torchjd gives it the matrix.
    return isinstance(aggregator, (GramianWeightedAggregator, NashMTL))


def _weights(aggregator: nn.Module, gramian: Tensor) -> Tensor:
    from torchjd.aggregation import GramianWeightedAggregator

    if isinstance(aggregator, GramianWeightedAggregator):
        return aggregator.gramian_weighting(gramian)
    # Any matrix with these inner products will do, so the smallest.
    values, vectors = torch.linalg.eigh(gramian.double())
    root = vectors * values.clamp(min=0).sqrt()
    return aggregator.weighting(root.to(gramian))
