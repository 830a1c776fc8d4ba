from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict

from gppf_mm.export import export_state_dict
from gppf_mm.models import GPPF
from gppf_mm.registry import MODELS
from tests.stand_ins import TASKS, batches, build_gppf, task_configs

ROUTERS: dict[str, dict[str, Any]] = dict(
    topk=dict(type="TopKRouter", k=2, init_std=1.0),
    soft=dict(type="SoftRouter", init_std=1.0, group="layer"),
    one_hot=dict(
        type="FixedRouter", routes=dict(det=[0], seg=[1], cls=[2]), group="stage"
    ),
    gumbel=dict(type="GumbelTopKRouter", k=2, anneal_iters=100, init_std=1.0),
)


def build(router: str, **lego: Any) -> GPPF:
    """Build a model whose units and running statistics differ from each other."""
    model = build_gppf(ROUTERS[router], lego=dict(init=dict(perturbation=0.5), **lego))
    for name, buffer in model.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5)
    model.network.set_step(30)
    return model


def numbers(samples: list) -> list[torch.Tensor]:
    found = []
    for sample in samples:
        if "pred_instances" in sample:
            instances = sample.pred_instances
            found += [instances.bboxes, instances.scores, instances.labels]
        elif "seg_logits" in sample:
            found.append(sample.seg_logits.data)
        else:
            found.append(sample.pred_score)
    return found


@pytest.mark.parametrize("router", ROUTERS)
@pytest.mark.parametrize("task", TASKS)
def test_stock_model_predicts_the_same(router: str, task: str):
    model = build(router).eval()
    stock = MODELS.build(ConfigDict(task_configs()[task]))
    stock.load_state_dict(export_state_dict(model, task), strict=True)
    batch = batches()[task]
    with torch.no_grad():
        inside = numbers(model.predict(task, batch))
        outside = numbers(stock.eval().test_step(batch))
    assert sum(item.numel() for item in inside) > 0
    torch.testing.assert_close(outside, inside, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_names_order_and_versions_are_the_stock_models(task: str):
    stock = MODELS.build(task_configs()[task]).state_dict()
    state = export_state_dict(build("topk"), task)
    assert list(state) == list(stock)
    assert state._metadata == stock._metadata


def test_private_values_in_a_mixed_layer_keep_the_stock_order():
    """A weight in the bank beside a private bias, and one copy for all tasks."""
    rules = [("backbone.conv1.weight", "shared"), ("*.layer4.*", "private")]
    model = build("topk", placement=rules)
    state = export_state_dict(model, "seg")
    stock = MODELS.build(task_configs()["seg"]).state_dict()
    assert list(state) == list(stock)
    expected = model.network.bank.parameter("backbone.conv1.weight")
    assert torch.equal(state["backbone.conv1.weight"], expected)


def test_export_shares_no_memory_and_is_contiguous():
    model = build("one_hot")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = export_state_dict(model, "det")
    for value in state.values():
        assert not value.requires_grad
        assert value.is_contiguous()
        value.fill_(7)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_training_mode_and_random_state_are_left_alone():
    """In training the router's noise would come into the weights."""
    model = build("gumbel").train()
    random_state = torch.get_rng_state()
    in_training = export_state_dict(model, "det")
    assert torch.equal(torch.get_rng_state(), random_state)
    assert model.network.training
    assert model.network.router.training
    in_evaluation = export_state_dict(model.eval(), "det")
    for name, value in in_evaluation.items():
        assert torch.equal(in_training[name], value), name
    noisy = model.train().network.weights("det")
    assert any(not torch.equal(noisy[name], in_evaluation[name]) for name in noisy)


def test_unknown_task():
    with pytest.raises(ValueError, match="Did you mean 'seg'"):
        export_state_dict(build("topk"), "sge")
