"""What regularizers want, and when they add how much to which logits."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from torch import Tensor

from gppf_mm.models import BalanceLoss, EntropyLoss, SharingLoss
from gppf_mm.models.origins import StepOrigins
from gppf_mm.models.regularizers import RoutingRegularizer
from gppf_mm.models.regularizers.regularize import regularize
from tests.stand_ins import build_gppf
from tests.tiny_tasks import HARD, NAMES, TOP2, build_tiny, step_gradients, tiny_batches

LOSSES: dict[str, RoutingRegularizer] = {
    "balance": BalanceLoss(1.0),
    "together": SharingLoss(1.0),
    "apart": SharingLoss(1.0, "apart"),
    "sharp": EntropyLoss(1.0),
    "flat": EntropyLoss(1.0, "flat"),
}


def cosine(p: Tensor) -> Tensor:
    """Return the mean cosine over pairs of tasks and groups, pair by pair."""
    pairs = [
        torch.cosine_similarity(one, other, dim=0)
        for group in p.unbind(1)
        for index, one in enumerate(group)
        for other in group[index + 1 :]
    ]
    return torch.stack(pairs).mean()


def naive(name: str, p: Tensor) -> Tensor:
    if name == "balance":
        use = p.mean(0)
        return (use.var(dim=1, correction=0) / use.mean(1).square()).mean()
    if name in ("together", "apart"):
        value = cosine(p)
    else:
        entropy = torch.distributions.Categorical(p).entropy()
        value = entropy.mean() / math.log(p.shape[-1])
    return 1 - value if name in ("together", "flat") else value


@pytest.mark.parametrize("name", LOSSES)
def test_values_are_those_of_the_definition(name: str) -> None:
    torch.manual_seed(0)
    p = (3 * torch.randn(4, 5, 3)).softmax(-1)
    torch.testing.assert_close(LOSSES[name](p), naive(name, p))


def descend(name: str) -> tuple[float, Tensor]:
    """Minimise by the logits; return the value and the probabilities there."""
    torch.manual_seed(0)
    # Tasks that are sharp on one unit are a saddle of `apart`; routers start as here.
    spread = 0.01 if name == "apart" else 1.0
    logits = (spread * torch.randn(3, 2, 4)).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(400):
        optimizer.zero_grad()
        loss = LOSSES[name](logits.softmax(-1))
        loss.backward()
        optimizer.step()
    return loss.item(), logits.softmax(-1).detach()


def test_balance_is_least_where_units_are_used_evenly() -> None:
    value, p = descend("balance")
    assert value == pytest.approx(0, abs=1e-4)
    torch.testing.assert_close(p.mean(0), torch.full((2, 4), 0.25), atol=0.01, rtol=0)
    assert p.max() > 0.5  # Without flattening each task's own.


@pytest.mark.parametrize(
    ("name", "reached"),
    [
        ("together", lambda p: (p - p[:1]).abs().max() < 0.02),
        ("apart", lambda p: cosine(p) < 0.02),
        ("sharp", lambda p: p.max(-1).values.min() > 0.98),
        ("flat", lambda p: (p - 0.25).abs().max() < 0.02),
    ],
)
def test_descending_reaches_what_the_name_says(name: str, reached: Any) -> None:
    value, p = descend(name)
    assert value == pytest.approx(0, abs=0.02)
    assert reached(p)


@pytest.mark.parametrize("name", LOSSES)
def test_hard_choices_have_finite_gradients(name: str) -> None:
    logits = torch.tensor([[[0.0, 500.0, -500.0]], [[0.0, 500.0, 0.0]]])
    logits.requires_grad_()
    loss = LOSSES[name](logits.softmax(-1))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


ALL = [
    dict(type="gppf_mm.BalanceLoss", weight=0.3),
    dict(type="gppf_mm.SharingLoss", weight=0.2, direction="apart"),
    dict(type="gppf_mm.EntropyLoss", weight=[(0, 0.0), (10, 0.5)]),
]
STEP = 4  # At which the weight of the entropy is 0.2.
Gradients = dict[str, Tensor | None]


def build(regularizers: Any = ALL, router: dict = TOP2, **others: Any):
    model = build_tiny(router, lego=dict(regularizers=regularizers), **others)
    model.network.set_step(STEP)
    return model


def added(model: Any, plain: Any, *steps: dict, **options: Any) -> tuple[dict, dict]:
    """Return what regularizers add to each logits' gradient, and the log."""
    (found, log), (without, _) = (
        step_gradients(item, *steps, **options) for item in (model, plain)
    )
    difference: Gradients = {}
    for name, gradient in found.items():
        task = name.removeprefix("network.router.logits.")
        if task in NAMES:
            assert (gradient is None) == (without[name] is None)
            difference[task] = None if gradient is None else gradient - without[name]
        elif gradient is not None:
            torch.testing.assert_close(gradient, without[name])
    return difference, log


