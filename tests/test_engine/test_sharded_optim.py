"""Which optimizers may work on shards."""

import pytest
import torch
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.registry import OPTIMIZERS
from torch import nn

from gppf_mm.engine.distributed.sharded_optim import check_elementwise
from gppf_mm.engine.runner.sharded_runs import prepare_sharded

ELEMENTWISE = {
    "SGD": dict(lr=1e-3, momentum=0.9, nesterov=True, weight_decay=1e-4),
    "Adam": dict(lr=1e-3, amsgrad=True),
    "AdamW": dict(lr=1e-3, weight_decay=0.05),
    "RMSprop": dict(lr=1e-3, centered=True, momentum=0.9),
    "Adagrad": dict(lr=1e-3),
    "AdamW fused": dict(type="AdamW", lr=1e-3, fused=True),
}
WHOLE = {
    "mmpretrain.LARS": dict(lr=1e-3, momentum=0.9, weight_decay=1e-4),
    "mmpretrain.Lamb": dict(lr=1e-3, weight_decay=1e-4),
    "Adafactor": dict(type="torch_adafactor", lr=1e-3),
    "LBFGS": dict(lr=1e-3),
}


def build(cfg: dict) -> torch.optim.Optimizer:
    parameters = [nn.Parameter(torch.ones(3, 2)), nn.Parameter(torch.ones(3))]
    kind = cfg.pop("type")
    if kind == "torch_adafactor":
        return torch.optim.Adafactor(parameters, **cfg)
    return OPTIMIZERS.build(dict(cfg, type=kind, params=parameters))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_an_optimizer_of_single_elements_is_taken_and_left_alone(name: str):
    optimizer = build({"type": name, **ELEMENTWISE[name]})
    before = str(optimizer.state_dict())
    check_elementwise(optimizer)
    assert str(optimizer.state_dict()) == before
    for parameter in optimizer.param_groups[0]["params"]:
        assert (parameter == 1).all()


@pytest.mark.parametrize("name", WHOLE)
def test_an_optimizer_of_whole_tensors_is_refused(name: str):
    optimizer = build({"type": name, **WHOLE[name]})
    with pytest.raises(ValueError, match=r"cannot work on shards.*SGD or AdamW"):
        check_elementwise(optimizer)


def test_a_moving_average_of_shards_is_refused():
    with pytest.raises(ValueError, match="has an EMAHook"):
        prepare_sharded(nn.Module(), None, [EMAHook()])


def test_a_folder_of_shards_that_would_be_published_is_refused():
    """Not after the training, whose end MMEngine would fail at."""
    model = nn.Module()
    model.checkpoint = "sharded"
    hooks = [CheckpointHook(published_keys=["meta", "state_dict"])]
    with pytest.raises(ValueError, match=r"published_keys` is \['meta'.*'full'"):
        prepare_sharded(model, None, hooks)
