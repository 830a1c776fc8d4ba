"""Finding and reading stock recipes."""

import subprocess
import sys
from pathlib import Path

import pytest

from gppf_mm.recipes import find_recipe, list_recipes, load_recipe

RETINA = "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"

LAZY = """
from mmengine.config import read_base
from mmdet.models import FPN, ResNet, RetinaHead, RetinaNet
from torch.optim import SGD

model = dict(
    type=RetinaNet,
    backbone=dict(type=ResNet, depth=18),
    neck=dict(type=FPN, in_channels=[64, 128, 256, 512], out_channels=16, num_outs=5),
    bbox_head=dict(type=RetinaHead, num_classes=3, in_channels=16))
optim_wrapper = dict(optimizer=dict(type=SGD, lr=0.1))
"""


def test_a_library_config_is_the_file_that_ships_with_it():
    path = find_recipe(RETINA)
    assert path.is_file()
    assert find_recipe(RETINA.removesuffix(".py")) == path
    assert load_recipe(str(path)).cfg.model == load_recipe(RETINA).cfg.model


@pytest.mark.parametrize("library", ["mmdet", "mmseg", "mmpretrain"])
def test_every_listed_recipe_can_be_found(library: str):
    names = list_recipes(library)
    assert len(names) > 500
    assert not any("_base_" in name for name in names)
    for name in names[::50]:
        assert find_recipe(name).is_file()


def test_overrides_reach_every_depth():
    overrides = {
        "model.bbox_head.num_classes": 7,
        "train_dataloader.dataset.pipeline.2.scale": (100, 80),
    }
    cfg = load_recipe(RETINA, overrides).cfg
    assert cfg.model.bbox_head.num_classes == 7
    assert cfg.train_dataloader.dataset.pipeline[2].scale == (100, 80)


def test_a_lazy_config_becomes_text(tmp_path: Path):
    file = tmp_path / "lazy.py"
    file.write_text(LAZY)
    recipe = load_recipe(str(file))
    assert recipe.scope == "mmdet"
    assert recipe.cfg.model.backbone.type == "mmdet.models.ResNet"
    text = tmp_path / "text.py"
    text.write_text(recipe.cfg.pretty_text)
    assert load_recipe(str(text)).cfg.model == recipe.cfg.model


def test_the_preprocessor_goes_where_the_runner_puts_it():
    cfg = load_recipe("mmpretrain::resnet/resnet18_8xb32_in1k.py").cfg
    assert cfg.model.data_preprocessor == cfg.data_preprocessor


def test_reading_imports_no_library():
    code = (
        "import sys; from gppf_mm.recipes import load_recipe;"
        f"load_recipe({RETINA!r});"
        "print([name for name in ('mmdet', 'mmseg') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        (
            "mmdet::retinanet/retinanet_r50_fpn_1x_coc.py",
            FileNotFoundError,
            "Did you mean 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'",
        ),
        ("mmdett::x.py", FileNotFoundError, "'mmdett' is missing.*mean 'mmdet::'"),
        ("mmsegmentation::x.py", FileNotFoundError, "Did you mean 'mmseg::'"),
        ("mmcls::x.py", FileNotFoundError, "Did you mean 'mmpretrain::'"),
        ("mmdet3d::x.py", FileNotFoundError, "mmpretrain'. Install.*mmdet3d"),
        ("mmnowhere::x.py", FileNotFoundError, "`mim install mmnowhere`"),
        ("nowhere/x.py", FileNotFoundError, "no recipe 'nowhere/x.py'"),
        ("mmdet::common/ms_3x_coco.py", ValueError, "has no `model`"),
    ],
)
def test_mistakes(name: str, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        load_recipe(name)


def test_a_scope_that_may_be_misspelt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said: list[str] = []
    monkeypatch.setattr(
        "gppf_mm.recipes.source.print_log", lambda text, **_: said.append(text)
    )
    (tmp_path / "x.py").write_text("model = dict(type='FCN')")
    # One of a user's own need not be a module.
    for scope in ("ours", "mmseg"):
        assert load_recipe(str(tmp_path / "x.py"), scope=scope).scope == scope
    assert not said
    load_recipe(str(tmp_path / "x.py"), scope="mmsegg")
    assert "Did you mean 'mmseg'?" in said[0]


def test_a_broken_file_is_named(tmp_path: Path):
    file = tmp_path / "broken.py"
    file.write_text("model = dict(")
    with pytest.raises(ValueError, match=r"broken\.py' cannot be read"):
        load_recipe(str(file))


def test_an_unknown_library_needs_a_scope(tmp_path: Path):
    file = tmp_path / "own.py"
    file.write_text("model = dict(type='Own')")
    with pytest.raises(ValueError, match=r"Add scope="):
        load_recipe(str(file))
    assert load_recipe(str(file), scope="mmpose").scope == "mmpose"
