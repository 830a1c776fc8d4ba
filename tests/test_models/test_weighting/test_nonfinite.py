"""A weight that is NaN or Inf reaches no parameter, and is not remembered."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from gppf_mm.engine.distributed import SIMTDataParallel, SIMTFullyShardedDataParallel
from gppf_mm.models import GPPF, nonfinite
from gppf_mm.models.weighting import Weighting
from gppf_mm.registry import MODELS
from tests.ranks import on_ranks
from tests.tiny_tasks import HARD, NAMES, OVERLAPPING, TOP2, build_tiny, tiny_batches

REGULARIZERS = [dict(type="gppf_mm.EntropyLoss", weight=0.1)]


@MODELS.register_module()
class Broken(Weighting):
    """Gives one task a weight that is Inf."""

    def weigh(
        self, losses: dict[str, Tensor], step: int, scale: float
    ) -> dict[str, Tensor]:
        return dict.fromkeys(losses, torch.tensor(1.0)) | {
            self.tasks[1]: torch.tensor(torch.inf)
        }


def adam(model: GPPF) -> OptimWrapper:
    # Momentum and decay would move a parameter without a gradient too.
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    return OptimWrapper(optimizer, clip_grad=dict(max_norm=1.0))


def with_zero(model: GPPF, seed: int = 0) -> dict[str, tuple[Tensor, Tensor]]:
    """Return batches of which that of task two has a loss of exactly 0."""
    data = tiny_batches(seed)
    images, targets = data["two"]
    with model.activate("two") as stock, torch.no_grad():
        targets.copy_(stock.head(stock.backbone(images).mean((2, 3))))
    return data


def values(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers; of sharded ones this rank's rows."""
    return {
        key: (value.to_local() if isinstance(value, DTensor) else value).clone()
        for key, value in model.state_dict().items()
        if isinstance(value, Tensor)
    }


def changed(model: nn.Module, before: dict[str, Tensor]) -> list[str]:
    after = values(model)
    return [
        key
        for key, value in before.items()
        if not torch.allclose(after[key], value, rtol=0, atol=0, equal_nan=True)
    ]


def build_and_train(router: dict[str, Any], **options: Any) -> tuple[GPPF, Any]:
    """Return a model after two ordinary steps, and its wrapper."""
    model = build_tiny(router, **options)
    optim = adam(model)
    for seed in range(2):
        model.train_step(tiny_batches(seed), optim)
    return model, optim


def test_a_zero_loss_changes_nothing() -> None:
    model, optim = build_and_train(
        TOP2,
        weighting=dict(type="GeometricMean"),
        clip_grad_per_task=dict(max_norm=1.0),
        lego=dict(regularizers=REGULARIZERS),
    )
    before, moments = values(model), str(optim.state_dict())
    log = model.train_step(with_zero(model, 2), optim)
    assert log["two/loss"] == 0
    assert log["two/weight"].isnan()
    assert changed(model, before) == []
    assert str(optim.state_dict()) == moments
    # Nothing of it is remembered, not even where the task does not come at once again.
    data = tiny_batches(3)
    del data["two"]
    for batches in (data, tiny_batches(4)):
        log = model.train_step(batches, optim)
        assert all(log[f"{task}/weight"] > 0 for task in batches)
    assert len(changed(model, before)) > len(before) / 2
    assert model.nonfinite.total_unweighted == 1
    assert not any(model.nonfinite.total.values())


def test_dwa_begins_its_history_anew() -> None:
    model = build_tiny(OVERLAPPING, weighting=dict(type="DWA", epoch_length=1))
    optim = adam(model)
    weights = []
    for seed in range(8):
        data = with_zero(model, seed) if seed == 1 else tiny_batches(seed)
        before = values(model)
        log = model.train_step(data, optim)
        weights.append([log[f"{task}/weight"].item() for task in NAMES])
        # Only the fourth step divides by the loss of 0.
        assert bool(changed(model, before)) == (seed != 3)
        assert all(
            value.isfinite().all()
            for value in model.weighting.get_extra_state()["_previous_averages"]
        )
    assert torch.tensor(weights[3]).isnan().any()
    assert weights[4:6] == [[1.0] * 3] * 2
    assert torch.tensor(weights[6:]).isfinite().all()
    assert model.nonfinite.total_unweighted == 1


def test_what_a_method_learns_by_itself_goes_back() -> None:
    model, optim = build_and_train(OVERLAPPING, weighting=dict(type="FAMO", lr=0.5))
    learned = model.weighting.scalarizer._w.clone()
    assert learned.any()
    # FAMO's own optimizer steps by the logarithm of a negative number.
    model.loss_weights["two"] = -1.0
    before = values(model)
    model.train_step(tiny_batches(2), optim)
    assert changed(model, before) == []
    model.loss_weights["two"] = 1.0
    for seed in range(3, 5):
        log = model.train_step(tiny_batches(seed), optim)
        assert all(log[f"{task}/weight"].isfinite() for task in NAMES)
    assert not torch.equal(model.weighting.scalarizer._w, learned)
    assert all(value.isfinite().all() for value in values(model).values())


@pytest.mark.parametrize(("name", "parameter"), [("UW", -80.0), ("IMTLL", 80.0)])
def test_a_gradient_of_the_method_s_own_counts_too(name: str, parameter: float) -> None:
    model, optim = build_and_train(OVERLAPPING, weighting=dict(type=name))
    own = next(model.weighting.parameters())
    with torch.no_grad():
        own[1] = parameter
    # The weight is finite, that times the loss is not.
    model.loss_weights["two"] = 1e5
    before = values(model)
    model.train_step(tiny_batches(2), optim)
    assert changed(model, before) == []
    assert model.nonfinite.total_unweighted == 1


