"""A run that adds a task to a trained bank, and the plain configs over one."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from gppf_mm.apis import init_model, load_config
from gppf_mm.registry import MODELS, RUNNERS
from tests.runs import REPO, make_tiny_toy, tiny_config

CONFIGS = REPO / "configs/downstream"
BASE = "work_dirs/lego-r18-4u-soft_toy-det-seg-cls/iter_500.pth"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the toy set and a run that could have been trained."""
    make_tiny_toy(tmp_path)
    monkeypatch.chdir(tmp_path)
    model = init_model(tiny_config(tmp_path))
    for parameter in model.network.router.parameters():
        parameter.data.normal_()
    path = tmp_path / BASE
    path.parent.mkdir(parents=True)
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return tmp_path


def simt_config(folder: Path, name: str, max_iters: int) -> Config:
    """Return a config that adds `shop`, a task like `cls`, over frozen units."""
    cfg = tiny_config(folder / name, {"train_cfg.max_iters": max_iters})
    cfg.model.tasks.shop = cfg.model.tasks.cls
    cfg.model.loss_weights = None
    new = dict(shop=dict(route="cls"))
    cfg.model.lego.transfer = dict(checkpoint=BASE, new=new, freeze="units")
    # The loader of `cls` stays, and is not used.
    for key in ("train_dataloader", "val_dataloader", "val_evaluator"):
        cfg[key] = dict(cls=cfg[key].cls, shop=cfg[key].cls)
    mean = dict(shop=dict(metric="accuracy/top1"))
    cfg.val_cfg.mean = cfg.test_cfg.mean = mean
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
    cfg.experiment_name = f"{name}_{max_iters}"
    return cfg


def test_a_run_trains_the_new_task_alone_and_resumes(folder: Path) -> None:
    whole = RUNNERS.build(simt_config(folder, "whole", 4))
    whole.train()
    before = torch.load(folder / BASE, weights_only=True)["state_dict"]
    after = whole.model.state_dict()
    # What the run had is as it was; what else there is, is new.
    for name, value in before.items():
        assert torch.equal(after[name], value) or name == "network.step", name
    copied = before["tasks.cls.backbone.bn1.weight"]
    assert not torch.equal(after["tasks.shop.backbone.bn1.weight"], copied)
    assert "val/shop/accuracy/top1" in whole.message_hub.log_scalars
    cfg = simt_config(folder, "parted", 4)
    cfg.resume, cfg.load_from = True, str(folder / "whole/iter_2.pth")
    (folder / BASE).unlink()  # A run that goes on has all that it needs.
    resumed = RUNNERS.build(cfg)
    resumed.train()
    for name, value in resumed.model.state_dict().items():
        assert torch.equal(value, after[name]), name


@pytest.mark.parametrize(
    "name", ["retinanet_lego-r18-4u-soft_500i_bccd", "fcn_lego-r18-4u-soft_500i_camvid"]
)
def test_a_plain_config_starts_from_the_run(folder: Path, name: str) -> None:
    cfg = Config.fromfile(CONFIGS / f"{name}.py")
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    model.init_weights()
    state, before = model.backbone.state_dict(), torch.load(folder / BASE)["state_dict"]
    task = cfg.backbone.transfer.route
    for key, value in before.items():
        if key.startswith("network.bank"):
            assert torch.equal(state[key], value), key
    assert torch.equal(
        state["network.router.logits.task"], before[f"network.router.logits.{task}"]
    )
    # The stock constructor applies the rules of the route.
    cfg.optim_wrapper.clip_grad = None
    optim = build_optim_wrapper(model, cfg.optim_wrapper)
    rates = {
        id(group["params"][0]): group["lr"] for group in optim.optimizer.param_groups
    }
    logits = model.backbone.network.router.logits["task"]
    assert rates[id(logits)] == 10 * cfg.optim_wrapper.optimizer.lr


def test_the_multi_task_config_keeps_the_old_tasks(folder: Path) -> None:
    cfg = load_config(CONFIGS / "lego-r18-4u-soft_500i_toy-bccd.py")
    model = init_model(cfg)
    assert model.trained_tasks == ("bccd",)
    assert set(cfg.train_dataloader) == {"bccd"}
