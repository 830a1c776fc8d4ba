"""What a dataset of the store gives is what the stock dataset gives."""

import copy
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, DefaultScope
from mmengine.runner import Runner

from gppf_mm.datasets import AnnotationStore
from gppf_mm.datasets.annotation_store import entry
from gppf_mm.datasets.annotation_store.mapped_array import MappedArray, map_array
from gppf_mm.engine.runner.building import build_loaders
from tests import stand_in_data
from tests.runs import make_tiny_toy, tiny_config

VOC_BOX = (
    "<annotation><size><width>96</width><height>64</height></size><object>"
    "<name>{name}</name><difficult>0</difficult><bndbox><xmin>5</xmin><ymin>5</ymin>"
    "<xmax>40</xmax><ymax>40</ymax></bndbox></object></annotation>"
)
COCO = dict(
    type="mmdet.CocoDataset",
    data_root="data/coco/",
    ann_file="annotations/instances_train2017.json",
    data_prefix=dict(img="train2017/"),
    filter_cfg=dict(filter_empty_gt=True, min_size=32),
)
ADE = dict(
    type="mmseg.ADE20KDataset",
    data_root="data/ade/ADEChallengeData2016",
    data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"),
    reduce_zero_label=True,
    pipeline=[dict(type="mmseg.LoadImageFromFile"), dict(type="mmseg.LoadAnnotations")],
)
FOLDERS = dict(
    type="mmpretrain.CustomDataset", data_root="data/places365", data_prefix="train"
)
PLAIN = {
    "coco": dict(COCO, pipeline=[dict(type="mmdet.LoadImageFromFile")]),
    "coco-some-classes": dict(
        COCO, metainfo=dict(classes=CocoDataset.METAINFO["classes"][20:60])
    ),
    "coco-test": dict(COCO, filter_cfg=None, test_mode=True, indices=[2, 0]),
    "objects365": dict(
        type="mmdet.Objects365V2Dataset",
        data_root="data/Objects365/Obj365_v2/",
        ann_file="annotations/zhiyuan_objv2_train.json",
        data_prefix=dict(img="train/"),
    ),
    "voc-boxes": dict(
        type="mmdet.VOCDataset",
        data_root="data/boxes/",
        ann_file="VOC2007/train.txt",
        data_prefix=dict(sub_data_root="VOC2007/"),
    ),
    "ade": ADE,
    "cityscapes": dict(
        type="mmseg.CityscapesDataset",
        data_root="data/cityscapes/",
        data_prefix=dict(img_path="leftImg8bit/train", seg_map_path="gtFine/train"),
        indices=-3,
    ),
    "coco-stuff": dict(
        type="mmseg.COCOStuffDataset",
        data_root="data/coco_stuff164k",
        data_prefix=dict(img_path="images/val2017", seg_map_path="annotations/val2017"),
    ),
    "folders": FOLDERS,
    "imagenet21k": dict(
        type="mmpretrain.ImageNet21k", data_root="data/imagenet21k", split="train"
    ),
    "voc-labels": dict(
        type="mmpretrain.VOC", data_root="data/VOC2007", split="trainval"
    ),
}
WRAPPED = {
    "repeat": dict(type="RepeatDataset", times=3, dataset=ADE),
    "concat": dict(type="ConcatDataset", datasets=[ADE, dict(ADE, indices=2)]),
    "scoped": dict(
        type="ConcatDataset",
        _scope_="mmdet",
        datasets=[dict(COCO, type="CocoDataset"), COCO],
    ),
    "balanced": dict(
        type="RepeatDataset",
        times=2,
        dataset=dict(type="ClassBalancedDataset", oversample_thr=0.5, dataset=COCO),
    ),
    "mixed": dict(
        type="mmdet.MultiImageMixDataset",
        dataset=COCO,
        pipeline=[dict(type="mmdet.PackDetInputs", meta_keys=())],
    ),
    "k-fold": dict(type="mmpretrain.KFoldDataset", num_splits=2, dataset=FOLDERS),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with stand-ins of the sets."""
    root = tmp_path_factory.mktemp("store")
    data, rng = root / "data", np.random.default_rng(0)
    stand_in_data._write_coco(data, rng)
    stand_in_data._write_objects365(data, rng)
    stand_in_data._write_voc(data / "VOC2007", rng)
    stand_in_data._write_folders(data / "places365", 5, rng)
    stand_in_data._write_folders(data / "imagenet21k", 5, rng)
    for folder, splits, folders, suffixes in (
        (
            "ade/ADEChallengeData2016",
            {"training": 4},
            ("images", "annotations"),
            (".jpg", ".png"),
        ),
        (
            "cityscapes",
            {"train/aachen": 4},
            ("leftImg8bit", "gtFine"),
            ("_leftImg8bit.png", "_gtFine_labelTrainIds.png"),
        ),
        (
            "coco_stuff164k",
            {"val2017": 2},
            ("images", "annotations"),
            (".jpg", "_labelTrainIds.png"),
        ),
    ):
        stand_in_data._write_masks(
            data / folder, splits, folders, suffixes, range(19), rng
        )
    boxes = data / "boxes/VOC2007"
    (boxes / "Annotations").mkdir(parents=True)
    for index, name in enumerate(("dog", "car", "cat")):
        file = boxes / "Annotations" / f"{index}.xml"
        file.write_text(VOC_BOX.format(name=name))
    (boxes / "train.txt").write_text("0\n1\n2\n")
    return root


@pytest.fixture
def store(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(place)
    forget_copies()  # `KFoldDataset` makes a subset.
    with DefaultScope.overwrite_default_scope("gppf_mm"):
        yield AnnotationStore(tmp_path / "store")


def state(dataset: Any) -> dict[str, Any]:
    """Return what a dataset holds besides its samples."""
    left_out = ("pipeline", "data_bytes", "data_address", "dataset", "datasets")
    found = {**vars(dataset), **vars(dataset).get("_late_attributes", {})}
    found.pop("_late_attributes", None)
    return {
        name: getattr(dataset, name)
        for name in found
        # A backend has no equality; that of a folder is one object.
        if name not in left_out and not name.endswith("backend")
    }


def forget_copies() -> None:
    """Empty MMEngine's memo of copied datasets.

    It is a default argument, keyed by `id`: a dataset that is gone would be taken for
    what lives in its place.
    """
    BaseDataset._copy_without_annotation.__defaults__[0].clear()


def subset(dataset: BaseDataset, indices: int | list[int]) -> BaseDataset:
    forget_copies()
    return dataset.get_subset(indices)


def check_same(stored: Any, stock: Any) -> None:
    """Require that two datasets give the same, whatever one asks."""
    assert len(stored) == len(stock) > 0
    for index in range(len(stock)):
        assert stored.get_data_info(index) == stock.get_data_info(index)
        np.random.seed(0)
        first = stored[index]
        np.random.seed(0)
        assert pickle.dumps(first) == pickle.dumps(stock[index])
    assert stored.metainfo == stock.metainfo
    assert state(stored) == state(stock)
    assert repr(stored).split(" at 0x")[0] == repr(stock).split(" at 0x")[0]


@pytest.mark.parametrize("name", PLAIN)
def test_a_stored_dataset_is_the_stock_one(name: str, store: AnnotationStore):
    stock = DATASETS.build(PLAIN[name])
    for stored in (store.build(PLAIN[name]), store.build(PLAIN[name])):
        assert isinstance(stored.data_bytes, MappedArray)
        assert type(stored) is type(stock)
        check_same(stored, stock)
        for indices in (1, [1, 0, 1]):
            check_same(subset(stored, indices), subset(stock, indices))
        if type(stock).get_cat_ids is not BaseDataset.get_cat_ids:
            every = range(len(stock))
            found, wanted = ([d.get_cat_ids(i) for i in every] for d in (stored, stock))
            assert found == wanted
        stored.get_subset_(-1)
        assert (
            stored.get_data_info(0)["img_path"]
            == (stock.get_data_info(len(stock) - 1)["img_path"])
        )


@pytest.mark.parametrize("name", WRAPPED)
def test_wrappers_hold_stored_datasets(name: str, store: AnnotationStore):
    stock = DATASETS.build(WRAPPED[name])
    built = [store.build(WRAPPED[name]) for _ in range(2)]
    for stored in built:
        assert type(stored) is type(stock)
        check_same(stored, stock)
    assert list((store.folder / "v1/entries").iterdir())


def test_large_attributes_are_read_when_asked_for(
    store: AnnotationStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(entry, "_LATE_BYTES", 20)
    stock, stored = DATASETS.build(COCO), store.build(COCO)
    assert "cat_img_map" not in vars(stored)
    for found in (pickle.loads(pickle.dumps(stored)), copy.deepcopy(stored), stored):
        assert isinstance(found, type(stock))
        assert type(found).__qualname__ == "CocoDataset"
        check_same(found, stock)
        check_same(subset(found, 1), subset(stock, 1))
        with pytest.raises(AttributeError, match=r"'CocoDataset'.*'cat_map'"):
            found.cat_map  # noqa: B018


def test_a_pickle_is_the_name_of_the_file(store: AnnotationStore):
    stored, stock = store.build(FOLDERS), DATASETS.build(FOLDERS)
    stock.data_bytes = stock.data_address = None
    twin = pickle.loads(pickle.dumps(stored))
    assert len(pickle.dumps(stored)) < len(pickle.dumps(stock)) + 1000
    assert twin.data_bytes.file == stored.data_bytes.file
    assert not twin.data_bytes.flags.writeable
    assert copy.deepcopy(stored).data_bytes is stored.data_bytes
    check_same(twin, stored)


def test_a_part_of_a_mapped_array_pickles_as_itself(tmp_path: Path):
    numbers = np.arange(10)
    numbers.tofile(tmp_path / "numbers")
    mapped = map_array(tmp_path / "numbers", "int64")
    assert mapped[3].item() == 3
    for part in (mapped[2:5], mapped - 1, mapped.copy(), mapped.view(), mapped[::-1]):
        found = pickle.loads(pickle.dumps(part))
        assert np.array_equal(found, np.asarray(part))
        assert np.array_equal(copy.deepcopy(part), np.asarray(part))
    assert np.array_equal(pickle.loads(pickle.dumps(mapped)), numbers)


def test_an_entry_is_the_same_in_one_part_or_several(
    store: AnnotationStore, tmp_path: Path
):
    stock = DATASETS.build(FOLDERS)
    every, ends, cut = stock.data_bytes, stock.data_address, stock.data_address[1]
    parts = [(every[:cut], ends[:2]), (every[cut:], ends[2:] - cut)]
    entry.write_entry(tmp_path / "entry", parts, entry.Attributes({}, ("extensions",)))
    dataset = DATASETS.build(dict(FOLDERS, lazy_init=True))
    entry.attach_entry(tmp_path / "entry", dataset)
    assert np.array_equal(dataset.data_address, ends)
    assert np.array_equal(dataset.data_bytes, every)
    assert not hasattr(dataset, "extensions")


def test_a_config_names_the_store(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(make_tiny_toy(tmp_path))
    seen: dict[str, list] = {"det": [], "seg": [], "cls": []}
    for folder in (None, "store"):
        cfg = tiny_config(tmp_path, {"annotation_store": folder})
        runner = SimpleNamespace(
            cfg=cfg,
            seed=0,
            _randomness_cfg={},
            build_dataloader=Runner.build_dataloader,
        )
        loaders = build_loaders(runner, cfg.val_dataloader, "val_dataloader")
        for task, loader in loaders.items():
            infos = list(map(loader.dataset.get_data_info, loader.sampler))
            seen[task].append((infos, loader.dataset.metainfo))
            mapped = isinstance(loader.dataset.data_bytes, MappedArray)
            assert mapped == (folder is not None)
    assert all(plain == stored for plain, stored in seen.values())


def test_a_store_that_is_no_path_is_an_error():
    with pytest.raises(TypeError, match=r"`annotation_store` is True; expected"):
        AnnotationStore(True)
