"""Weighting by scalarizers, against one backward pass through all tasks' graphs."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor
from torchjd import scalarization

from gppf_mm.models import GPPF
from gppf_mm.models.weighting.catalogue import find_methods
from gppf_mm.utils.seeding import derive_seed
from tests.tiny_tasks import (
    NAMES,
    OVERLAPPING,
    TOP2,
    build_tiny,
    own_gradients,
    step_gradients,
    task_loss,
    tiny_batches,
)

WEIGHTS = dict(one=0.5, two=2.0, three=1.0)
VECTOR = torch.tensor([0.5, 2.0, 1.0])
# What a config says, and the same scalarizer made by hand.
SCALARIZERS: dict[str, tuple[dict[str, Any], Any]] = dict(
    Sum=({}, lambda: scalarization.Sum()),
    Mean=({}, lambda: scalarization.Mean()),
    Constant=(dict(weights=WEIGHTS), lambda: scalarization.Constant(VECTOR)),
    Random=(dict(seed=3), lambda: scalarization.Random()),
    GeometricMean=({}, lambda: scalarization.GeometricMean()),
    UW=({}, lambda: scalarization.UW(3)),
    IMTLL=({}, lambda: scalarization.IMTLL(3)),
    DWA=(dict(temperature=1.0), lambda: scalarization.DWA(1.0)),
    FAMO=({}, lambda: scalarization.FAMO(3)),
    STCH=(dict(mu=0.5, weights=WEIGHTS), lambda: scalarization.STCH(0.5, VECTOR)),
    COSMOS=(
        dict(lambda_=0.3, weights=WEIGHTS),
        lambda: scalarization.COSMOS(0.3, VECTOR),
    ),
    PBI=(dict(theta=2.0, weights=WEIGHTS), lambda: scalarization.PBI(2.0, VECTOR)),
)


def assert_same(
    found: dict[str, Tensor | None], expected: dict[str, Tensor | None]
) -> None:
    for name, value in expected.items():
        assert (found[name] is None) == (value is None), name
        if value is not None:
            torch.testing.assert_close(
                found[name], value, rtol=1e-4, atol=1e-7, msg=name
            )


def naive(model: GPPF, scalarizer: torch.nn.Module, data: dict) -> dict:
    """Return the gradients of the scalarizer over all tasks' losses in one graph."""
    model.zero_grad()
    losses = torch.stack([task_loss(model, task, data[task]) for task in NAMES])
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(3, "weighting", 0))
        scalarizer(losses).backward()
    found = {name: item.grad for name, item in model.named_parameters()}
    own = [item.grad for item in scalarizer.parameters()]
    weighting = [name for name in found if name.startswith("weighting.")]
    return found | dict(zip(weighting, own, strict=True))


def test_all_of_torchjds_scalarizers_are_tried() -> None:
    assert set(SCALARIZERS) == set(find_methods("UW")[0])


@pytest.mark.parametrize("name", SCALARIZERS)
def test_gradients_are_those_of_one_graph(name: str) -> None:
    args, make = SCALARIZERS[name]
    weights = dict(one=1.0, two=0.5, three=3.0)
    model = build_tiny(TOP2, weighting=dict(type=name, **args), loss_weights=weights)
    expected = naive(deepcopy(model), make(), tiny_batches())
    found, _ = step_gradients(model, tiny_batches())
    assert_same(found, expected)


@pytest.mark.parametrize("weighting", [dict(type="Sum"), None])
def test_a_sum_is_what_it_is_without_a_weighting(weighting: dict | None) -> None:
    plain, log = step_gradients(build_tiny(OVERLAPPING), tiny_batches())
    # Statistics keep gradients apart as a weighting does.
    model = build_tiny(OVERLAPPING, weighting=weighting, gradient_stats_interval=1)
    found, other = step_gradients(model, tiny_batches())
    assert_same(found, plain)
    assert other["loss"] == log["loss"]


def test_weights_are_logged_as_factors_of_the_stock_losses() -> None:
    model = build_tiny(
        OVERLAPPING,
        weighting=dict(type="Constant", weights=WEIGHTS),
        loss_weights=dict(one=1.0, two=10.0, three=1.0),
    )
    _, log = step_gradients(model, tiny_batches())
    weights = {task: log[f"{task}/weight"].item() for task in NAMES}
    assert weights == dict(one=0.5, two=20.0, three=1.0)