def expected(tasks: Any = NAMES, temperature: float = 1.0, first: int = 0) -> Gradients:
    """Differentiate the sum over all tasks' logits, and keep these tasks'."""
    logits = build(()).network.router.logits
    rows = {task: logits[task].detach().clone().requires_grad_() for task in NAMES}
    stacked = torch.stack([*rows.values()])[..., first:] / temperature
    p = stacked.softmax(-1)
    total = (
        0.3 * naive("balance", p) + 0.2 * naive("apart", p) + 0.2 * naive("sharp", p)
    )
    total.backward()
    return {task: row.grad if task in tasks else None for task, row in rows.items()}


def assert_equal(found: Gradients, other: Gradients, atol: float = 1e-6) -> None:
    assert found.keys() == other.keys()
    for task, gradient in other.items():
        if gradient is None:
            assert found[task] is None
        else:
            torch.testing.assert_close(found[task], gradient, rtol=1e-3, atol=atol)


@pytest.mark.parametrize("weighting", [None, dict(type="UPGrad"), dict(type="UW")])
def test_they_add_their_gradient_to_the_step(weighting: dict | None) -> None:
    models = build(weighting=weighting), build((), weighting=weighting)
    found, log = added(*models, tiny_batches())
    assert_equal(found, expected())
    router = models[1].network.router
    p = torch.stack([router.probabilities(task).detach() for task in NAMES])
    for name, kind in (("balance",) * 2, ("sharing", "apart"), ("entropy", "sharp")):
        torch.testing.assert_close(log[f"router/{name}"], naive(kind, p))


def test_once_over_accumulated_steps_for_the_tasks_in_any_of_them() -> None:
    one, two = tiny_batches(0), tiny_batches(1)
    steps = [dict(one=one["one"]), dict(one=two["one"], two=two["two"])]
    assert_equal(added(build(), build(()), *steps)[0], expected(("one", "two")))


def test_a_skipped_task_gets_none() -> None:
    data = tiny_batches()
    data["two"][1].fill_(torch.nan)
    found = step_gradients(build(), data)[0]
    assert found["network.router.logits.two"] is None
    assert all(v.isfinite().all() for v in found.values() if v is not None)


def test_frozen_routes_get_none() -> None:
    frozen = dict(TOP2, freeze_at=STEP)
    found, log = step_gradients(build(router=frozen), tiny_batches())
    assert all(found[f"network.router.logits.{task}"] is None for task in NAMES)
    assert "router/balance" not in log


def test_temperature_counts_and_shared_units_do_not() -> None:
    router = dict(TOP2, temperature=0.5, shared_units=1)
    found, _ = added(build(router=router), build((), router=router), tiny_batches())
    assert_equal(found, expected(temperature=0.5, first=1))
    for gradient in found.values():
        assert gradient[:, 0].abs().max() < 1e-8


def test_groups_with_nothing_to_choose_take_no_part() -> None:
    router = dict(TOP2, shared_units=1, group="layer")
    model = build(router=router, num_units=[("backbone.0", 1), ("*", 4)])
    assert 1 in model.network.router.group_units
    found, log = step_gradients(model, tiny_batches())
    assert all(log[f"router/{name}"].isfinite() for name in ("balance", "entropy"))
    for task in NAMES:
        assert found[f"network.router.logits.{task}"].isfinite().all()


