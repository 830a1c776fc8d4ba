"""The sharded wrapper against PyTorch's ``fully_shard``, which gathers each unit."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from gppf_mm.engine.distributed.averaging import average
from gppf_mm.models import LegoNetwork
from gppf_mm.registry import MODEL_WRAPPERS

from .communication import Collectives
from .data_parallel import ACTIVE, ROUTES, UNITS, TaskLoss, together
from .figure import Figure
from .memory import MIB
from .options import Options
from .ranks import agree, run_ranks
from .steps import Step
from .tasks import RECIPES, SHARED, build_gppf, optimizer_for, set_up
from .timing import Call, interleave, ratio_figure

_SIZE = 128
_WHAT = "step of a sharded bank, 2 processes, 2 of 4 units / fully_shard on each unit"


def shard_over_fully_shard(options: Options) -> list[Figure]:
    """Compare the time of 2-process steps over gloo, and what they send."""
    found = run_ranks(measure_ranks, options)
    figure = ratio_figure(
        "shard_over_fully_shard", f"{_WHAT}; {_SIZE} pixels", found["times"], None
    )
    sent = {name: sum(sizes.values()) for name, sizes in found["sent"].items()}
    ours, theirs = sent.values()
    return [
        figure,
        Figure(
            "shard_bytes_over_fully_shard",
            "bytes of whole tensors that its collectives gather, scatter and reduce",
            ours / theirs,
            sides={name: f"{size / MIB:.0f} MiB" for name, size in sent.items()},
            note="; ".join(
                f"{name}: "
                + ", ".join(f"{key} {size / MIB:.0f}" for key, size in sizes.items())
                for name, sizes in found["sent"].items()
            ),
        ),
    ]


def measure_ranks(options: Options) -> dict[str, Any]:
    """Time and count in one of the ranks, once both sides are set up."""
    ours, theirs = sharded_steps(options)
    steps: dict[str, Call] = {"sharded": ours, "fully_shard": theirs}
    sent = {}
    for name, step in steps.items():
        step()
        with Collectives() as collectives:
            step()
        sent[name] = collectives.sizes
    calls = {name: together(step) for name, step in steps.items()}
    return dict(sent=sent, times=interleave(calls, options, agree))


def sharded_steps(options: Options) -> tuple[Step, "FullyShardStep"]:
    """Set up both steps in one of the ranks, from equal weights."""
    cfg, batches = set_up(RECIPES, options, size=_SIZE)
    bank = build_gppf(cfg, UNITS, ROUTES, options)
    model = build_gppf(cfg, 1, SHARED, options)
    model.tasks.load_state_dict(bank.tasks.state_dict())
    units = ShardedUnits(bank.network, ACTIVE)
    model.network.gather_with(units)
    wrapper = dict(type="SIMTFullyShardedDataParallel", module=bank)
    ours = Step(MODEL_WRAPPERS.build(wrapper), batches)
    return ours, FullyShardStep(TaskLoss(model), units, batches)


class BlockUnit(nn.Module):
    """One unit of all layers of a routing group: what is gathered at once.

    Args:
        values: Its parameters by their names in the network.
    """

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.names = tuple(values)
        self.parts = nn.ParameterList(map(torch.clone, values.values()))

    def forward(self, weight: Tensor) -> dict[str, Tensor]:
        """Return the unit's part of a mixture.

        Args:
            weight: Its mixing weight, a scalar that requires a gradient: by it
                ``fully_shard`` finds the end of the backward pass.
        """
        scaled = (weight * part for part in self.parts)
        return dict(zip(self.names, scaled, strict=True))


class ShardedUnits(nn.Module):
    """A bank as one would write it with ``fully_shard``, mixed evenly by fixed routes.

    It is the ``gather`` of a `LegoNetwork` of one unit, of which it takes no heed.

    Args:
        network: A network with as many units, from whose weights it starts.
        routes: The active units of each task.
    """

    def __init__(
        self, network: LegoNetwork, routes: Mapping[str, Sequence[int]]
    ) -> None:
        super().__init__()
        self.routes = routes
        bank = network.bank
        groups: dict[str, list[str]] = {}
        for name in bank.lego_names:
            groups.setdefault(network.groups[name], []).append(name)
        self.groups = nn.ModuleList(
            nn.ModuleList(
                BlockUnit({name: bank.unit(name, index) for name in names})
                for index in range(bank.num_units)
            )
            for names in groups.values()
        )
        mesh = init_device_mesh("cpu", (distributed.get_world_size(),))
        for group in self.groups:
            for unit in group:
                fully_shard(unit, mesh=mesh)

    def __call__(self, task: str, mixed: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return a task's whole weights."""
        active = self.routes[task]
        weight = torch.tensor(1 / len(active), requires_grad=True)
        weights = {}
        for group in self.groups:
            first, *others = (group[index](weight) for index in active)
            for name, value in first.items():
                weights[name] = sum((other[name] for other in others), value)
        return {name: weights[name] for name in mixed}


class FullyShardStep:
    """A step over units that ``fully_shard`` gathers and whose gradients it scatters.

    Args:
        losses: The tasks' losses.
        units: The bank.
        batches: A batch of each task.
    """

    def __init__(
        self,
        losses: TaskLoss,
        units: ShardedUnits,
        batches: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.losses = losses
        self.units = units
        self.batches = batches
        trained = nn.ModuleList([losses.model.tasks, units])
        self.optimizer: torch.optim.Optimizer = optimizer_for(trained).optimizer

    def __call__(self) -> None:
        """Take the step."""
        for task, batch in self.batches.items():
            self.losses(task, batch).backward()
        heads_and_norms = self.losses.model.tasks.parameters()
        private = [item for item in heads_and_norms if item.grad is not None]
        averages, work = average([item.grad for item in private])
        work.wait()
        for parameter, gradient in zip(private, averages, strict=True):
            parameter.grad = gradient
        self.optimizer.step()
        self.optimizer.zero_grad()
