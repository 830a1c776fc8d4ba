"""Weighted steps under mixed precision, accumulation, clipping and bad losses."""

from copy import deepcopy
from functools import partial
from typing import Any

import pytest
import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from torch import Tensor

from tests.tiny_tasks import (
    HARD,
    NAMES,
    OVERLAPPING,
    TOP2,
    build_tiny,
    own_gradients,
    step_gradients,
    tiny_batches,
)

METHODS = ("UW", "FAMO", "UPGrad", "NashMTL", "GradDrop", "ConFIG")
SHARED = "network.bank.lego.backbone.0.units.{}.weight"


def assert_same(
    found: dict[str, Tensor | None], expected: dict[str, Tensor | None], rtol: float
) -> None:
    for name, value in expected.items():
        assert (found[name] is None) == (value is None), name
        if value is not None:
            torch.testing.assert_close(
                found[name], value, rtol=rtol, atol=1e-7, msg=name
            )


@pytest.fixture
def amp(monkeypatch: pytest.MonkeyPatch) -> type[AmpOptimWrapper]:
    # MMEngine refuses mixed precision without a GPU, and its scaler is CUDA's.
    monkeypatch.setattr(amp_optimizer_wrapper, "is_cuda_available", lambda: True)
    scaler = partial(torch.amp.GradScaler, "cpu")
    monkeypatch.setattr(amp_optimizer_wrapper, "GradScaler", scaler)
    return AmpOptimWrapper


@pytest.mark.parametrize("name", METHODS)
def test_the_loss_scale_changes_nothing(name: str, amp: type[OptimWrapper]) -> None:
    clip = dict(max_norm=0.5)
    found: list[Any] = []
    for scale in (1.0, 2.0**12):
        model = build_tiny(
            TOP2,
            weighting=dict(type=name),
            clip_grad_per_task=clip,
            gradient_stats_interval=1,
        )
        options = dict(loss_scale=scale, dtype="bfloat16")
        found.append(step_gradients(model, tiny_batches(), wrapper=amp, **options))
    (plain, log), (scaled, other) = found
    assert_same(scaled, plain, rtol=1e-4)
    for key in [*(f"{task}/grad_norm" for task in NAMES), "cosine/one-two"]:
        torch.testing.assert_close(other[key], log[key])


