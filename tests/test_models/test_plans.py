"""A plan is drawn once per task and step, and anew when something has changed."""

from collections import Counter
from copy import deepcopy

import pytest
import torch
from mmengine.optim import OptimWrapper

from gppf_mm.models import GPPF
from gppf_mm.utils.batches import Batches
from tests.stand_ins import batches, build_gppf, task_configs
from tests.tiny_tasks import NAMES, TOP2, build_tiny, step_gradients, tiny_batches

GUMBEL = dict(type="GumbelTopKRouter", k=2, anneal_iters=100)


def counted(model: GPPF, monkeypatch: pytest.MonkeyPatch) -> Counter:
    """Count the draws of each task."""
    calls: Counter[str] = Counter()
    router = model.network.router
    route = router.route

    def note(task: str, step: int):
        calls[task] += 1
        return route(task, step)

    monkeypatch.setattr(router, "route", note)
    return calls


def sgd(model: GPPF) -> OptimWrapper:
    return OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))


@pytest.mark.parametrize("weighting", [None, dict(type="UPGrad")])
def test_a_step_draws_each_plan_once(
    weighting: dict | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_tiny(TOP2, weighting=weighting)
    calls = counted(model, monkeypatch)
    optim, data = sgd(model), tiny_batches()
    data["two"][1].fill_(torch.nan)  # A skipped task asks what it trains once more.
    data["one"] = Batches([data["one"], tiny_batches(1)["one"]])
    for task in NAMES:
        model.network.active_parameters(task)
    model.train_step(data, optim)
    assert calls == dict.fromkeys(NAMES, 1)
    # The optimizer has moved two of them; the next iteration asks for all anew.
    model.train_step(tiny_batches(), optim)
    assert calls == dict(one=2, two=1, three=2)
    model.network.set_step(1)
    model.train_step(tiny_batches(), optim)
    assert calls == dict(one=3, two=2, three=3)


def test_gradients_through_one_plan_are_those_of_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, two = tiny_batches(0), tiny_batches(1)
    steps = [{task: Batches([one[task], two[task]]) for task in NAMES}] * 2
    found, _ = step_gradients(build_tiny(TOP2), *steps)
    model = build_tiny(TOP2)
    network = model.network
    monkeypatch.setattr(network, "draw", lambda task: network.router.draw(task, 0))
    expected, _ = step_gradients(model, *steps)
    for name, gradient in expected.items():
        if gradient is None:
            assert found[name] is None
        else:
            assert torch.equal(found[name], gradient), name


def test_checkpointed_blocks_replay_a_plan_of_several_batches() -> None:
    data = batches()
    data["cls"] = Batches([data["cls"], batches(1)["cls"]])
    gradients = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        router = dict(TOP2, group="stage")
        model = build_gppf(router, tasks=task_configs(with_cp=with_cp))
        gradients.append(step_gradients(model, data)[0])
    plain, replayed = gradients
    for task in ("det", "seg", "cls"):
        name = f"network.router.logits.{task}"
        assert replayed[name].any()
        torch.testing.assert_close(replayed[name], plain[name], rtol=1e-4, atol=1e-6)


def test_what_changes_a_plan_draws_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_tiny(GUMBEL)
    network, calls = model.network, counted(model, monkeypatch)

    def drawn(task: str = "one") -> int:
        before = calls[task]
        network.draw(task)
        return calls[task] - before

    assert [drawn(), drawn()] == [1, 0]
    network.set_step(1)
    assert [drawn(), drawn()] == [1, 0]
    with torch.no_grad():
        assert drawn() == 0  # A plan with a graph serves without one.
        network.router.logits["one"].add_(1)
        assert [drawn(), drawn()] == [1, 0]
    assert [drawn(), drawn()] == [1, 0]  # But not the other way round.
    network.router.logits["one"].requires_grad_(False)
    assert drawn() == 1
    assert (
        not network.draw("one")
        .routes[next(iter(network.router.groups))]
        .weights[0]
        .requires_grad
    )
    network.eval()
    assert [drawn(), drawn()] == [1, 0]
    network.train()
    assert drawn() == 1
    model.load_state_dict(model.state_dict())
    assert drawn() == 1
    network.router.logits["two"].data.add_(1)  # No other task's business.
    assert drawn() == 0


def test_a_model_is_copied_between_two_steps() -> None:
    model = build_tiny(TOP2)
    model.train_step(tiny_batches(), sgd(model))
    plan = model.network.draw("one")
    copied = deepcopy(model)
    with torch.no_grad():
        copied.network.router.logits["one"].neg_()
    assert copied.network.draw("one").units() != plan.units()
    assert model.network.draw("one") is plan
