"""Training with a sharded bank on two CPU processes over gloo."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, distributed, nn

from gppf_mm.engine.distributed import SIMTDataParallel, SIMTFullyShardedDataParallel
from gppf_mm.engine.distributed.shard import Shard
from gppf_mm.engine.distributed.sharded_optim import share_overflows
from gppf_mm.models import GPPF
from gppf_mm.utils.batches import Batches
from tests.ranks import RANKS, on_ranks
from tests.stand_ins import TASKS, batches, build_gppf, task_configs

OPTIMIZERS: dict[str, Callable] = {
    "SGD": lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, weight_decay=1e-3),
    # With the usual eps a step has the sign of a gradient, also of one that is noise.
    "AdamW": lambda p: torch.optim.AdamW(p, 1e-3, eps=0.01, weight_decay=0.05),
}
STEPS, COUNTS = 6, 2
SHAPES = [(), (1,), (3,), (1, 4), (5, 2), (8, 3, 3)]


def build(k: int = 2) -> GPPF:
    torch.manual_seed(0)
    router = dict(type="gppf_mm.TopKRouter", k=k, group="stage")
    model = build_gppf(router, num_units=8, tasks=task_configs(width=8))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train = lambda mode=True, norm=module: norm
            module.training = False  # Statistics would turn rounding into chaos.
    return model


def data_of(rank: int, step: int) -> dict[str, Any]:
    data = batches(10 * step + rank)
    if step % COUNTS:
        return {task: data[task] for task in ("cls", "det")}
    more = batches(1000 + 10 * step + rank)
    return data | dict(cls=Batches([data["cls"], more["cls"]]))


def train(rank: int, wrapped: SIMTDataParallel, optimizer: str) -> list[float]:
    """Train by clipped and accumulated steps and return the norms of the gradients."""
    optim_wrapper = OptimWrapper(
        OPTIMIZERS[optimizer](wrapped.parameters()),
        accumulative_counts=COUNTS,
        clip_grad=dict(max_norm=1.0),
    )
    if isinstance(wrapped, SIMTFullyShardedDataParallel):
        wrapped.adopt(optim_wrapper)
    norms = []
    for index in range(STEPS):
        wrapped.module.network.set_step(index)
        wrapped.train_step(data_of(rank, index), optim_wrapper)
        hub = optim_wrapper.message_hub
        norms.append(hub.get_scalar("train/grad_norm").current() if index else 0.0)
    return norms


def run_steps(rank: int, optimizer: str) -> dict[str, Any]:
    found = {}
    for wrapper in (SIMTDataParallel, SIMTFullyShardedDataParallel):
        model = build()
        if rank:  # The wrapper must send rank 0's values.
            for item in model.parameters():
                item.data.add_(1)
        wrapped = wrapper(model)
        norms = train(rank, wrapped, optimizer)
        found[wrapper.__name__] = norms, whole_state(model)
    return found


def whole_state(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: value.full_tensor() if hasattr(value, "full_tensor") else value.clone()
        for name, value in model.state_dict().items()
    }


def run_counted(rank: int) -> dict[str, Any]:
    """Count what travels in a step, for one active unit and for three."""
    gather, scatter = (
        distributed.all_gather_into_tensor,
        distributed.reduce_scatter_tensor,
    )
    found = {}
    for k in (1, 3):
        model = build(k)
        held = sum(item.nbytes for item in model.network.bank.parameters())
        wrapped = SIMTFullyShardedDataParallel(model)
        sent = dict(gathered=0, scattered=0)

        def count(pieces, flat, sent=sent, **options):
            sent["gathered"] += pieces.nbytes
            return gather(pieces, flat, **options)

        def count_gradients(own, flat, sent=sent, **options):
            sent["scattered"] += flat.nbytes
            return scatter(own, flat, **options)

        distributed.all_gather_into_tensor = count  # In this process alone.
        distributed.reduce_scatter_tensor = count_gradients
        optim_wrapper = OptimWrapper(OPTIMIZERS["SGD"](wrapped.parameters()))
        wrapped.train_step(data_of(rank, 0), optim_wrapper)
        distributed.all_gather_into_tensor = gather
        distributed.reduce_scatter_tensor = scatter
        own = sum(item.nbytes for item in model.network.bank.parameters())
        found[k] = sent | dict(held=held, own=own)
    return found


def run_nonfinite(rank: int) -> tuple[dict[str, Tensor], ...]:
    """Take a step in which one rank's loss of one task is not finite."""
    wrapped = SIMTFullyShardedDataParallel(build())
    before = whole_state(wrapped.module)
    optim_wrapper = OptimWrapper(OPTIMIZERS["AdamW"](wrapped.parameters()))
    wrapped.module.loss_weights["seg"] = float("nan") if rank else 1.0
    active = wrapped.module.network.active_parameters("seg")
    names = {
        name
        for name, item in wrapped.module.named_parameters()
        if any(item is other for other in active)
    }
    wrapped.train_step(batches(rank), optim_wrapper)
    after = whole_state(wrapped.module)
    return (
        {name: before[name] for name in names},
        {name: after[name] for name in names},
        {
            "moved": after["tasks.det.bbox_head.retina_cls.weight"]
            - before["tasks.det.bbox_head.retina_cls.weight"]
        },
    )


