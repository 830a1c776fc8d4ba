"""What the options of the training tool make of a config."""

import pytest
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, OptimWrapper

from gppf_mm.apis import enable_amp, training


@pytest.fixture(autouse=True)
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "get_device", lambda: "cuda")


@pytest.mark.parametrize(
    "kind", [None, "OptimWrapper", "mmengine.OptimWrapper", OptimWrapper]
)
def test_amp_of_the_plain_wrapper_by_any_name(kind: str | type | None):
    cfg = Config(dict(optim_wrapper={} if kind is None else dict(type=kind)))
    enable_amp(cfg)
    assert cfg.optim_wrapper == dict(type="AmpOptimWrapper", loss_scale="dynamic")


def test_amp_keeps_the_scale_of_the_config():
    cfg = Config(dict(optim_wrapper=dict(type=AmpOptimWrapper, loss_scale=512.0)))
    enable_amp(cfg)
    assert cfg.optim_wrapper.loss_scale == 512.0


def test_amp_of_another_wrapper_is_refused():
    cfg = Config(dict(optim_wrapper=dict(type="ApexOptimWrapper")))
    with pytest.raises(ValueError, match=r"`optim_wrapper\.type` is 'Apex"):
        enable_amp(cfg)
