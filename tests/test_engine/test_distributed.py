"""Data-parallel training on two CPU processes over gloo."""

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import distributed
from torch.utils.checkpoint import checkpoint

from gppf_mm.engine.distributed import SIMTDataParallel
from gppf_mm.engine.distributed import reducer as reducer_module
from gppf_mm.engine.distributed.control import ControlGroup
from gppf_mm.engine.distributed.reducer import GradientReducer
from gppf_mm.models import GPPF
from gppf_mm.utils.batches import Batches
from tests.ranks import RANKS, TIMEOUT, on_ranks
from tests.runs import REPO, make_tiny_toy, tiny_config, tool, write_config
from tests.stand_ins import TASKS, batches, build_gppf, task_configs
from tests.tiny_tasks import OVERLAPPING, build_tiny, tiny_batches

CASES = {
    "plain": 25,
    "small buckets": 0.01,
    "accumulated": 25,
    "several batches": 0.01,
    "no objects": 25,
    "activation checkpointing": 0.01,
}
ROUTER = dict(type="gppf_mm.TopKRouter", k=2, group="stage")
Gradients = dict[str, torch.Tensor | None]


def build(with_cp: bool = False) -> GPPF:
    torch.manual_seed(0)
    return build_gppf(ROUTER, tasks=task_configs(with_cp=with_cp))


class KeepGradients(torch.optim.SGD):
    """Notes the gradients that a step would use, and takes no step."""

    def step(self, closure=None) -> None:
        self.seen = [
            None if item.grad is None else item.grad.clone()
            for item in self.param_groups[0]["params"]
        ]


def seen_gradients(
    model: torch.nn.Module, steps: list[Mapping[str, Any]], **options: Any
) -> Gradients:
    """Return the gradients with which the optimizer would take a step."""
    optimizer = KeepGradients(model.parameters(), lr=1.0)
    wrapper = OptimWrapper(optimizer, accumulative_counts=len(steps), **options)
    for data in steps:
        model.train_step(data, wrapper)
    names = [name.removeprefix("module.") for name, _ in model.named_parameters()]
    return dict(zip(names, optimizer.seen, strict=True))


def case(name: str, rank: int) -> list[dict[str, Any]]:
    """Return the data of the micro-steps of one optimizer step on a rank."""
    one, two = batches(seed=rank), batches(seed=10 + rank)
    if name == "accumulated":
        # A task that the last micro-step lacks, and one that only that one has.
        return [
            {task: one[task] for task in ("det", "seg")},
            {task: two[task] for task in ("seg", "cls")},
        ]
    if name == "several batches":
        return [one | dict(cls=Batches([one["cls"], two["cls"]]))]
    if name == "no objects":
        for sample in one["det"]["data_samples"] if rank else ():
            sample.gt_instances = sample.gt_instances[:0]
    return [one]


def build_for(name: str) -> GPPF:
    return build(with_cp=name == "activation checkpointing")


def run_case(rank: int, name: str) -> tuple[Gradients, dict]:
    model = build_for(name)
    if rank:  # The wrapper must send rank 0's values.
        for item in model.parameters():
            item.data.add_(1)
    wrapped = SIMTDataParallel(model, CASES[name])
    return seen_gradients(wrapped, case(name, rank)), dict(model.named_buffers())


def run_all(rank: int) -> dict[str, Any]:
    results: dict[str, Any] = {name: run_case(rank, name) for name in CASES}
    runs = (run_half, run_counted, run_used_twice, run_other_plan, run_collectives)
    for run in (*runs, run_groups, run_masked):
        results[run.__name__] = run(rank)
    return results


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What both ranks found; starting processes takes longer than all they do."""
    return on_ranks(run_all, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_the_average_of_the_ranks(name: str, ranks: list[dict]):
    found = [results[name] for results in ranks]
    models = [build_for(name) for _ in range(RANKS)]
    alone = [seen_gradients(models[rank], case(name, rank)) for rank in range(RANKS)]
    inactive = 0
    for parameter, first in alone[0].items():
        pair = [first, alone[1][parameter]]
        if pair[0] is None and pair[1] is None:
            assert found[0][0][parameter] is None
            inactive += 1
            continue
        mean = sum(item for item in pair if item is not None) / RANKS
        for seen, _ in found:
            torch.testing.assert_close(seen[parameter], mean, rtol=1e-5, atol=1e-6)
        assert torch.equal(found[0][0][parameter], found[1][0][parameter])
    assert inactive > 0  # Units that no task activates are not sent.
    for parameter, value in found[0][1].items():
        if value.is_floating_point():
            assert torch.equal(value, found[1][1][parameter])
            sides = [dict(model.named_buffers())[parameter] for model in models]
            torch.testing.assert_close(value, sum(sides) / RANKS)


def without_batch_statistics(model: GPPF) -> GPPF:
    """Let every batch norm use its running statistics."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    return model


