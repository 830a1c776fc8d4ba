"""Whole weights for one task at a time, made of shards and returned to them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, distributed, nn

from gppf_mm.models import LegoNetwork

from .control import ControlGroup
from .shard import Shard, shard_of


@dataclass
class _Loan:
    """One task's weights while it uses them.

    Attributes:
        mixed: This rank's rows of them, in the graph of units and router.
        whole: The whole weights, leaves of the task's own graph.
        names: Those that are trained.
        present: Which of those got a gradient on this rank.
        gradients: This rank's rows of the average over the ranks.
        sent: Gradients on their way.
    """

    mixed: dict[str, Tensor]
    whole: dict[str, Tensor]
    names: list[str] = field(default_factory=list)
    present: list[bool] = field(default_factory=list)
    gradients: dict[str, Tensor] = field(default_factory=dict)
    sent: list[tuple[list[str], Tensor, distributed.Work]] = field(default_factory=list)


class ShardedWeights:
    r"""Gathers a task's assembled weights, and scatters their gradients.

    Mixing is linear and works element by element, so each rank mixes its own rows of
    the active units and the *mixture* is gathered: once per task and step, at the cost
    of one network, whatever the number of active units (our choice; gathering the units
    themselves would cost k networks). The mixture is a leaf of the task's graph. Its
    gradient is averaged over the ranks and scattered when the task is over, and goes
    from each rank's rows to that rank's rows of the units, :math:`g_i\,\nabla W`, and
    to the mixing weights, :math:`\sum \nabla W \odot U_i`, of which each rank has a
    part of the sum.

    It is the ``gather`` of a `LegoNetwork`. A loss without gradient on some rank leads
    to zeros there and not to a collective that others wait for.

    Args:
        network: The network, whose bank is sharded.
        control: Carries the ranks' small messages.
        bucket_bytes: Size of the pieces in which weights and gradients travel.
    """

    def __init__(
        self, network: LegoNetwork, control: ControlGroup, bucket_bytes: int
    ) -> None:
        bank = network.bank
        first = {name: bank.units(name)[0] for name in bank.lego_names}
        first |= {name: bank.parameter(name) for name in bank.shared_names}
        self._shards: dict[str, Shard] = {n: shard_of(p) for n, p in first.items()}
        self._router = list(network.router.parameters())
        self._control = control
        self._bucket_bytes = bucket_bytes
        self._loans: dict[str, _Loan] | None = None

    def __call__(self, task: str, mixed: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return a task's whole weights.

        Args:
            task: The task.
            mixed: This rank's rows of each weight, by name.

        Returns:
            The weights by name. Within a step the batches of a task get the same ones.
        """
        if self._loans is None:
            return self._gather(mixed)
        if task not in self._loans:
            whole = self._gather(mixed)
            for name, weight in whole.items():
                weight.requires_grad_(mixed[name].requires_grad)
            self._loans[task] = _Loan(mixed, whole)
        return self._loans[task].whole

    def begin(self) -> None:
        """Begin a step, in which tasks return the gradients of what they are lent."""
        self._loans = {}

    def end_task(self, task: str) -> None:
        """Send the gradients of a task whose backward passes are over.

        They travel while the next task computes, and those before them have arrived.
        """
        if self._loans is None or task not in self._loans:
            return
        for earlier in self._loans.values():
            self._receive(earlier)
        loan = self._loans[task]
        trained = {n: w for n, w in loan.whole.items() if w.requires_grad}
        loan.names = list(trained)
        loan.present = [weight.grad is not None for weight in trained.values()]
        for names in self._buckets(trained):
            loan.sent.append((names, *self._scatter(names, trained)))
        loan.whole = {}

    def finish(self, after_task: Callable[[str], None] | None = None) -> None:
        """Add the gradients of all tasks to those of units and router.

        What no rank has a gradient for gets none.

        Args:
            after_task: Is called with each task whose gradients were added. Defaults to
                None, nothing.
        """
        loans, self._loans = self._loans or {}, None
        flags = self._control.any_of(
            [flag for loan in loans.values() for flag in loan.present]
        )
        for task, loan in loans.items():
            self._receive(loan)
            present, flags = flags[: len(loan.names)], flags[len(loan.names) :]
            pairs = zip(loan.names, present, strict=True)
            names = [name for name, there in pairs if there]
            with _summed(self._router):
                torch.autograd.backward(
                    [loan.mixed[name] for name in names],
                    [loan.gradients.pop(name) for name in names],
                )
            if after_task is not None:
                after_task(task)

    def _gather(self, mixed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        whole: dict[str, Tensor] = {}
        for names in self._buckets(mixed):
            flat = torch.cat([self._shards[n].pad(mixed[n].detach()) for n in names])
            ranks = distributed.get_world_size()
            pieces = flat.new_empty(ranks * flat.numel())
            distributed.all_gather_into_tensor(pieces, flat)
            sizes = [self._shards[name].padded for name in names]
            parts = pieces.view(ranks, -1).split(sizes, dim=1)
            for name, part in zip(names, parts, strict=True):
                whole[name] = self._shards[name].join(part)
        return {name: whole[name] for name in mixed}

    def _scatter(
        self, names: Sequence[str], weights: Mapping[str, Tensor]
    ) -> tuple[Tensor, distributed.Work]:
        parts = []
        for name in names:
            weight = weights[name]
            gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
            weight.grad = None
            parts.append(self._shards[name].divide(gradient))
        flat = torch.cat(parts, dim=1).div_(distributed.get_world_size())
        own = flat.new_empty(flat.shape[1])
        work = distributed.reduce_scatter_tensor(own, flat.view(-1), async_op=True)
        return own, work

    def _receive(self, loan: _Loan) -> None:
        for names, flat, work in loan.sent:
            work.wait()
            sizes = [self._shards[name].padded for name in names]
            for name, part in zip(names, flat.split(sizes), strict=True):
                loan.gradients[name] = self._shards[name].unpad(part)
        loan.sent = []

    def _buckets(self, values: Mapping[str, Tensor]) -> Iterator[list[str]]:
        """Divide names by dtype into pieces of about this size, alike on all ranks."""
        by_dtype: dict[torch.dtype, list[str]] = {}
        for name, value in values.items():
            by_dtype.setdefault(value.dtype, []).append(name)
        for dtype, names in by_dtype.items():
            bucket: list[str] = []
            size = 0
            for name in names:
                bucket.append(name)
                size += self._shards[name].shape.numel() * dtype.itemsize
                if size >= self._bucket_bytes:
                    yield bucket
                    bucket, size = [], 0
            if bucket:
                yield bucket


@contextmanager
def _summed(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Make what is added to gradients here the sum over the ranks.

    They are averaged later, together with what each rank had before.
    """
    before = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    yield
    ranks = distributed.get_world_size()
    for parameter, old in zip(parameters, before, strict=True):
        added = parameter.grad
        if added is None:
            parameter.grad = old
        else:
            parameter.grad = added * ranks if old is None else old + added * ranks