def weights_over(model: GPPF, steps: list[dict]) -> list[list[float]]:
    logs = []
    for iteration, data in enumerate(steps):
        model.network.set_step(iteration)
        logs.append(step_gradients(model, data)[1])
    return [[log[f"{task}/weight"].item() for task in NAMES] for log in logs]


def losses_over(model: GPPF, steps: list[dict]) -> list[Tensor]:
    return [
        torch.stack([task_loss(model, task, data[task]).detach() for task in NAMES])
        for data in steps
    ]


def test_dwa_averages_over_its_epochs() -> None:
    model = build_tiny(OVERLAPPING, weighting=dict(type="DWA", epoch_length=2))
    steps = [tiny_batches(seed) for seed in range(6)]
    found = weights_over(model, steps)
    losses = losses_over(model, steps)
    assert found[:4] == [[1.0] * 3] * 4
    # The optimizer of `step_gradients` does not step: the model is the same throughout.
    rates = (losses[2] + losses[3]) / (losses[0] + losses[1])
    expected = 3 * (rates / 2.0).softmax(0)
    torch.testing.assert_close(torch.tensor(found[4]), expected)


def test_famo_learns_from_the_next_steps_losses() -> None:
    model = build_tiny(OVERLAPPING, weighting=dict(type="FAMO", lr=0.5))
    steps = [tiny_batches(seed) for seed in range(4)]
    found = weights_over(model, steps)
    reference = scalarization.FAMO(3, lr=0.5)
    for index, losses in enumerate(losses_over(model, steps)):
        if index:
            reference.update(losses)
        leaf = losses.clone().requires_grad_()
        reference(leaf).backward()
        torch.testing.assert_close(torch.tensor(found[index]), leaf.grad)


def test_random_weights_depend_on_the_iteration_alone() -> None:
    model = build_tiny(OVERLAPPING, weighting=dict(type="Random"))
    steps = [tiny_batches()] * 2
    found = weights_over(model, steps)
    torch.manual_seed(99)  # As another rank would have it.
    assert weights_over(model, steps) == found
    assert found[0] != found[1]


def test_a_schedule_weighs_by_the_iteration() -> None:
    points = dict(one=[(0, 1.0)], two=[(2, 0.0), (4, 1.0)], three=[(1, 2.0), (3, 4.0)])
    steps = [tiny_batches()] * 6
    expected = dict(
        linear=dict(two=[0, 0, 0, 0.5, 1, 1], three=[2, 2, 3, 4, 4, 4]),
        step=dict(two=[0, 0, 0, 0, 1, 1], three=[2, 2, 2, 4, 4, 4]),
    )
    for interpolation, columns in expected.items():
        cfg = dict(
            type="ScheduledWeighting", points=points, interpolation=interpolation
        )
        model = build_tiny(OVERLAPPING, weighting=cfg)
        found = list(zip(*weights_over(model, steps), strict=True))
        assert found[0] == (1,) * 6
        assert list(found[1]) == columns["two"]
        assert list(found[2]) == columns["three"]
    plain = own_gradients(model, tiny_batches())
    found_gradients, _ = step_gradients(model, tiny_batches())
    name = "tasks.three.head.weight"
    torch.testing.assert_close(found_gradients[name], 4 * plain["three"][name])


def test_halves_make_a_whole_step() -> None:
    whole = tiny_batches(size=8)
    halves = [
        {task: (batch[0][part], batch[1][part]) for task, batch in whole.items()}
        for part in (slice(0, 4), slice(4, 8))
    ]
    model = build_tiny(TOP2, weighting=dict(type="UW"))
    torch.nn.init.normal_(model.weighting.scalarizer.log_var)
    expected, log = step_gradients(deepcopy(model), whole)
    found, other = step_gradients(model, *halves)
    assert_same(found, expected)
    torch.testing.assert_close(other["one/weight"], log["one/weight"])


def test_a_task_that_takes_no_part_changes_nothing_of_its_own() -> None:
    model = build_tiny(OVERLAPPING, weighting=dict(type="UW"))
    data = tiny_batches()
    step_gradients(model, data)
    del data["two"]
    found, log = step_gradients(model, data)
    assert found["weighting.scalarizer.log_var"].tolist()[1] == 0
    assert all(found["weighting.scalarizer.log_var"][[0, 2]] != 0)
    assert "two/weight" not in log
    assert all(
        value is None for name, value in found.items() if name.startswith("tasks.two.")
    )
    alone = own_gradients(model, data)
    name = "tasks.three.head.weight"
    torch.testing.assert_close(found[name], 0.5 * alone["three"][name])