def halves_of(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Divide the batches of the tasks whose losses are means over the images."""
    return [
        {
            task: {key: values[part] for key, values in data[task].items()}
            for task, part in (
                ("seg", slice(i, i + 1)),
                ("cls", slice(2 * i, 2 * i + 2)),
            )
        }
        for i in range(2)
    ]


def run_half(rank: int) -> Gradients:
    model = SIMTDataParallel(without_batch_statistics(build()))
    return seen_gradients(model, [halves_of(batches())[rank]])


def test_two_ranks_equal_one_of_twice_the_batch(ranks: list[dict]):
    found = [results["run_half"] for results in ranks]
    data = {task: batches()[task] for task in ("seg", "cls")}
    expected = seen_gradients(without_batch_statistics(build()), [data])
    for name, gradient in expected.items():
        for side in found:
            if gradient is None:
                assert side[name] is None
                continue
            error = (side[name] - gradient).abs().max()
            assert error <= 1e-6 * gradient.abs().max().clamp(min=1), name


def run_counted(rank: int) -> tuple[int, int, list[str]]:
    """Return bytes sent, bytes of gradients, and what happened in which order."""
    model = build()
    sent, events = 0, []
    send = reducer_module._send

    def count(bucket, group):
        nonlocal sent
        result = send(bucket, group)
        sent += sum(item.nbytes for item in result.averages)
        events.append("sent")
        return result

    reducer_module._send = count  # In this process alone.
    wrapped = SIMTDataParallel(model, bucket_mib=0.1)
    backward = model.backward

    def noting(data, optim_wrapper, after_task):
        def note(task):
            events.append(task)
            after_task(task)

        return backward(data, optim_wrapper, note)

    model.backward = noting
    gradients = seen_gradients(wrapped, [batches(seed=rank)])
    reducer_module._send = send
    active = sum(item.nbytes for item in gradients.values() if item is not None)
    return sent, active, events


def test_each_active_gradient_is_sent_once_and_while_others_compute(ranks: list[dict]):
    for sent, active, events in (results["run_counted"] for results in ranks):
        assert sent == active
        for task in TASKS:
            # Each task's backward pass is still running when its first bucket leaves.
            assert "sent" in events[: events.index(task)]
            del events[: events.index(task)]


def run_used_twice(rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Send a weight that two re-entrant checkpoints use, so that it is produced twice.

    Returns:
        The average over the ranks, and this rank's own gradient.
    """
    layer = torch.nn.Linear(3, 3)
    inputs = torch.randn(2, 3, generator=torch.Generator().manual_seed(rank))

    def backward() -> None:
        outputs = inputs.clone().requires_grad_()
        for _ in range(2):
            outputs = checkpoint(layer, outputs, use_reentrant=True)
        outputs.square().sum().backward()

    backward()
    alone = layer.weight.grad
    layer.zero_grad()
    reducer = GradientReducer(layer.parameters(), ControlGroup())
    reducer.begin([list(layer.parameters())], passes=[1])
    backward()
    reducer.end_stage()
    reducer.finish()
    return layer.weight.grad, alone


def test_what_is_produced_after_it_was_sent_is_not_lost(ranks: list[dict]):
    found = [results["run_used_twice"] for results in ranks]
    mean = sum(alone for _, alone in found) / RANKS
    for average, _ in found:
        torch.testing.assert_close(average, mean)


def run_other_plan(rank: int) -> str:
    model = build()
    wrapped = SIMTDataParallel(model)
    if rank:
        model.network.router.logits["seg"].data[0] *= -1
    with pytest.raises(RuntimeError) as error:
        seen_gradients(wrapped, [batches()])
    return str(error.value)


def test_plans_that_differ_stop_all_ranks(ranks: list[dict]):
    messages = [results["run_other_plan"] for results in ranks]
    for rank, message in enumerate(messages):
        assert message.startswith(f"Rank {rank} is about to train the tasks")
        assert "`randomness.seed`" in message


class Meeting(torch.autograd.Function):
    """All ranks meet in the backward pass, as in that of SyncBN, which needs a GPU."""

    @staticmethod
    def forward(ctx, value: torch.Tensor) -> torch.Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        distributed.all_reduce(gradient.clone())
        return gradient


class MeetingHead(torch.nn.Module):
    """A head after a meeting, of which a rank may leave a part out."""

    def __init__(self, linear: torch.nn.Linear, whole: bool) -> None:
        super().__init__()
        self.linear, self.whole = linear, whole
        self.factor = torch.nn.Parameter(torch.ones(()))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        found = self.linear(Meeting.apply(features))
        return found * self.factor if self.whole else found


def run_collectives(rank: int) -> dict[str, dict[str, torch.Tensor]]:
    """Take steps in which a rank has a bad loss, or lacks a gradient."""
    found = {}
    for case in ("a bad loss", "a gradient that one lacks"):
        model = build_tiny(OVERLAPPING)
        whole = case == "a bad loss" or rank == 0
        model.tasks["two"].head = MeetingHead(model.tasks["two"].head, whole)
        data = tiny_batches(seed=rank)
        if case == "a bad loss" and rank:
            data["two"][1].fill_(torch.nan)
        wrapped = SIMTDataParallel(model, bucket_mib=1e-6)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        wrapped.train_step(data, OptimWrapper(optimizer))
        found[case] = {key: item.detach() for key, item in model.named_parameters()}
    return found


def test_ranks_that_meet_in_a_backward_pass_do_not_miss_each_other(ranks: list[dict]):
    one, other = (results["run_collectives"] for results in ranks)
    torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert all(value.isfinite().all() for value in one["a bad loss"].values())


def run_groups(rank: int) -> list[timedelta]:
    """Return how long each group of a wrapper waits."""
    wrapped = SIMTDataParallel(build_tiny(OVERLAPPING))
    groups = [wrapped._control._group, wrapped._reducer._group]
    device = torch.device("cpu")
    return [group._get_backend(device).options._timeout for group in groups]


def test_all_groups_wait_as_long_as_the_default_one(ranks: list[dict]):
    assert [results["run_groups"] for results in ranks] == [[TIMEOUT] * 2] * RANKS


def run_masked(rank: int) -> torch.Tensor:
    """Return a buffer of infinite values, as of an attention mask, after a step."""
    model = build_tiny(OVERLAPPING)
    model.tasks["one"].register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    SIMTDataParallel(model).train_step(tiny_batches(seed=rank), OptimWrapper(optimizer))
    return model.tasks["one"].mask


def test_a_buffer_that_a_step_leaves_alone_stays_as_it_is(ranks: list[dict]):
    for mask in (results["run_masked"] for results in ranks):
        assert mask.tolist() == [0.0, -torch.inf]


@pytest.mark.slow
def test_dist_train_keeps_ranks_identical(tmp_path: Path):
    """`bash tools/dist_train.sh CONFIG 2` trains, evaluates and ends in one state."""
    make_tiny_toy(tmp_path)
    options = {"custom_hooks": [dict(type="StateDigestHook")]}
    cfg = tiny_config(tmp_path / "run", options)
    cfg.custom_imports = dict(imports=["tests.state_digest_hook"])
    config = write_config(cfg, tmp_path)
    script = REPO / "tools/dist_train.sh"
    run = tool(
        ["-c", _BASH, script, config, "2", "--work-dir", tmp_path / "run"], tmp_path
    )
    output = run.communicate(timeout=400)[0]
    assert run.returncode == 0, output
    digests = re.findall(r"rank (\d) digest (\w+)", output)
    assert sorted(rank for rank, _ in digests) == ["0", "1"]
    assert len({digest for _, digest in digests}) == 1
    assert re.search(r"Iter\(val\).*det/coco/bbox_mAP.*mean:", output)
    assert (tmp_path / "run/iter_4.pth").is_file()


# `tool` starts Python; the launcher must find the same one on PATH.
_BASH = """
import os, subprocess, sys
env = {**os.environ, "PORT": "29577"}
env["PATH"] = os.path.dirname(sys.executable) + os.pathsep + env["PATH"]
sys.exit(subprocess.call(["bash", *sys.argv[1:]], env=env))
"""
