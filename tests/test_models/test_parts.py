"""Models of any library as tasks, with shared parts wherever they are."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel, ExponentialMovingAverage
from mmengine.optim import OptimWrapper
from torch import nn

from gppf_mm.export import export_state_dict
from gppf_mm.models import GPPF, LegoBackbone
from gppf_mm.ranking.rank import _take
from gppf_mm.registry import MODELS
from tests.stand_ins import task_configs


def encoder() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())


@MODELS.register_module()
class BrightnessRegressor(BaseModel):
    """A model of no library, whose backbone is at ``image_encoder.0``."""

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder = nn.ModuleList([encoder()])
        self.head = nn.Linear(4, 1)

    def forward(self, inputs: torch.Tensor, data_samples: Any = None, mode: str = ""):
        predicted = self.head(self.image_encoder[0](inputs).mean((2, 3)))
        if mode == "loss":
            return dict(loss=(predicted - inputs.mean((1, 2, 3))[:, None]).square())
        return predicted


@MODELS.register_module()
class ContrastRegressor(BrightnessRegressor):
    """The same, with its backbone where everyone has it."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = self.image_encoder[0]
        del self.image_encoder
        self.image_encoder = [self.backbone]  # Not registered a second time.


@MODELS.register_module()
class NoTask(nn.Module):
    """A module that is no model."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = encoder()


@MODELS.register_module()
class MomentumRegressor(ContrastRegressor):
    """One with a momentum encoder, as MoCo and BYOL have it."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher = ExponentialMovingAverage(self.backbone)


@MODELS.register_module()
class AdaptedRegressor(ContrastRegressor):
    """One whose checkpoint has no backbone, as with LoRA."""

    def __init__(self) -> None:
        super().__init__()
        self._register_state_dict_hook(self._drop)

    @staticmethod
    def _drop(module: nn.Module, state: dict, prefix: str, _: dict) -> None:
        for name in [name for name in state if name.startswith("backbone.")]:
            del state[name]


def build(**changes: Any) -> GPPF:
    cfg = dict(
        tasks=dict(
            contrast=dict(type="gppf_mm.ContrastRegressor"),
            light=dict(type="gppf_mm.BrightnessRegressor"),
        ),
        lego=dict(num_units=1, router=dict(type="gppf_mm.FixedRouter")),
        parts=dict(light=dict(backbone="image_encoder.0")),
    )
    return GPPF(**{**cfg, **changes})


def test_parts_elsewhere_share_one_bank():
    model = build()
    model.init_weights()
    assert model.network.bank.lego_names == ("backbone.0.weight", "backbone.0.bias")
    states = {task: export_state_dict(model, task) for task in model.task_names}
    ours = states["light"]["image_encoder.0.0.weight"]
    assert ours.equal(states["contrast"]["backbone.0.weight"])
    BrightnessRegressor().load_state_dict(states["light"], strict=True)


def test_the_first_values_come_from_where_the_part_is():
    model = build(tasks=dict(light=dict(type="gppf_mm.BrightnessRegressor")))
    torch.manual_seed(3)
    model.init_weights()
    torch.manual_seed(3)
    stock = BrightnessRegressor()
    for name, value in export_state_dict(model, "light").items():
        assert torch.equal(value, stock.state_dict()[name]), name


def test_a_step_is_the_stock_models_step_on_tied_weights():
    model = build()
    model.init_weights()
    states = {task: export_state_dict(model, task) for task in model.task_names}
    stock = dict(contrast=ContrastRegressor(), light=BrightnessRegressor())
    for task, state in states.items():
        stock[task].load_state_dict(state)
    batches = {task: dict(inputs=torch.rand(2, 3, 8, 8)) for task in stock}
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    model.backward(deepcopy(batches), wrapper)
    gradient = 0
    for task, item in stock.items():
        item(**batches[task], mode="loss")["loss"].mean().backward()
        gradient = gradient + item.image_encoder[0][0].weight.grad
    unit = model.network.bank.units("backbone.0.weight")[0]
    torch.testing.assert_close(unit.grad, gradient)


@MODELS.register_module()
class Encoder(nn.Sequential):
    """The backbone of these models by itself."""

    def __init__(self) -> None:
        super().__init__(*encoder())


@pytest.mark.parametrize("names_parts", [True, False])
def test_a_route_is_tried_with_norms_from_where_the_run_has_them(
    tmp_path: Path, names_parts: bool
):
    lego = dict(num_units=2, router=dict(type="gppf_mm.SoftRouter"))
    run = build(lego=lego)
    nn.init.normal_(run.tasks["light"].image_encoder[0][1].weight)
    parts = dict(light=dict(backbone="image_encoder.0")) if names_parts else {}
    text = Config(dict(model=dict(lego=lego, parts=parts))).pretty_text
    path = str(tmp_path / "run.pth")
    torch.save(dict(state_dict=run.state_dict(), meta=dict(cfg=text)), path)
    backbone = LegoBackbone(skeleton=dict(type="gppf_mm.Encoder"), **lego)
    if not names_parts:
        with pytest.raises(ValueError, match=r"where `model\.parts` in the config of"):
            _take(backbone, path, "light")
        return
    for task, stock in run.tasks.items():
        _take(backbone, path, task)
        for name, value in stock.image_encoder[0][1].state_dict().items():
            assert torch.equal(backbone.skeleton[1].state_dict()[name], value), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(parts=None), r"model\.parts=\{'light': \{'backbone': '\.\.\.'\}\}"),
        (dict(parts=dict(lite={})), r"`model\.parts` has an unknown key 'lite'"),
        (
            dict(parts=dict(light=dict(bakbone="x"))),
            r"`model\.parts\.light` has an unknown key 'bakbone'",
        ),
        (
            dict(parts=dict(light=dict(backbone=0))),
            r"`model\.parts\.light\.backbone` is 0; expected the dotted path",
        ),
        (
            dict(parts=dict(light="encoder")),
            r"`model\.parts\.light` is 'encoder'; expected a dict, such as dict\(back",
        ),
        (
            dict(parts=["light"]),
            r"`model\.parts` is \['light'\]; expected a dict, such as dict\(",
        ),
        (
            dict(parts=dict(light=None)),
            r"model\.parts=\{'light': \{'backbone': '\.\.\.'\}\}",
        ),
        (
            dict(tasks=dict(thing=dict(type="gppf_mm.NoTask")), parts=None),
            r"`model\.tasks\.thing` is a NoTask.*data_preprocessor",
        ),
        (
            dict(tasks=dict(ema=dict(type="gppf_mm.MomentumRegressor")), parts=None),
            r"moving average .* 'teacher' \(ExponentialMovingAverage\)",
        ),
        (
            dict(tasks=dict(lora=dict(type="gppf_mm.AdaptedRegressor")), parts=None),
            r"`model\.tasks\.lora` .* leaves 4 of its weights out of its state dict",
        ),
    ],
)
def test_mistakes(changes: dict[str, Any], message: str):
    with pytest.raises((ValueError, TypeError), match=message):
        build(**changes)


def test_a_part_with_a_dot_is_given_a_name():
    lego = dict(num_units=2, router=dict(type="gppf_mm.SoftRouter"))
    with pytest.raises(ValueError, match=r"'neck\.convs'.*say by `model\.parts`"):
        GPPF(task_configs(), lego, share=("backbone", "neck.convs"))
