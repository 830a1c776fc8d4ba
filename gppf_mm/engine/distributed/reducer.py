"""Averaging gradients over the ranks while later tasks still compute theirs."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from .averaging import average
from .control import ControlGroup, common_timeout


@dataclass
class _Bucket:
    """Parameters of one dtype and device whose gradients travel together."""

    parameters: list[nn.Parameter]
    size: int = 0  # In bytes.
    waiting: int = 0


@dataclass(frozen=True)
class _Sent:
    """A bucket on its way."""

    parameters: list[nn.Parameter]
    present: list[bool]
    averages: list[Tensor]
    work: distributed.Work


class GradientReducer:
    """Averages each gradient once per optimizer step, as soon as it is final.

    A step is a sequence of stages, one for each task: the parameters of a stage are
    those that no later task trains. Their gradients are final once the stage's backward
    passes have reached them, and are sent at once in buckets, while the backward passes
    go on. Buckets leave in an order fixed beforehand, so that no rank waits for another
    in a different collective; a gradient that a rank lacks, for want of objects, counts
    as zero.

    Args:
        parameters: All parameters that may get gradients.
        control: Carries the ranks' small messages.
        bucket_bytes: Size of a bucket. Defaults to 25 MiB, as in PyTorch's own data
            parallel.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        control: ControlGroup,
        bucket_bytes: int = 25 * 2**20,
    ) -> None:
        self._control = control
        # Of its own: SyncBN's collectives, in the default one, come in an order of
        # theirs, and a bucket leaves earlier on a rank that lacks no gradient of it.
        # NCCL wants even those of different groups in one order where the GPU runs one
        # kernel at a time.
        self._group = distributed.new_group(timeout=common_timeout())
        self._bucket_bytes = bucket_bytes
        self._stages: list[list[_Bucket]] = []
        self._passes: list[int] = []
        self._current = 0
        self._launched = 0
        self._sent: list[_Sent] = []
        self._homes: dict[nn.Parameter, _Bucket] = {}
        self._awaited: dict[nn.Parameter, int] = {}
        for parameter in parameters:
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(self._produced)

    def begin(
        self, stages: Sequence[Sequence[nn.Parameter]], passes: Sequence[int]
    ) -> None:
        """Begin a step.

        Args:
            stages: The parameters that are final after each stage, the same on all
                ranks. Without stages nothing is sent: the gradients accumulate.
            passes: The backward passes in each stage.
        """
        self._stages = [list(_buckets(stage, self._bucket_bytes)) for stage in stages]
        self._passes = list(passes)
        self._sent = []
        self._current = 0
        self._enter_stage()

    def end_stage(self) -> None:
        """End the current stage: what it has not sent yet is sent now."""
        if self._current < len(self._stages):
            self._launch(force=True)
            self._current += 1
            self._enter_stage()

    def finish(self) -> None:
        """Wait for the averages and put them into ``.grad``."""
        parameters = [item for sent in self._sent for item in sent.parameters]
        # What was produced once more after it had been sent (by re-entrant activation
        # checkpointing, say) is the rest of a sum, and so is its average.
        rests = [item.grad for item in parameters]
        present = [flag for sent in self._sent for flag in sent.present]
        late = [rest is not None for rest in rests]
        flags = self._control.any_of([*present, *late])
        present, late = flags[: len(present)], flags[len(present) :]
        for sent in self._sent:
            sent.work.wait()
        averages = [item for sent in self._sent for item in sent.averages]
        for parameter, mean, there in zip(parameters, averages, present, strict=True):
            parameter.grad = mean if there else None
        self._add_rests(parameters, rests, late)
        self.begin((), ())

    def _add_rests(
        self,
        parameters: Sequence[nn.Parameter],
        rests: Sequence[Tensor | None],
        late: Sequence[bool],
    ) -> None:
        for parameter, rest, is_late in zip(parameters, rests, late, strict=True):
            if is_late:
                rest = torch.zeros_like(parameter) if rest is None else rest
                (mean,), work = average([rest], self._group)
                work.wait()
                before = parameter.grad
                parameter.grad = mean if before is None else before + mean

    def _enter_stage(self) -> None:
        self._launched = 0
        self._homes, self._awaited = {}, {}
        if self._current < len(self._stages):
            for bucket in self._stages[self._current]:
                bucket.waiting = len(bucket.parameters)
                for parameter in bucket.parameters:
                    self._homes[parameter] = bucket
                    self._awaited[parameter] = self._passes[self._current]

    def _produced(self, parameter: nn.Parameter) -> None:
        """Note that a backward pass has reached a parameter."""
        bucket = self._homes.get(parameter)
        if bucket is None:
            return
        self._awaited[parameter] -= 1
        if self._awaited[parameter] == 0:
            bucket.waiting -= 1
            self._launch()

    def _launch(self, force: bool = False) -> None:
        """Send the stage's next buckets, in order, as far as they are complete."""
        buckets = self._stages[self._current]
        while self._launched < len(buckets):
            bucket = buckets[self._launched]
            if bucket.waiting and not force:
                return
            self._sent.append(_send(bucket, self._group))
            self._launched += 1


def _buckets(
    parameters: Sequence[nn.Parameter], bucket_bytes: int
) -> Iterator[_Bucket]:
    """Divide a stage's parameters, in the reverse order: that of backward passes."""
    open_buckets: dict[tuple[torch.dtype, torch.device], _Bucket] = {}
    for parameter in reversed(parameters):
        kind = (parameter.dtype, parameter.device)
        bucket = open_buckets.setdefault(kind, _Bucket([]))
        bucket.parameters.append(parameter)
        bucket.size += parameter.nbytes
        if bucket.size >= bucket_bytes:
            yield open_buckets.pop(kind)
    yield from open_buckets.values()


def _send(bucket: _Bucket, group: distributed.ProcessGroup) -> _Sent:
    gradients = [item.grad for item in bucket.parameters]
    present = [gradient is not None for gradient in gradients]
    averages, work = average(
        [
            torch.zeros_like(item) if gradient is None else gradient
            for item, gradient in zip(bucket.parameters, gradients, strict=True)
        ],
        group,
    )
    for parameter in bucket.parameters:
        parameter.grad = None
    return _Sent(bucket.parameters, present, averages, work)
