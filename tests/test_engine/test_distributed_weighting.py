"""Weighted data-parallel steps: two ranks equal one of twice the batch."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gppf_mm.engine.distributed import SIMTDataParallel, SIMTFullyShardedDataParallel
from gppf_mm.engine.distributed.averaging import gather_ranks
from gppf_mm.engine.distributed.shard import is_sharded, shard_of
from gppf_mm.engine.runner import SIMTRunner
from gppf_mm.models import GPPF
from tests.ranks import on_ranks
from tests.tiny_tasks import (
    NAMES,
    OVERLAPPING,
    TOP2,
    build_tiny,
    step_gradients,
    tiny_batches,
)

REGULARIZERS = [
    dict(type="gppf_mm.BalanceLoss", weight=0.3),
    dict(type="gppf_mm.SharingLoss", weight=0.2, direction="apart"),
    dict(type="gppf_mm.EntropyLoss", weight=0.1),
]
WRAPPERS = (SIMTDataParallel, SIMTFullyShardedDataParallel)
CASES: dict[str, dict[str, Any]] = {
    "UW": dict(weighting=dict(type="UW")),
    "FAMO": dict(weighting=dict(type="FAMO")),
    "UPGrad": dict(weighting=dict(type="UPGrad")),
    "PCGrad": dict(weighting=dict(type="PCGrad")),
    "NashMTL": dict(weighting=dict(type="NashMTL")),
    "accumulated": dict(weighting=dict(type="UPGrad")),
    "clipped": dict(clip_grad_per_task=dict(max_norm=0.3)),
    "clipped by largest": dict(
        clip_grad_per_task=dict(max_norm=0.05, norm_type=float("inf"))
    ),
    "measured": dict(gradient_stats_interval=1),
    "frozen": {},
    "regularized": dict(lego=dict(regularizers=REGULARIZERS)),
    "regularized UPGrad": dict(
        weighting=dict(type="UPGrad"), lego=dict(regularizers=REGULARIZERS)
    ),
}


def build(name: str) -> GPPF:
    if name == "frozen":
        return build_tiny(dict(TOP2, freeze_at=0))
    learns = name == "UPGrad" or name.startswith("regularized")
    return build_tiny(TOP2 if learns else OVERLAPPING, **CASES[name])


def steps(name: str, part: slice) -> list[dict[str, Any]]:
    """Return a rank's share of the batches of one optimizer step."""
    found = [
        {
            task: (images[part], targets[part])
            for task, (images, targets) in tiny_batches(seed, size=8).items()
        }
        for seed in range(2)
    ]
    if name != "accumulated":
        return found[:1]
    # A task that the last micro-step lacks.
    return [found[0], {task: found[1][task] for task in NAMES[1:]}]


def run_all(rank: int) -> dict[Any, Any]:
    part = slice(4 * rank, 4 * rank + 4)
    results: dict[Any, Any] = {}
    data = tiny_batches(seed=rank)
    if rank:
        data["two"][1].fill_(torch.nan)
    for wrapper in WRAPPERS:
        for name in CASES:
            torch.manual_seed(rank)  # Random methods must not follow it.
            results[wrapper, name] = whole_gradients(
                wrapper(build(name)), *steps(name, part)
            )
        results[wrapper, "bad"] = whole_gradients(wrapper(build("UPGrad")), data)
        results[wrapper, "unused"] = run_unused(rank, wrapper)
        results[wrapper, "bad, then left out"] = whole_gradients(
            wrapper(build("UPGrad")), data, dict(one=tiny_batches()["one"])
        )
    results["first values"] = run_first_values(rank)
    return results


def whole_gradients(
    model: SIMTDataParallel, *steps: dict
) -> tuple[dict[str, Tensor | None], dict[str, Tensor]]:
    """Return what `step_gradients` does, with whole gradients of shards."""
    gradients, log = step_gradients(model, *steps)
    for name, parameter in model.module.named_parameters():
        rows = gradients[name]
        if rows is not None and is_sharded(parameter):
            shard = shard_of(parameter)
            gradients[name] = shard.join(gather_ranks(shard.pad(rows)))
    return gradients, log


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return on_ranks(run_all, tmp_path_factory.mktemp("ranks"))


def is_statistic(name: str) -> bool:
    return name.startswith(("cosine/", "router/")) or name.endswith(
        ("/weight", "/grad_norm")
    )


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("name", CASES)
def test_two_ranks_equal_one_of_twice_the_batch(
    name: str, wrapper: type[SIMTDataParallel], ranks: list[dict]
):
    expected, log = step_gradients(build(name), *steps(name, slice(0, 8)))
    for gradients, seen in (results[wrapper, name] for results in ranks):
        for key, value in expected.items():
            assert (gradients[key] is None) == (value is None), key
            if value is not None:
                torch.testing.assert_close(
                    gradients[key], value, rtol=1e-3, atol=1e-6, msg=key
                )
        for key in filter(is_statistic, log):
            torch.testing.assert_close(seen[key], log[key], rtol=1e-4, atol=1e-6)
    one, other = (results[wrapper, name][0] for results in ranks)
    for key, value in one.items():
        assert value is None or torch.equal(value, other[key]), key


def run_first_values(rank: int) -> dict[str, Tensor]:
    """Return the values that a runner gives a model on a rank with its own seed."""
    runner = object.__new__(SIMTRunner)
    runner.model, runner._distributed = SIMTDataParallel(build("UPGrad")), True
    runner._resume = False
    torch.manual_seed(rank)
    runner._init_model_weights()
    return {key: value.detach() for key, value in runner.model.named_parameters()}


def test_all_ranks_begin_with_the_same_values(ranks: list[dict]):
    one, other = (results["first values"] for results in ranks)
    torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("case", ["bad", "bad, then left out"])
def test_a_bad_loss_of_one_rank_takes_no_part_on_any(
    wrapper: type[SIMTDataParallel], case: str, ranks: list[dict]
):
    (one, _), (other, _) = (results[wrapper, case] for results in ranks)
    assert one["tasks.two.head.weight"] is None
    for key, value in one.items():
        assert (value is None) == (other[key] is None)
        if value is not None:
            assert value.isfinite().all()
            assert torch.equal(value, other[key])


def run_unused(rank: int, wrapper: type[SIMTDataParallel]) -> list[tuple[str, ...]]:
    """Return the tasks with gradients on a layer that a task's loss does not reach."""
    model = build("accumulated")
    stock = model.tasks["one"]

    def without_last_layer(images, targets, mode):
        loss = stock.backbone[0](images).square().mean() + stock.head.bias.sum()
        return dict(loss_fit=loss)

    stock.forward = without_last_layer
    wrapped = wrapper(model)
    layer = model.network.bank.units("backbone.2.weight")[1]
    seen: list[tuple[str, ...]] = []
    combine = model.combiner.combine

    def look(shared, *others):
        sets = model.rows.sets(NAMES, shared)
        seen.extend(k for k, v in sets.items() if any(item is layer for item in v))
        return combine(shared, *others)

    model.combiner.combine = look
    step_gradients(wrapped, tiny_batches(rank))
    return seen


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_what_no_rank_has_a_gradient_on_is_no_row_of_zeros(
    wrapper: type[SIMTDataParallel], ranks: list[dict]
):
    assert [results[wrapper, "unused"] for results in ranks] == [[("two",)]] * 2
