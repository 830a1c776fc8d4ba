"""Gradient aggregation on the shared parameters, against torchjd on whole matrices."""

from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor
from torchjd import aggregation
from torchjd.autojac import jac_to_grad, mtl_backward

from gppf_mm.models import GPPF
from gppf_mm.models.weighting.catalogue import find_methods
from gppf_mm.utils.seeding import derive_seed
from tests.tiny_tasks import (
    HARD,
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
# Arguments that torchjd has no default for.
ARGUMENTS: dict[str, dict[str, Any]] = dict(
    CAGrad=dict(c=0.5),
    FairGrad=dict(alpha=1.0),
    Krum=dict(n_byzantine=0),
    TrimmedMean=dict(trim_number=0),
)
AGGREGATORS = sorted(find_methods("UPGrad")[1])
# It wants three tasks.
ALL_SHARE = {"Krum"}


def make(name: str, tasks: tuple[str, ...], args: dict[str, Any]) -> Any:
    if name == "NashMTL":
        args = dict(args, n_tasks=len(tasks))
    args = {
        key: torch.tensor([value[task] for task in tasks])
        if isinstance(value, dict)
        else value
        for key, value in args.items()
    }
    return getattr(aggregation, name)(**args)


def sets(
    model: GPPF, rows: dict[str, dict[str, Tensor]]
) -> dict[tuple[str, ...], list[str]]:
    """Part the parameters by the tasks that have a gradient on them."""
    parted: dict[tuple[str, ...], list[str]] = {}
    for name, _ in model.named_parameters():
        members = tuple(task for task in NAMES if name in rows[task])
        parted.setdefault(members, []).append(name)
    return parted


def naive(model: GPPF, name: str, args: dict[str, Any], data: dict) -> dict:
    rows = own_gradients(model, data)
    found: dict[str, Tensor | None] = {}
    torch.manual_seed(derive_seed(0, "weighting", 0))
    for members, names in sets(model, rows).items():
        if len(members) < 2:
            found |= {key: rows[task][key] for task in members for key in names}
            continue
        matrix = torch.stack(
            [
                torch.cat([rows[task][key].flatten() for key in names])
                for task in members
            ]
        )
        vector = make(name, members, args)(matrix)
        parts = vector.split([rows[members[0]][key].numel() for key in names])
        for key, part in zip(names, parts, strict=True):
            found[key] = part.view_as(rows[members[0]][key])
    return found


def assert_same(found: dict, expected: dict, tolerance: float = 1e-3) -> None:
    for name, value in found.items():
        assert (value is None) == (expected.get(name) is None), name
        if value is not None:
            error = (value - expected[name]).norm() / expected[name].norm()
            assert error < tolerance, name


@pytest.mark.parametrize("name", AGGREGATORS)
def test_each_set_of_tasks_is_aggregated_by_itself(name: str) -> None:
    args = ARGUMENTS.get(name, {})
    router, units = (HARD, 1) if name in ALL_SHARE else (OVERLAPPING, 5)
    model = build_tiny(router, units, weighting=dict(type=name, **args))
    expected = naive(model, name, args, tiny_batches())
    found, _ = step_gradients(model, tiny_batches())
    assert_same(found, expected)
    # Unit 4 is no task's.
    assert units == 1 or found["network.bank.lego.backbone.0.units.4.weight"] is None


def test_a_set_that_is_too_small_is_named() -> None:
    model = build_tiny(OVERLAPPING, weighting=dict(type="Krum", n_byzantine=0))
    with pytest.raises(ValueError, match=r"Krum.*tasks one, two.*at least 3 rows"):
        step_gradients(model, tiny_batches())


@pytest.mark.parametrize("router", [TOP2, OVERLAPPING])
def test_preferences_follow_the_tasks_of_a_set(router: dict) -> None:
    args = dict(pref_vector=WEIGHTS)
    model = build_tiny(router, weighting=dict(type="UPGrad", **args))
    expected = naive(model, "UPGrad", args, tiny_batches())
    assert_same(step_gradients(model, tiny_batches())[0], expected)


@pytest.mark.parametrize("name", ["UPGrad", "MGDA", "AlignedMTL", "IMTLG", "NashMTL"])
def test_with_one_unit_it_is_torchjds_multi_task_backward(name: str) -> None:
    model = build_tiny(HARD, num_units=1, weighting=dict(type=name))
    data = tiny_batches()
    shared = list(model.network.bank.parameters())
    # Their features are the shared parameters themselves, since inputs differ.
    mtl_backward(
        [task_loss(model, task, data[task]) for task in NAMES],
        features=shared,
        tasks_params=[list(model.tasks[task].head.parameters()) for task in NAMES],
        shared_params=shared,
        parallel_chunk_size=1,
    )
    jac_to_grad(shared, make(name, NAMES, {}))
    expected = {key: item.grad for key, item in model.named_parameters()}
    model.zero_grad()
    assert_same(step_gradients(model, data)[0], expected)


def test_upgrad_conflicts_with_no_task() -> None:
    conflicts = 0
    for seed in range(5):
        model = build_tiny(OVERLAPPING, weighting=dict(type="UPGrad"))
        rows = own_gradients(model, tiny_batches(seed))
        found, _ = step_gradients(model, tiny_batches(seed))
        for members, names in sets(model, rows).items():
            flat = {
                task: torch.cat([rows[task][key].flatten() for key in names])
                for task in members
            }
            for task in members:
                combined = torch.cat([found[key].flatten() for key in names])
                product = torch.cosine_similarity(combined, flat[task], dim=0)
                # torchjd regularises its problem by 1e-4.
                assert product > -1e-2
            conflicts += any(flat[a] @ flat[b] < 0 for a, b in combinations(members, 2))
    assert conflicts


def test_heads_and_routers_keep_their_own_gradients() -> None:
    model = build_tiny(TOP2, weighting=dict(type="PCGrad"), loss_weights=WEIGHTS)
    rows = own_gradients(model, tiny_batches())
    found, _ = step_gradients(model, tiny_batches())
    checked = 0
    for task in NAMES:
        for name in (f"tasks.{task}.head.weight", f"network.router.logits.{task}"):
            torch.testing.assert_close(found[name], rows[task][name])
            checked += 1
    assert checked == 6


def test_a_task_alone_needs_no_aggregator() -> None:
    model = build_tiny(OVERLAPPING, weighting=dict(type="UPGrad"))
    data = dict(two=tiny_batches()["two"])
    expected = own_gradients(model, data)["two"]
    assert_same(step_gradients(model, data)[0], expected, tolerance=1e-7)


def test_weights_are_averaged_over_what_is_in_common() -> None:
    model = build_tiny(HARD, num_units=1, weighting=dict(type="MGDA"))
    rows = own_gradients(model, tiny_batches())
    _, log = step_gradients(model, tiny_batches())
    names = [name for name in rows["one"] if name.startswith("network.")]
    matrix = torch.stack(
        [torch.cat([rows[task][key].flatten() for key in names]) for task in NAMES]
    )
    expected = aggregation.MGDAWeighting()(matrix @ matrix.T)
    found = torch.stack([log[f"{task}/weight"] for task in NAMES])
    torch.testing.assert_close(found, expected)


def test_a_run_of_seeds_is_one_of_iterations() -> None:
    results = []
    for iteration, noise in ((0, 1), (0, 2), (1, 1)):
        model = build_tiny(HARD, 1, weighting=dict(type="GradDrop"))
        model.network.set_step(iteration)
        torch.manual_seed(noise)  # Ranks differ in it.
        results.append(step_gradients(model, tiny_batches())[0])
    name = "network.bank.lego.backbone.0.units.0.weight"
    one, same, other = (result[name] for result in results)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