def run_shards(rank: int) -> list[bool]:
    """Divide tensors of every kind of length and put them together again."""
    mesh = distributed.device_mesh.init_device_mesh("cpu", (RANKS,))
    found = []
    for shape in SHAPES:
        whole = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        shard = Shard(whole.shape)
        rows = shard.of(whole)
        pieces = [torch.empty(shard.padded) for _ in range(RANKS)]
        distributed.all_gather(pieces, shard.pad(rows))
        joined = shard.join(torch.stack(pieces))
        divided = shard.divide(whole)
        collected = shard.collect(rows)
        sharded = shard.as_dtensor(rows, mesh).full_tensor().view(shape)
        found += [
            torch.equal(joined, whole),
            torch.equal(shard.unpad(divided[rank]), rows),
            (collected is None) if rank else torch.equal(collected, whole),
            torch.equal(sharded, whole),
        ]
    return found


def run_overflow(rank: int) -> list[tuple[list[float], float]]:
    """Let a scaled gradient overflow in one rank's shard alone, then in none."""
    found = []
    for fused in (False, True):
        weight = nn.Parameter(torch.ones(2))
        optimizer = torch.optim.SGD([weight], lr=1.0, fused=fused)
        optim_wrapper = SimpleNamespace(
            optimizer=optimizer, loss_scaler=torch.amp.GradScaler("cpu", init_scale=8.0)
        )
        share_overflows(optim_wrapper)
        scaler = optim_wrapper.loss_scaler
        for factor in (float("inf") if rank else 1.0, 0.5):
            optimizer.zero_grad()
            scaler.scale(weight.sum() * factor).backward()
            scaler.step(optimizer)
            scaler.update()
            found.append((weight.tolist(), scaler.get_scale()))
    return found


def run_all(rank: int) -> dict[str, Any]:
    results: dict[str, Any] = {name: run_steps(rank, name) for name in OPTIMIZERS}
    for run in (run_counted, run_nonfinite, run_shards, run_overflow):
        results[run.__name__] = run(rank)
    return results


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What both ranks found; starting processes takes longer than all they do."""
    return on_ranks(run_all, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_steps_equal_those_of_data_parallel(optimizer: str, ranks: list[dict]):
    start = build().state_dict()
    for results in ranks:
        (norms, expected), (own_norms, found) = results[optimizer].values()
        assert own_norms == pytest.approx(norms, rel=1e-6)
        assert max(norms) > 1  # Else nothing was clipped.
        assert found.keys() == expected.keys() == start.keys()
        unmoved = 0
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-6)
            if ".units." in name and torch.equal(value, start[name]):
                assert torch.equal(found[name], value)
                unmoved += 1
        assert unmoved > 0  # Units that no task activates.


def test_each_task_gathers_one_network_once(ranks: list[dict]):
    bank = build().network.bank
    network = sum(bank.units(name)[0].nbytes for name in bank.lego_names)
    for results in ranks:
        for counted in results["run_counted"].values():
            assert counted["gathered"] == counted["scattered"] == len(TASKS) * network
            assert counted["own"] == counted["held"] / RANKS


def test_a_nonfinite_loss_of_one_rank_stops_neither(ranks: list[dict]):
    for results in ranks:
        before, after, others = results["run_nonfinite"]
        assert before
        for name, value in before.items():
            assert torch.equal(after[name], value), name
        assert others["moved"].any()


def test_tensors_of_any_length_are_divided_and_joined(ranks: list[dict]):
    for results in ranks:
        assert all(results["run_shards"]), results["run_shards"]


def test_an_overflow_in_one_shard_leaves_out_all_steps(ranks: list[dict]):
    left_out, taken = ([1.0, 1.0], 4.0), ([0.5, 0.5], 4.0)
    for results in ranks:
        # An optimizer of PyTorch's usual kind, and a fused one.
        assert results["run_overflow"] == [left_out, taken] * 2


def test_a_weighting_that_needs_whole_gradients_is_refused():
    router = dict(type="gppf_mm.TopKRouter", k=2, group="stage")
    model = build_gppf(
        router, tasks=task_configs(width=8), weighting=dict(type="GradDrop")
    )
    with pytest.raises(ValueError, match=r"`model\.weighting` \(GradDrop\) needs"):
        SIMTFullyShardedDataParallel(model)
