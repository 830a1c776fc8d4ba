"""Ranking routes by a probe on frozen features."""

import json
import random
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData, PixelData
from torch import Tensor
from torch.nn import Module

from gppf_mm.apis import init_model
from gppf_mm.ranking import probe_score, rank_routes
from gppf_mm.ranking.rank import _batches, _collect
from gppf_mm.ranking.samples import rows_of
from gppf_mm.ranking.target import read_target
from tests.runs import REPO, make_tiny_toy
from tests.stand_ins import build_gppf, task_configs

ROUTER = dict(type="gppf_mm.TopKRouter", k=1, group="block", init_std=1.0)
PARTED = dict(perturbation=0.5)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def position_maps(height: int, width: int) -> Tensor:
    """Return features that say in which cell they are: row and column."""
    rows = torch.arange(height)[:, None].expand(height, width)
    columns = torch.arange(width).expand(height, width)
    return torch.stack([rows, columns]).float()


def cells_of(sample: object, size: tuple[int, int] = (16, 32)) -> dict[tuple, int]:
    rows = rows_of(position_maps(4, 8), sample, size, generator())
    cells = [tuple(int(value) for value in cell) for cell in rows.features]
    return dict(zip(cells, [label for (label,) in rows.labels], strict=True))


def test_a_cell_of_a_mask_has_its_most_frequent_class() -> None:
    from mmseg.structures import SegDataSample

    mask = torch.full((16, 32), 255)
    mask[:3, :3] = 7  # 9 of the 16 pixels of the first cell.
    mask[4:8, 4:8] = 2
    sample = SegDataSample(gt_sem_seg=PixelData(data=mask[None]))
    assert cells_of(sample) == {(0, 0): 7, (1, 1): 2}


def test_a_cell_has_the_class_of_the_smallest_box() -> None:
    from mmdet.structures import DetDataSample

    boxes = torch.tensor([[12.5, 0.5, 13.5, 1.5], [0, 0, 8, 8], [0, 0, 4, 4.0]])
    labels = torch.tensor([5, 1, 2])
    sample = DetDataSample(metainfo=dict(img_shape=(8, 16)))
    sample.gt_instances = InstanceData(bboxes=boxes, labels=labels)
    found = cells_of(sample)
    objects = {cell: label for cell, label in found.items() if label >= 0}
    # The first box is smaller than a cell and holds no cell's centre.
    assert objects == {(0, 0): 2, (0, 1): 1, (1, 0): 1, (1, 1): 1, (0, 3): 5}
    # Neither are cells of the padding background.
    rest = {cell for cell, label in found.items() if label < 0}
    assert rest == {(0, 2), (1, 2), (1, 3)}


def test_a_large_class_does_not_crowd_out_a_small_one() -> None:
    from mmseg.structures import SegDataSample

    mask = torch.zeros(64, 64)
    mask[:4, :4] = 1
    sample = SegDataSample(gt_sem_seg=PixelData(data=mask[None]))
    rows = rows_of(position_maps(16, 16), sample, (64, 64), generator())
    labels = [label for (label,) in rows.labels]
    assert labels.count(0) == 8
    assert labels.count(1) == 1


def separable(noise: float) -> tuple[np.ndarray, list[tuple[int, ...]], list[int]]:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 300)
    features = np.eye(3)[labels] + noise * random.normal(size=(300, 3))
    return features, [(int(label),) for label in labels], list(range(300))


def test_a_probe_tells_separable_features_from_noise() -> None:
    pytest.importorskip("sklearn")
    scores = [probe_score(*separable(noise)) for noise in (0.01, 0.7, 50.0)]
    assert scores[0] == 1.0
    assert scores[0] > scores[1] > scores[2]
    assert abs(scores[2] - 1 / 3) < 0.1


def test_a_probe_is_tested_on_other_images() -> None:
    """Rows of an image know each other: a feature that names it must not help."""
    pytest.importorskip("sklearn")
    images = np.repeat(np.arange(10), 12)
    labels = [(int(image % 2),) for image in images]
    assert probe_score(np.eye(10)[images], labels, list(images)) < 0.75


@pytest.mark.parametrize("name", ["img_path", "img_id", "sample_idx"])
def test_an_image_that_comes_again_is_the_same_image(name: str) -> None:
    """An endless sampler begins anew, and a fold must not hold what another has."""
    from mmpretrain.structures import DataSample

    model = Module()
    model.data_preprocessor = lambda batch, training: batch
    model.backbone = lambda inputs: (inputs,)
    samples = [DataSample(metainfo={name: at % 3}).set_gt_label(0) for at in range(8)]
    batch = dict(inputs=torch.rand(4, 2, 6, 6))
    batches = [dict(batch, data_samples=samples[at : at + 4]) for at in (0, 4)]
    features, labels, places = _collect(model, batches, images=7, seed=0)
    assert len(features) == len(labels) == 7
    assert places == [0, 1, 2, 0, 1, 2, 0]


