"""The two sides of a comparison do the same work."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import distributed
from torch.distributed.tensor import DTensor

from gppf_mm.testing.benchmark import Options
from gppf_mm.testing.benchmark.alternatives import SummedStep
from gppf_mm.testing.benchmark.communication import count_bytes
from gppf_mm.testing.benchmark.data_parallel import data_parallel_steps
from gppf_mm.testing.benchmark.fully_shard import sharded_steps
from gppf_mm.testing.benchmark.steps import Step
from gppf_mm.testing.benchmark.tasks import RECIPES, SHARED, build_gppf, set_up
from tests.ranks import on_ranks

QUICK = Options(quick=True)


@pytest.fixture
def one_rank(tmp_path: Path) -> Iterator[None]:
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("one_rank")
def test_naive_data_parallel_trains_the_same() -> None:
    ours, theirs = data_parallel_steps(QUICK, size=64)
    for step in (ours, theirs):
        torch.manual_seed(0)  # Dropout.
        step()
    expected = dict(ours.model.module.named_parameters())
    for name, value in theirs.losses.module.model.named_parameters():
        torch.testing.assert_close(value, expected[name], msg=name)


def moves_of_shards(rank: int) -> dict[str, tuple[float, float]]:
    """Return by how much one side's weights move, and the other's otherwise."""
    ours, theirs = sharded_steps(QUICK)
    bank = ours.model.module.network.bank
    for model in (ours.model.module, theirs.losses.model):
        for module in model.modules():
            # Residual branches that start from zero have no gradient at first.
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.ones_(module.weight)
    private = dict(theirs.losses.model.tasks.named_parameters())
    pairs = {
        name: (parameter, private[name])
        for name, parameter in ours.model.module.tasks.named_parameters()
    }
    for group in theirs.units.groups:
        for index, unit in enumerate(group):
            for name, part in zip(unit.names, unit.parts, strict=True):
                pairs[f"{name} {index}"] = (bank.unit(name, index), part)
    before = {name: pair[0].detach().clone() for name, pair in pairs.items()}
    for step in (ours, theirs):
        torch.manual_seed(0)  # Dropout.
        step()
    found = {}
    for name, (mine, other) in pairs.items():
        mine, other = mine.detach(), other.detach()
        other = other.to_local() if isinstance(other, DTensor) else other
        if mine.numel():  # Of few rows a rank may have none.
            move = (mine - before[name]).abs().max()
            found[name] = (move.item(), (mine - other).abs().max().item())
    return found


def test_fully_shard_trains_the_same(tmp_path: Path) -> None:
    for found in on_ranks(moves_of_shards, tmp_path):
        assert sum(move > 0 for move, _ in found.values()) > 0.95 * len(found)
        for name, (move, difference) in found.items():
            assert difference <= 1e-3 * move, name


@pytest.mark.usefixtures("one_rank")
def test_each_gradient_is_sent_once() -> None:
    found = count_bytes(QUICK)
    # Running statistics and flags are the rest.
    assert 1.0 <= sum(found["sent"].values()) / found["gradients"] < 1.005


def test_summed_losses_have_the_same_gradient() -> None:
    cfg, batches = set_up(RECIPES, QUICK, size=64)
    ours = Step(build_gppf(cfg, 1, SHARED, QUICK), batches)
    theirs = SummedStep(cfg, batches, QUICK)
    bank = ours.model.network.bank
    for module in ours.model.modules():
        # Residual branches that start from zero have no gradient in the first step.
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)
    for task, stock in theirs.model.items():
        state = {name: bank.units(name)[0].detach() for name in bank.lego_names}
        state.update(ours.model.tasks[task].state_dict())
        if task == "cls":
            state = {
                name.replace("backbone.", "backbone.backbone."): value
                for name, value in state.items()
            }
        stock.load_state_dict(state)
    before = {name: bank.units(name)[0].clone() for name in bank.lego_names}
    for step in (ours, theirs):
        # So that moves are large beside the rounding of the weights.
        for group in step.optimizer.param_groups:
            group["lr"] = 0.1
        torch.manual_seed(0)
        step()
    shared = dict(theirs.model["det"].named_parameters())
    for name in bank.lego_names:
        moved = bank.units(name)[0] - before[name]
        expected = shared[name] - before[name]
        scale = expected.abs().max()
        assert scale > 0
        assert (moved - expected).abs().max() <= 1e-3 * scale, name
