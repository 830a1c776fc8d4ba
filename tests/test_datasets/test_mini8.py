"""mini8 from tiny stand-ins of its sources, against recounts of their annotations."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS

from gppf_mm.datasets.mini8 import (
    COUNT_BINS,
    FRACTIONS,
    HELDOUT,
    OBJECTS,
    SPLITS,
    TAG_THRESHOLD,
    TAGS,
    at_night,
    make_mini8,
)
from tests.mini8_data import TOY, make_sources, make_tiny

REPO = Path(__file__).parents[2]
CONFIG = REPO / "configs/mini8/lego-r18w8-4u-soft_mini8.py"
OFFICIAL = dict(train="train", tune="val", test="test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("mini8"))


@pytest.fixture(scope="module")
def root(folder: Path) -> Path:
    return folder / "data/mini8"


def digest(path: Path) -> str:
    files = sorted(item for item in path.rglob("*") if item.is_file())
    content = b"".join(
        str(item.relative_to(path)).encode() + item.read_bytes() for item in files
    )
    return hashlib.sha256(content).hexdigest()


def test_stock_classes_read_every_task(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    cfg = Config.fromfile(CONFIG)
    for kind, split in dict(train="train", val="tune", test="test").items():
        for task, loader in cfg[f"{kind}_dataloader"].items():
            options = dict(loader.dataset.to_dict(), serialize_data=False)
            dataset = DATASETS.build(options)
            assert len(dataset), (task, split)
            sample = dataset[0]
            assert sample["inputs"].shape[0] == 3
            path = sample["data_samples"].img_path
            other = {"tags": "scene"}.get(task, task)
            assert f"mini8/{other}/" in path
            assert f"/{split}/" in path


def test_splits_are_disjoint_and_whole(root: Path, folder: Path):
    source = folder / "sources"
    names = {s: {p.name for p in (root / "cells" / s).iterdir()} for s in SPLITS}
    official = {p.name for p in (source / "bccd/train").iterdir()}
    assert names["train"] | names["tune"] == official
    assert not names["train"] & names["tune"]
    assert names["test"] == {p.name for p in (source / "bccd/val").iterdir()}
    # The quarters of an image stay in its split.
    for split in SPLITS:
        quarters = {p.name for p in (root / "count" / split).iterdir()}
        stems = {Path(name).stem for name in names[split]}
        assert quarters == {f"{stem}_{i}.jpg" for stem in stems for i in range(4)}
    for task, classes in dict(objects=OBJECTS, heldout=HELDOUT).items():
        for name in classes:
            files = {
                s: {p.name for p in (root / task / s / name).iterdir()} for s in SPLITS
            }
            assert not files["train"] & files["tune"]
            trained = {p.name for p in (source / "cifar10/train" / name).iterdir()}
            assert files["train"] | files["tune"] == trained
    assert not set(OBJECTS) & set(HELDOUT)


def test_counts_equal_a_recount_from_the_boxes(root: Path, folder: Path):
    for official in ("train", "val"):
        path = folder / f"sources/bccd/annotations/{official}.json"
        content = json.loads(path.read_text())
        splits = ("test",) if official == "val" else ("train", "tune")
        labels = {}
        for split in splits:
            for line in (root / f"count/{split}.txt").read_text().splitlines():
                name, label = line.split()
                labels[name] = int(label)
        for info in content["images"]:
            counts = [0, 0, 0, 0]
            for item in content["annotations"]:
                if item["image_id"] == info["id"]:
                    x, y, width, height = item["bbox"]
                    right, low = x + width / 2 >= 320, y + height / 2 >= 240
                    counts[2 * low + right] += 1
            for index, count in enumerate(counts):
                found = labels.pop(f"{Path(info['file_name']).stem}_{index}.jpg")
                bounds = {"0-2": (0, 2), "3": (3, 3), "4": (4, 4), "5+": (5, 999)}
                low, high = bounds[COUNT_BINS[found]]
                assert low <= count <= high
        assert not labels


def test_boxes_are_those_of_the_smaller_image(root: Path, folder: Path):
    before = json.loads((folder / "sources/bccd/annotations/val.json").read_text())
    after = json.loads((root / "cells/annotations/test.json").read_text())
    assert len(after["annotations"]) == len(before["annotations"])
    for old, new in zip(before["annotations"], after["annotations"], strict=True):
        assert new["bbox"] == pytest.approx([value / 4 for value in old["bbox"]])
        assert new["area"] == pytest.approx(old["area"] / 16)
        assert new["image_id"] == old["image_id"]
    image = cv2.imread(str(root / "cells/test" / after["images"][0]["file_name"]))
    assert image.shape == (120, 160, 3)


def test_tags_equal_a_recount_from_the_masks(root: Path, folder: Path):
    found = set()
    for split, official in OFFICIAL.items():
        content = json.loads((root / f"tags/{split}.json").read_text())
        assert content["metainfo"]["classes"] == list(TAGS)
        for item in content["data_list"]:
            name = Path(item["img_path"]).with_suffix(".png").name
            path = folder / "sources/camvid/ann" / official / name
            mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).tolist()
            pixels = [value for row in mask for value in row]
            present = [
                index
                for index, label in enumerate((2, 6, 7, 8, 9, 10))
                if pixels.count(label) > TAG_THRESHOLD * len(pixels)
            ]
            assert item["gt_label"] == present
            found.update(present)
    assert len(found) == len(TAGS)


def test_a_thing_counts_from_the_threshold_on():
    from gppf_mm.datasets.mini8 import tags_of

    mask = np.zeros((100, 100), np.uint8)
    mask.flat[:50] = 8
    assert tags_of(mask) == []
    mask.flat[50] = 8
    assert tags_of(mask) == [3]


def test_night_is_dark_blue_and_another_view(root: Path):
    for split in SPLITS:
        for path in (root / "night/img" / split).iterdir():
            day = cv2.imread(str(root / "scene/img" / split / path.name))
            night = cv2.imread(str(path))
            assert night.mean() < 0.5 * day.mean()
            assert night[..., 0].mean() > night[..., 2].mean()
            mask = cv2.imread(str(root / "night/ann" / split / f"{path.stem}.png"), 0)
            old = cv2.imread(str(root / "scene/ann" / split / f"{path.stem}.png"), 0)
            assert set(np.unique(mask)) <= set(np.unique(old))
            assert (mask != old).any()


def test_night_moves_the_mask_with_the_image():
    # A mask that is the image tells whether both went the same way.
    mask = np.kron(np.eye(4), np.ones((30, 30))).astype(np.uint8)
    image = np.repeat(255 * mask[..., None], 3, axis=2)
    for seed in range(5):
        night, moved = at_night(image, mask, np.random.default_rng(seed))
        bright, dark = night[moved == 1].mean(), night[moved == 0].mean()
        assert bright > 4 * dark


def test_all_is_the_same_again(root: Path, tmp_path: Path):
    again = make_tiny(tmp_path) / "data/mini8"
    assert digest(again) == digest(root)


def test_a_night_does_not_depend_on_the_other_files(root: Path, tmp_path: Path):
    source = make_sources(tmp_path / "sources")
    for kind in ("img", "ann"):
        next((source / "camvid" / kind / "test").glob("test0.*")).unlink()
    out = make_mini8(source, tmp_path / "out", toy_images=TOY)
    name = "night/img/test/test1.jpg"
    assert (out / name).read_bytes() == (root / name).read_bytes()


def test_fractions_are_balanced_and_nested(root: Path):
    lists = [
        set((root / f"heldout/train_{fraction}.txt").read_text().splitlines())
        for fraction in FRACTIONS
    ]
    assert lists[0] <= lists[1] <= lists[2]
    assert lists[2] == set((root / "heldout/train.txt").read_text().splitlines())
    for entries in lists:
        labels = [int(entry.split()[1]) for entry in entries]
        assert len({labels.count(label) for label in range(len(HELDOUT))}) == 1


def test_what_is_made_is_left_alone_and_what_is_missing_is_named(
    root: Path, folder: Path, tmp_path: Path
):
    before = (root / "manifest.json").stat().st_mtime_ns
    make_mini8(folder / "sources", root, toy_images=TOY)
    assert (root / "manifest.json").stat().st_mtime_ns == before
    with pytest.raises(FileNotFoundError, match="bccd"):
        make_mini8(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