def test_a_set_that_is_smaller_than_a_batch_is_read() -> None:
    sampler = dict(type="DefaultSampler", shuffle=False)
    loader = dict(batch_size=8, drop_last=True, dataset=[1, 2, 3], sampler=sampler)
    assert [len(batch) for batch in _batches(loader, images=4, seed=0)] == [3]


def test_several_labels_are_told_one_by_one() -> None:
    pytest.importorskip("sklearn")
    random = np.random.default_rng(0)
    flags = random.random((100, 3)) > 0.5
    labels = [tuple(np.flatnonzero(row).tolist()) for row in flags]
    assert probe_score(flags.astype(float), labels, list(range(100))) == 1.0


def test_too_little_to_tell() -> None:
    pytest.importorskip("sklearn")
    features, labels, _ = separable(0.1)
    with pytest.raises(ValueError, match="1 class"):
        probe_score(features, [(0,)] * 300, list(range(300)))
    with pytest.raises(ValueError, match="2 labelled image"):
        probe_score(features, labels, [0, 1] * 150)


def test_the_tool_ranks_the_routes_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("sklearn")
    folder = make_tiny_toy(tmp_path)
    monkeypatch.chdir(folder)
    model = build_gppf(ROUTER, tasks=task_configs(), lego=dict(init=PARTED))
    torch.save(dict(state_dict=model.state_dict(), meta={}), "run.pth")
    stock = task_configs()["cls"]
    stock["head"]["num_classes"] = 6
    stock["backbone"] = dict(
        type="gppf_mm.LegoBackbone",
        skeleton=stock["backbone"],
        num_units=4,
        router=ROUTER,
    )
    toy = Config.fromfile(REPO / "configs/toy/lego-r18-4u-soft_toy-det-seg-cls.py")
    loader = toy.train_dataloader.cls.to_dict()
    # PyTorch refuses them of a loader without workers.
    loader.update(num_workers=2, persistent_workers=True, prefetch_factor=4)
    loader.update(multiprocessing_context="fork", timeout=60)
    new = dict(default_scope="mmpretrain", model=stock, train_dataloader=loader)
    Config(new).dump("new.py")
    # Mixed images have no label that a probe could use.
    mixing = dict(augments=[dict(type="Mixup", alpha=1.0)])
    one_hot = dict(stock["data_preprocessor"], num_classes=6)
    mixed = dict(stock, train_cfg=mixing, data_preprocessor=one_hot)
    Config(dict(new, model=mixed)).dump("mixing.py")
    path = str(REPO / "tools/analysis_tools/rank_routes.py")
    args = ["new.py", "run.pth", "--images", "16", "--out", "ranking.json"]
    monkeypatch.setattr("sys.argv", [path, *args])
    rankings = []
    for name in ("new.py", "mixing.py"):
        monkeypatch.setattr("sys.argv", [path, name, *args[1:]])
        runpy.run_path(path, run_name="__main__")
        rankings.append(json.loads(Path("ranking.json").read_text()))
    ranking, again = rankings
    assert ranking == again
    assert ranking["images"] == ranking["rows"] == 16
    assert {item["task"] for item in ranking["routes"]} == {"det", "seg", "cls"}
    scores = [item["score"] for item in ranking["routes"]]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) > 1
    assert f"route={ranking['routes'][0]['task']!r}" in capsys.readouterr().out


def test_a_single_model_has_no_task_to_choose() -> None:
    backbone = dict(type="gppf_mm.LegoBackbone", router=dict(type="gppf_mm.SoftRouter"))
    cfg = Config(dict(model=dict(backbone=backbone)))
    with pytest.raises(ValueError, match=r"--task is 'shop', but .* a single model"):
        read_target(cfg, "run.pth", "shop")


def test_given_routes_are_refused() -> None:
    """They are in no checkpoint."""
    backbone = dict(
        type="gppf_mm.LegoBackbone",
        skeleton=dict(type="ResNet", depth=18),
        num_units=2,
        router=dict(type="gppf_mm.FixedRouter", routes=dict(task=[0, 1])),
    )
    loader = dict(batch_size=2)
    cfg = Config(dict(model=dict(backbone=backbone), train_dataloader=loader))
    with pytest.raises(ValueError, match="with a FixedRouter"):
        read_target(cfg, "run.pth", None)


