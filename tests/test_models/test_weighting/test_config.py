"""What a config may say, and the errors for what it may not."""

import sys
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import Tensor

from gppf_mm.models.weighting import (
    ScheduledWeighting,
    Weighting,
    build_weighting,
    catalogue,
)
from gppf_mm.registry import MODELS
from tests.tiny_tasks import (
    NAMES,
    OVERLAPPING,
    build_tiny,
    own_gradients,
    step_gradients,
    tiny_batches,
)

POINTS = dict(one=[(0, 1)], two=[(0, 1)], three=1.0)


@pytest.mark.parametrize(
    ("weighting", "named"),
    [
        ("UW", r"model\.weighting` is 'UW'.*key `type`"),
        (dict(type="UPgrad"), r"weighting\.type` is 'UPgrad'.*DWA.*Did you mean 'UPG"),
        (dict(type="Weighting"), r"weighting\.type` is 'Weighting'.*scalarizers"),
        (
            dict(type="DWA", temper=1),
            r"'temper'.*epoch_length.*mean 'temperature'",
        ),
        (dict(type="DWA", temperature=-1), r"refused by torchjd's DWA.*positive"),
        (dict(type="CAGrad"), r"refused by torchjd's CAGrad.*'c'"),
        (dict(type="UW", shape=3), r"model\.weighting.*'shape'"),
        (
            dict(type="UPGrad", pref_vector=dict(one=1, two=1)),
            r"model\.weighting\.pref_vector.*'three'",
        ),
        (
            dict(type="ScheduledWeighting", points=dict(POINTS, two=[(5, 1), (0, 1)])),
            r"weighting\.points\.two.*that rise",
        ),
        (
            dict(type="ScheduledWeighting", points=dict(POINTS, two=[0, 1.0])),
            r"weighting\.points\.two` is \[0, 1\.0\].*pairs",
        ),
        (
            dict(type="ScheduledWeighting", points=dict(POINTS, two=[(0, "1")])),
            r"weighting\.points\.two` is .*'1'",
        ),
        (
            dict(type="ScheduledWeighting"),
            r"has no 'points'.*Add `model\.weighting\.po",
        ),
        (
            dict(type="ScheduledWeighting", points=POINTS, interpolate="step"),
            r"'interpolate'.*Did you mean 'interpolation'",
        ),
        (
            dict(type="UPGrad", pref_vector=[1, 1, 2]),
            r"pref_vector` is \[1, 1, 2\]; expected .* pref_vector=dict\(one=",
        ),
        (
            dict(type="Constant", weights=(1, 2, 3)),
            r"weights` is \(1, 2, 3\); expected",
        ),
        (
            dict(type="Constant", weights=dict(one="a", two=1, three=1)),
            r"model\.weighting\.weights\.one` is 'a'; expected a number",
        ),
        (dict(type="DWA", epoch_length=0), r"epoch_length` is 0; expected .* steps"),
        (
            dict(type="ScheduledWeighting", points=POINTS, interpolation="cubic"),
            r"weighting\.interpolation.*'cubic'.*'linear'",
        ),
    ],
)
def test_a_bad_weighting_is_an_error_that_names_the_key(
    weighting: Any, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        build_tiny(OVERLAPPING, weighting=weighting)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (dict(clip_grad_per_task=1.0), r"clip_grad_per_task` is 1\.0.*`max_norm`"),
        (dict(clip_grad_per_task=dict(max_norm=0)), r"max_norm` is 0.*above 0"),
        (
            dict(clip_grad_per_task=dict(max_norm=1, norm_typ=2)),
            r"clip_grad_per_task.*'norm_typ'.*mean 'norm_type'",
        ),
        (dict(gradient_stats_interval=-1), r"gradient_stats_interval` is -1"),
        (dict(gradient_stats_interval=None), r"gradient_stats_interval` is None"),
        (dict(gradient_stats_interval="10"), r"gradient_stats_interval` is '10'"),
    ],
)
def test_a_bad_option_is_an_error_that_names_the_key(options: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        build_tiny(OVERLAPPING, **options)


def test_without_torchjd_the_error_tells_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torchjd", None)
    with pytest.raises(ImportError, match=r"'UW'.*pip install 'torchjd\[full\]==0\.18"):
        build_tiny(OVERLAPPING, weighting=dict(type="UW"))
    # Our own needs nothing.
    build_tiny(OVERLAPPING, weighting=dict(type="ScheduledWeighting", points=POINTS))


def test_another_torchjd_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "version", lambda name: "0.19.1")
    with pytest.raises(ImportError, match=r"torchjd 0\.19\.1.*0\.18"):
        build_tiny(OVERLAPPING, weighting=dict(type="UW"))


@MODELS.register_module()
class OnlyTheFirst(Weighting):
    """A weighting of a user's own."""

    def weigh(
        self, losses: dict[str, Tensor], step: int, scale: float
    ) -> dict[str, Tensor]:
        return {task: torch.tensor(float(task == self.tasks[0])) for task in losses}


def test_a_registered_weighting_is_used() -> None:
    model = build_tiny(OVERLAPPING, weighting=dict(type="OnlyTheFirst"))
    rows = own_gradients(model, tiny_batches())
    found, _ = step_gradients(model, tiny_batches())
    for name, value in rows["one"].items():
        torch.testing.assert_close(found[name], value)
    assert not found["tasks.two.head.weight"].any()


def test_own_parameters_are_trained_without_decay() -> None:
    model = build_tiny(OVERLAPPING, weighting=dict(type="UW"))
    cfg = dict(
        type="OptimWrapper",
        optimizer=dict(type="AdamW", lr=0.1, weight_decay=0.5),
        constructor="gppf_mm.MultiTaskOptimWrapperConstructor",
        paramwise_cfg=dict(weighting=dict(lr_mult=10.0)),
    )
    optim = build_optim_wrapper(model, ConfigDict(cfg))
    own = model.weighting.scalarizer.log_var
    groups = [
        group
        for group in optim.optimizer.param_groups
        if any(item is own for item in group["params"])
    ]
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [(1.0, 0.0)]
    before = own.clone()
    model.train_step(tiny_batches(), optim)
    assert (own != before).all()
    assert len(own) == len(NAMES)


def test_own_weightings_are_found_under_another_library_s_scope() -> None:
    cfg = dict(type="ScheduledWeighting", points=dict.fromkeys(NAMES, 1.0))
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        weighting = build_weighting(cfg, NAMES)
    assert isinstance(weighting, ScheduledWeighting)