def regularized(model: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return what regularizers alone do to the logits, and the log."""
    logits = model.network.router.logits
    for parameter in logits.values():
        parameter.grad = torch.zeros_like(parameter)
    optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    log = regularize(model.regularizers, model.network, optim)
    return {task: parameter.grad for task, parameter in logits.items()}, log


def test_each_group_counts_by_its_own_number_of_units() -> None:
    router = dict(type="SoftRouter", init_std=1.0, group="layer")
    model = build(router=router, num_units=[("backbone.0", 2), ("*", 4)])
    rows = {
        task: item.detach().clone().requires_grad_()
        for task, item in model.network.router.logits.items()
    }
    total = torch.zeros(())
    for row, units in enumerate(model.network.router.group_units):
        p = torch.stack([item[None, row, :units] for item in rows.values()]).softmax(-1)
        total = total + 0.5 * (
            0.3 * naive("balance", p)
            + 0.2 * naive("apart", p)
            + 0.2 * naive("sharp", p)
        )
    total.backward()
    assert_equal(regularized(model)[0], {task: row.grad for task, row in rows.items()})

    for parameter in model.network.router.logits.values():
        parameter.data.zero_()
    log = regularized(model)[1]
    assert log["router/balance"] == pytest.approx(0, abs=1e-6)
    assert log["router/entropy"] == pytest.approx(1)


def test_a_task_counts_only_where_it_has_a_part() -> None:
    router = dict(type="gppf_mm.SoftRouter", init_std=1.0, group="stage")
    lego = dict(regularizers=[*ALL[:2], dict(type="gppf_mm.EntropyLoss", weight=1)])
    model = build_gppf(router, share=("backbone", "neck"), lego=lego)
    network = model.network
    found, _ = regularized(model)
    for task, gradient in found.items():
        own = network.groups_of(task)
        there = torch.tensor([group in own for group in network.router.groups])
        assert gradient[there].abs().amax(1).min() > 0
        assert (gradient[~there] == 0).all()
    # The necks that only the detector has are of no one else's making.
    before = found["det"]
    network.router.logits["cls"].data[~there] += 5
    torch.testing.assert_close(regularized(model)[0]["det"], before)


def test_the_temperature_is_that_of_a_task_s_own_place_in_the_schedule() -> None:
    router = dict(TOP2, temperature=[(0, 4.0), (10, 1.0)])
    model = build(router=router)
    network = model.network
    network.origins = StepOrigins(NAMES)
    for task in NAMES:
        network.origins.set(task, 10)
    found, _ = regularized(model)
    assert_equal(found, expected(temperature=1.0))


def test_mixed_precision_leaves_them_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # MMEngine refuses mixed precision without a GPU, and its scaler is CUDA's.
    monkeypatch.setattr(amp_optimizer_wrapper, "is_cuda_available", lambda: True)
    scaler = partial(torch.amp.GradScaler, "cpu")
    monkeypatch.setattr(amp_optimizer_wrapper, "GradScaler", scaler)
    options = dict(wrapper=AmpOptimWrapper, loss_scale=2.0**12, dtype="bfloat16")
    found, log = added(build(), build(()), tiny_batches(), **options)
    assert_equal(found, expected(), atol=1e-5)
    assert 0 < log["router/entropy"] < 1


def test_the_count_of_steps_is_the_tasks() -> None:
    model = build()
    optim = OptimWrapper(
        torch.optim.SGD(model.parameters(), lr=0.1), accumulative_counts=2
    )
    for iteration in range(1, 5):
        model.train_step(tiny_batches(), optim)
        assert optim._inner_count == iteration


@pytest.mark.parametrize(
    ("regularizers", "error", "named"),
    [
        (dict(type="gppf_mm.BalanceLoss", weight=1), ValueError, "expected a list"),
        ([dict(type="gppf_mm.BalanceLoss")], ValueError, "keys `type` and `weight`"),
        (
            [dict(type="gppf_mm.BalanceLoss", weight=-1)],
            ValueError,
            r"regularizers\.BalanceLoss\.weight` is -1.*from 0",
        ),
        (
            [dict(type="gppf_mm.SharingLoss", weight=1, direction="away")],
            ValueError,
            r"SharingLoss\.direction` is 'away'.*'together', 'apart'",
        ),
        (
            [dict(type="gppf_mm.EntropyLoss", weight=1)] * 2,
            ValueError,
            "two of the name 'entropy'",
        ),
        ([dict(type="SoftRouter", weight=1)], TypeError, "SoftRouter"),
        ([dict(type=3, weight=1)], TypeError, "has the type 3; expected 'gppf_mm"),
        (3, ValueError, "is 3; expected a list"),
    ],
)
def test_bad_configs_are_named(regularizers: Any, error: type, named: str) -> None:
    with pytest.raises(error, match=named):
        build(regularizers)


def test_a_router_without_logits_has_nothing_to_regularize() -> None:
    with pytest.raises(ValueError, match=r"regularizers.*FixedRouter"):
        build(router=HARD, num_units=1)