@pytest.mark.parametrize("found", [{}, dict(router="SoftRouter")])
def test_a_backbone_needs_a_router(found: dict) -> None:
    lego = dict(num_units=2, **found)
    backbone = dict(type="gppf_mm.LegoBackbone", skeleton=dict(type="ResNet"), **lego)
    loader = dict(batch_size=2)
    one = Config(dict(model=dict(backbone=backbone), train_dataloader=loader))
    stock = dict(backbone=dict(type="ResNet"))
    new = dict(lego, transfer=dict(checkpoint="run.pth", new=dict(shop=None)))
    many = Config(dict(model=dict(tasks=dict(shop=stock), lego=new)))
    for cfg, key in ((one, "backbone"), (many, "lego")):
        with pytest.raises(TypeError, match=rf"`model\.{key}\.router` is .*SoftRouter"):
            read_target(cfg, "run.pth", None)


def new_task(
    new: str = "shop", loaders: object = dict(shop=dict(batch_size=2, dataset={}))
) -> Config:
    """Return a multi-task config with a new task, whose run has the task `coco`."""
    lego = dict(num_units=2, router=dict(type="gppf_mm.SoftRouter"))
    lego["transfer"] = dict(checkpoint="run.pth", new={new: None})
    stock = dict(_scope_="mmdet", backbone=dict(type="ResNet", depth=18))
    model = dict(tasks=dict(coco=stock, shop=stock), lego=lego)
    return Config(dict(model=model, train_dataloader=loaders))


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (new_task("shpo"), r"`model\.lego\.transfer\.new`.*'shpo'.*mean 'shop'"),
        (new_task(loaders=None), r"`train_dataloader\.shop\.batch_size` is missing"),
        (new_task(loaders=dict(coco={})), r"`train_dataloader\.shop\.batch_size` is"),
        (
            new_task(loaders=dict(shop=dict(batch_size=2))),
            r"`train_dataloader\.shop\.dataset` is missing",
        ),
    ],
)
def test_what_a_new_task_lacks_is_named(cfg: Config, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_target(cfg, "run.pth", None)


def test_a_missing_set_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = Config.fromfile(REPO / "configs/toy/lego-r18-4u-soft_toy-det-seg-cls.py")
    torch.save(dict(state_dict=init_model(cfg).state_dict(), meta={}), "run.pth")
    cfg.model.tasks.shop = cfg.model.tasks.cls
    cfg.train_dataloader.shop = cfg.train_dataloader.cls
    cfg.model.lego.transfer = dict(checkpoint="run.pth", new=dict(shop=None))
    missing = r"`train_dataloader\.shop\.dataset\.data_root` is .*toy\.py --out"
    with pytest.raises(FileNotFoundError, match=missing):
        rank_routes(cfg, "run.pth", images=8)


def test_a_config_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    config = tmp_path / "new.py"
    config.write_text("_base_ = 'gone.py'\n")
    path = str(REPO / "tools/analysis_tools/rank_routes.py")
    monkeypatch.setattr("sys.argv", [path, str(config), "run.pth"])
    with pytest.raises(SystemExit) as error:
        runpy.run_path(path, run_name="__main__")
    assert error.value.code == 2
    assert (
        f"error: The config {str(config)!r} cannot be read" in capsys.readouterr().err
    )


@pytest.mark.parametrize("task", ["det", "seg"])
def test_cells_of_a_new_task_beside_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    """A new task of a multi-task config, with dense labels."""
    pytest.importorskip("sklearn")
    monkeypatch.chdir(make_tiny_toy(tmp_path))
    cfg = Config.fromfile(REPO / "configs/toy/lego-r18-4u-soft_toy-det-seg-cls.py")
    torch.save(dict(state_dict=init_model(cfg).state_dict(), meta={}), "run.pth")
    cfg.model.tasks.shop = cfg.model.tasks[task]
    if task == "seg":  # As mmseg's base configs have it.
        cfg.model.tasks.shop.pretrained = "open-mmlab://resnet18_v1c"
    cfg.train_dataloader.shop = cfg.train_dataloader[task]
    cfg.model.lego.transfer = dict(checkpoint="run.pth", new=dict(shop=None))
    cfg.model.lego.router.affinity = [["det", "seg"]]
    cfg.model.lego.router.initial_routes = dict(det=[1])
    cfg.model.share = ("backbone", "neck")
    cfg.model.lego.placement = [("neck.*", "private")]
    cfg.model.lego.num_units = [("neck.*", 2), ("*", cfg.model.lego.num_units)]
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    ranking = rank_routes(cfg, "run.pth", images=8)
    # The caller goes on with the random numbers that it would have drawn.
    assert random.getstate() == states[0]
    np.testing.assert_equal(np.random.get_state(), states[1])
    assert torch.equal(torch.get_rng_state(), states[2])
    assert ranking.images == 8
    assert ranking.rows > 30
    # Five classes in either set, and a detector's background.
    assert ranking.classes == 5 + (task == "det")
    # All units are equal here, and so are all routes.
    assert len({item.score for item in ranking.routes}) == 1