@pytest.mark.parametrize("name", METHODS)
def test_an_overflow_skips_the_step(name: str, amp: type[OptimWrapper]) -> None:
    model = build_tiny(OVERLAPPING, weighting=dict(type=name))
    before = {key: value.clone() for key, value in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    optim = amp(optimizer=optimizer, loss_scale=2.0**127, dtype="bfloat16")
    model.train_step(tiny_batches(), optim)
    assert all(torch.equal(v, before[k]) for k, v in model.named_parameters())
    assert not optimizer.state


@pytest.mark.parametrize("name", [None, "UPGrad"])
def test_a_step_without_any_finite_loss_is_none(
    name: str | None, amp: type[OptimWrapper]
) -> None:
    model = build_tiny(OVERLAPPING, weighting=name and dict(type=name))
    wrapper = amp(
        optimizer=torch.optim.SGD(model.parameters(), lr=1.0),
        loss_scale=4.0,
        dtype="bfloat16",
        clip_grad=dict(max_norm=1.0),
    )
    before = {key: value.clone() for key, value in model.named_parameters()}
    bad = tiny_batches()
    for _, targets in bad.values():
        targets.fill_(torch.nan)
    model.train_step(bad, wrapper)
    for key, value in model.named_parameters():
        assert torch.equal(value, before[key])
    model.train_step(tiny_batches(), wrapper)
    assert not torch.equal(
        model.tasks["one"].head.weight, before["tasks.one.head.weight"]
    )


def poisoned() -> dict[str, tuple[Tensor, Tensor]]:
    data = tiny_batches()
    data["two"][1].fill_(torch.nan)
    return data


@pytest.mark.parametrize("name", ["UW", "DWA", "FAMO", "UPGrad", None])
def test_a_bad_loss_takes_no_part(name: str | None) -> None:
    weighting = name and dict(type=name)
    model = build_tiny(OVERLAPPING, weighting=weighting, gradient_stats_interval=1)
    data = tiny_batches()
    good = dict(one=data["one"], three=data["three"])
    twin = deepcopy(model)
    found, log = step_gradients(model, poisoned())
    expected, _ = step_gradients(twin, good)
    for unit in (1, 2):
        assert found[SHARED.format(unit)] is None
        expected[SHARED.format(unit)] = None
    for key, value in found.items():
        assert value is None or value.isfinite().all(), key
    for key in (SHARED.format(0), SHARED.format(3), "tasks.one.head.weight"):
        torch.testing.assert_close(found[key], expected[key])
    assert found["tasks.two.head.weight"] is None
    assert log["loss"].isfinite()
    assert "two/grad_norm" not in log
    # Nothing of it is remembered.
    found, _ = step_gradients(model, tiny_batches())
    assert all(value.isfinite().all() for value in found.values() if value is not None)


def test_accumulated_rows_are_aggregated_once() -> None:
    model = build_tiny(OVERLAPPING, weighting=dict(type="UPGrad"))
    whole = tiny_batches(size=8)
    halves = [
        {task: (batch[0][part], batch[1][part]) for task, batch in whole.items()}
        for part in (slice(0, 4), slice(4, 8))
    ]
    expected, _ = step_gradients(deepcopy(model), whole)
    found, _ = step_gradients(model, *halves)
    assert_same(found, expected, rtol=1e-3)


@pytest.mark.parametrize("weighting", [dict(type="UPGrad"), dict(type="STCH", mu=0.5)])
def test_a_second_step_begins_anew(weighting: dict) -> None:
    model = build_tiny(TOP2, weighting=weighting)
    first, _ = step_gradients(model, tiny_batches())
    model.zero_grad()
    second, _ = step_gradients(model, tiny_batches())
    assert_same(second, first, rtol=0)


@pytest.mark.parametrize("weighting", [None, dict(type="UW")])
@pytest.mark.parametrize("norm_type", [2.0, 1.0])
def test_each_tasks_gradients_are_clipped(
    weighting: dict | None, norm_type: float
) -> None:
    plain = build_tiny(OVERLAPPING)
    rows = own_gradients(plain, tiny_batches())
    norms = {
        task: torch.stack([g.norm(norm_type) for g in row.values()]).norm(norm_type)
        for task, row in rows.items()
    }
    limit = sorted(norms.values())[1].item() * 0.9
    model = build_tiny(
        OVERLAPPING,
        weighting=weighting,
        clip_grad_per_task=dict(max_norm=limit, norm_type=norm_type),
    )
    found, _ = step_gradients(model, tiny_batches())
    clipped = [task for task in NAMES if norms[task] > limit]
    assert len(clipped) == 2
    factor = 0.5 if weighting else 1.0
    for key, value in found.items():
        parts = [
            row[key] * (limit / norms[task] if task in clipped else 1.0) * factor
            for task, row in rows.items()
            if key in row
        ]
        if parts:
            torch.testing.assert_close(value, sum(parts), rtol=1e-4, atol=1e-7)


def test_statistics_are_those_of_the_tasks_alone() -> None:
    model = build_tiny(OVERLAPPING, gradient_stats_interval=1)
    rows = own_gradients(model, tiny_batches())
    _, log = step_gradients(model, tiny_batches())

    def flat(task: str, *others: str) -> Tensor:
        names = [key for key in rows[task] if key.startswith("network.")]
        names = [key for key in names if all(key in rows[other] for other in others)]
        return torch.cat([rows[task][key].flatten() for key in names])

    for task in NAMES:
        torch.testing.assert_close(log[f"{task}/grad_norm"], flat(task).norm())
    for one, two in (("one", "two"), ("two", "three")):
        expected = torch.cosine_similarity(flat(one, two), flat(two, one), dim=0)
        torch.testing.assert_close(log[f"cosine/{one}-{two}"], expected)
    # They have nothing in common.
    assert "cosine/one-three" not in log


def test_a_task_without_a_gradient_is_like_no_other() -> None:
    weights = dict(dict.fromkeys(NAMES, 1.0), one=0.0)
    model = build_tiny(OVERLAPPING, gradient_stats_interval=1, loss_weights=weights)
    _, log = step_gradients(model, tiny_batches())
    assert log["one/grad_norm"] == 0
    assert log["cosine/one-two"] == 0


def test_statistics_come_at_their_interval_and_change_no_gradient() -> None:
    plain = build_tiny(HARD, 1)
    model = build_tiny(HARD, 1, gradient_stats_interval=2)
    measured = []
    for iteration in range(8):
        for item in (plain, model):
            item.network.set_step(iteration)
        data = tiny_batches(iteration)
        if iteration % 2 == 0:
            steps = [data]
            continue
        found, log = step_gradients(model, *steps, data)
        expected, _ = step_gradients(plain, *steps, data)
        assert_same(found, expected, rtol=1e-5)
        measured.append("cosine/one-two" in log)
    # `step_gradients` takes both micro-steps in the iteration of the second.
    assert measured == [True, False, True, False]


def test_without_any_of_it_gradients_stay_where_they_are() -> None:
    model = build_tiny(OVERLAPPING)
    optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    model.backward(tiny_batches(), optim)
    assert not any(model.rows.of(task) for task in NAMES)
    assert model.network.bank.units("backbone.0.weight")[1].grad is not None


def test_each_tasks_time_is_logged() -> None:
    _, log = step_gradients(build_tiny(OVERLAPPING), tiny_batches())
    times = [log[f"{task}/step_time"].item() for task in NAMES]
    assert all(0 < seconds < 10 for seconds in times)