def test_an_aggregator_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    model, optim = build_and_train(HARD, num_units=1, weighting=dict(type="PCD"))
    (aggregator,) = model.weighting._aggregators.values()
    memory = aggregator.gramian_weighting
    memory._sq_norm_ema.fill_(torch.nan)
    monkeypatch.setattr(
        type(memory), "forward", lambda self, gramian: self._sq_norm_ema
    )
    before = values(model)
    model.train_step(tiny_batches(2), optim)
    assert changed(model, before) == []
    monkeypatch.undo()
    log = model.train_step(tiny_batches(3), optim)
    assert all(log[f"{task}/weight"].isfinite() for task in NAMES)
    (state,) = model.weighting.get_extra_state().values()
    assert state["_n_steps"] == 1
    assert state["_sq_norm_ema"].isfinite().all()
    assert len(changed(model, before)) > len(before) / 2


def test_too_many_in_a_row_end_the_run_with_the_model_of_before() -> None:
    model, optim = build_and_train(
        OVERLAPPING, weighting=dict(type="GeometricMean"), max_nonfinite=2
    )
    model.train_step(with_zero(model), optim)
    model.train_step(tiny_batches(), optim)  # Begins the count anew.
    before = values(model)
    model.train_step(with_zero(model), optim)
    with pytest.raises(
        FloatingPointError,
        match=r"`model\.weighting` \(GeometricMean\) .* 2 steps in a row, 3 in all, "
        r"now nan for 'two'; .* the model is that of before",
    ):
        model.train_step(with_zero(model), optim)
    assert changed(model, before) == []


def test_a_step_of_bad_losses_alone_keeps_the_count() -> None:
    model, optim = build_and_train(
        OVERLAPPING, weighting=dict(type="GeometricMean"), max_nonfinite=2
    )
    model.train_step(with_zero(model), optim)
    bad = dict(one=tiny_batches()["one"])
    bad["one"][1].fill_(torch.nan)
    model.train_step(bad, optim)
    with pytest.raises(FloatingPointError, match="2 steps in a row, 2 in all"):
        model.train_step(with_zero(model), optim)


@pytest.mark.parametrize("accumulative_counts", [1, 2])
def test_a_registered_weighting_is_guarded(accumulative_counts: int) -> None:
    model = build_tiny(TOP2, weighting=dict(type="Broken"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    optim = OptimWrapper(optimizer, accumulative_counts=accumulative_counts)
    before = values(model)
    for seed in range(accumulative_counts):
        model.train_step(tiny_batches(seed), optim)
    assert changed(model, before) == []
    assert not optimizer.state
    assert model.nonfinite.total_unweighted == 1


def test_the_log_names_method_weight_and_losses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    tell: Callable = lambda text, **_: said.append(text)  # noqa: E731
    monkeypatch.setattr(nonfinite, "print_log", tell)
    model = build_tiny(OVERLAPPING, weighting=dict(type="GeometricMean"))
    model.train_step(with_zero(model), adam(model))
    assert len(said) == 1
    assert "`model.weighting` (GeometricMean) gives nan for 'two'" in said[0]
    assert ", 0 for 'two', " in said[0]


@pytest.mark.parametrize("name", ["DWA", "FAMO", "GeometricMean", "IMTLL", "UW"])
def test_a_loss_weight_of_zero_is_refused_where_it_cannot_work(name: str) -> None:
    weights = dict(one=1.0, two=0.0, three=1.0)
    with pytest.raises(
        ValueError, match=rf"`model\.loss_weights\.two` is 0\.0; .*above 0.*\({name}\)"
    ):
        build_tiny(OVERLAPPING, weighting=dict(type=name), loss_weights=weights)


@pytest.mark.parametrize("name", ["Sum", "Random", "UPGrad"])
def test_a_loss_weight_of_zero_works_elsewhere(name: str) -> None:
    weights = dict(one=1.0, two=0.0, three=1.0)
    model = build_tiny(OVERLAPPING, weighting=dict(type=name), loss_weights=weights)
    log = model.train_step(tiny_batches(), adam(model))
    assert all(log[f"{task}/weight"].isfinite() for task in NAMES)


def run_rank(rank: int) -> list[Any]:
    found: list[Any] = []
    for wrapper in (SIMTDataParallel, SIMTFullyShardedDataParallel):
        model = build_tiny(OVERLAPPING, weighting=dict(type="GeometricMean"))
        zero = with_zero(model)
        wrapped = wrapper(model)
        optim = OptimWrapper(torch.optim.SGD(wrapped.parameters(), lr=0.01))
        before = values(model)
        wrapped.train_step(zero, optim)
        left_out = not changed(model, before)
        # One rank alone has a loss of 0: the losses' average is not.
        wrapped.train_step(zero if rank else tiny_batches(1), optim)
        found.append((left_out, values(model), model.nonfinite.total_unweighted))
    return found


def test_ranks_decide_alike(tmp_path: Path) -> None:
    one, other = on_ranks(run_rank, tmp_path)
    for (left_out, state, count), (also, twin, same) in zip(one, other, strict=True):
        assert left_out
        assert also
        assert count == same == 1
        assert all(
            value.isfinite().all() for value in [*state.values(), *twin.values()]
        )
    whole, twin = one[0][1], other[0][1]
    assert all(torch.equal(value, twin[key]) for key, value in whole.items())
