"""Hooks of a run that is one epoch."""

import pytest
from mmdet.datasets.samplers import AspectRatioBatchSampler
from mmengine.dataset import InfiniteSampler
from mmengine.hooks import CheckpointHook, LoggerHook

from gppf_mm.engine.runner.building import restartable
from gppf_mm.engine.runner.iterations import count_iterations


def test_logger_and_checkpoint_hook_count_iterations():
    built = CheckpointHook(interval=3)
    for hooks in (None, {}, dict(timer=None), dict(logger=dict(type="LoggerHook"))):
        found = count_iterations(hooks)
        assert found["logger"] == dict(type="LoggerHook", log_metric_by_epoch=False)
        assert found["checkpoint"]["by_epoch"] is False
    found = count_iterations(
        dict(checkpoint=dict(type="CheckpointHook", interval=7), logger=None)
    )
    assert found["checkpoint"]["interval"] == 7
    assert found["logger"] is None
    assert count_iterations(dict(checkpoint=built))["checkpoint"] is built


def test_epochs_are_refused():
    hook = dict(type=LoggerHook, log_metric_by_epoch=True)
    with pytest.raises(ValueError, match=r"`default_hooks\.logger\.log_metric_by"):
        count_iterations(dict(logger=hook))


@pytest.mark.parametrize("kind", [InfiniteSampler, "InfiniteSampler", "mmengine.I"])
def test_an_infinite_sampler_may_be_a_class(kind: type | str):
    kind = "mmengine.InfiniteSampler" if kind == "mmengine.I" else kind
    cfg = restartable(dict(batch_size=2, sampler=dict(type=kind, shuffle=True)))
    assert cfg["sampler"] == dict(type="DefaultSampler", shuffle=True)
    assert cfg["drop_last"]


def test_samplers_of_ones_own_are_kept():
    class MyInfiniteSampler(InfiniteSampler):
        pass

    for kind in (MyInfiniteSampler, "lab.MyInfiniteSampler"):
        cfg = dict(batch_size=2, sampler=dict(type=kind, shuffle=True))
        found = restartable(cfg)
        assert found["sampler"] == cfg["sampler"]
        assert "drop_last" not in found
    batches = dict(type="MyAspectRatioBatchSampler")
    infinite = dict(type="InfiniteSampler", shuffle=True)
    cfg = dict(batch_size=2, sampler=infinite, batch_sampler=batches)
    assert restartable(cfg)["batch_sampler"] == batches


@pytest.mark.parametrize(
    "kind",
    [
        "mmdet.AspectRatioBatchSampler",
        "mmdet.TrackAspectRatioBatchSampler",
        AspectRatioBatchSampler,
        None,
    ],
)
def test_what_an_infinite_sampler_never_yields_is_dropped(kind: str | type | None):
    infinite = dict(type="InfiniteSampler", shuffle=True)
    batch_sampler = kind and dict(type=kind)
    cfg = dict(batch_size=2, sampler=infinite, batch_sampler=batch_sampler)
    found = restartable(cfg)
    assert (found["batch_sampler"] if kind else found)["drop_last"]
    # Unless that is always the same, or asked for.
    cfg = dict(batch_size=2, sampler=dict(infinite, shuffle=False))
    assert not restartable(cfg)["drop_last"]
    cfg = dict(batch_size=2, sampler=infinite, drop_last=False)
    assert not restartable(cfg)["drop_last"]
