"""The toy set: exact labels, read by the stock classes, written once and whole."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, METRICS
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from gppf_mm.datasets import toy
from gppf_mm.datasets.toy import detection, segmentation

REPO = Path(__file__).parents[2]
NUM_TRAIN, NUM_VAL = 18, 12


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy") / "set"
    return toy.make_toy(folder, seed=3, num_train=NUM_TRAIN, num_val=NUM_VAL)


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _dataset_cfg(root: Path, task: str, split: str) -> dict:
    """The data set of the toy config, at another place and without augmentation."""
    cfg = Config.fromfile(REPO / "configs/_base_/datasets/toy.py")
    dataset = cfg[f"{split}_dataloader"][task].dataset.to_dict()
    return dataset | dict(data_root=str(root / task))


def test_a_seed_determines_every_byte(root: Path, tmp_path: Path) -> None:
    again = toy.make_toy(tmp_path / "again", 3, NUM_TRAIN, NUM_VAL)
    assert _digests(again) == _digests(root)

    other = toy.make_toy(tmp_path / "other", 4, NUM_TRAIN, NUM_VAL)
    same = set(_digests(other).values()) & set(_digests(root).values())
    assert not same


def test_all_images_differ_and_a_larger_set_begins_with_the_smaller(
    root: Path, tmp_path: Path
) -> None:
    larger = toy.make_toy(tmp_path / "larger", 3, NUM_TRAIN + 6, NUM_VAL)
    pngs = {k: v for k, v in _digests(root).items() if k.endswith(".png")}
    images = {k: v for k, v in pngs.items() if "/ann/" not in k}
    assert len(set(images.values())) == 3 * (NUM_TRAIN + NUM_VAL)
    assert pngs.items() <= _digests(larger).items()


def test_a_second_call_writes_nothing(root: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}

    def fail() -> None:
        raise AssertionError("an image was written")

    toy.make_toy(root, 3, NUM_TRAIN, NUM_VAL, on_image=fail)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_other_parameters_are_refused_by_name(root: Path) -> None:
    with pytest.raises(ValueError, match=r"num_val is 12 there and 6 here.*Remove"):
        toy.make_toy(root, 3, NUM_TRAIN, 6)
    with pytest.raises(ValueError, match="seed is 3 there and 0 here"):
        toy.make_toy(root, 0, NUM_TRAIN, NUM_VAL)


@pytest.mark.parametrize(
    "parameters",
    [dict(seed=-1), dict(num_train=5), dict(num_val=0)],
    ids=lambda parameters: next(iter(parameters)),
)
def test_unusable_parameters_are_refused(tmp_path: Path, parameters: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(parameters)).split("_")[0]):
        toy.make_toy(tmp_path / "toy", **parameters)
    assert not list(tmp_path.iterdir())


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="choose another output folder"):
        toy.make_toy(tmp_path, 0, 6, 6)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_interrupted_call_leaves_nothing_and_can_be_repeated(
    root: Path, tmp_path: Path
) -> None:
    written = 0

    def interrupt() -> None:
        nonlocal written
        written += 1
        if written == 40:
            raise KeyboardInterrupt

    out = tmp_path / "toy"
    with pytest.raises(KeyboardInterrupt):
        toy.make_toy(out, 3, NUM_TRAIN, NUM_VAL, on_image=interrupt)
    assert not list(tmp_path.iterdir())
    assert _digests(toy.make_toy(out, 3, NUM_TRAIN, NUM_VAL)) == _digests(root)


def test_a_faster_process_wins(root: Path, tmp_path: Path) -> None:
    """Two ranks call at once: the later one takes what the earlier one wrote."""
    out = tmp_path / "toy"
    nested = False

    def race() -> None:
        nonlocal nested
        if not nested:
            nested = True
            toy.make_toy(out, 3, NUM_TRAIN, NUM_VAL)

    assert toy.make_toy(out, 3, NUM_TRAIN, NUM_VAL, on_image=race) == out
    assert _digests(out) == _digests(root)
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_mmdet_reads_the_boxes_that_the_masks_have(tmp_path: Path) -> None:
    seeds = range(20)
    folder = tmp_path / "det"
    generators = [np.random.default_rng(seed) for seed in seeds]
    detection.write_detection(folder, "train", generators, lambda: None)
    dataset = DATASETS.build(_dataset_cfg(tmp_path, "det", "train"))
    assert dataset.metainfo["classes"] == toy.DET_CLASSES
    assert len(dataset) == len(seeds)
    coco = COCO(folder / "annotations/train.json")

    for index, seed in enumerate(seeds):
        sample = toy.render_detection(np.random.default_rng(seed))
        info = dataset.get_data_info(index)
        stored = cv2.imread(info["img_path"])
        np.testing.assert_array_equal(stored, sample.image)

        boxes = np.array([instance["bbox"] for instance in info["instances"]])
        encoded = coco_mask.encode(
            np.asfortranarray(sample.masks.transpose(1, 2, 0).astype(np.uint8))
        )
        expected = coco_mask.toBbox(encoded)
        expected[:, 2:] += expected[:, :2]
        np.testing.assert_array_equal(boxes, expected)
        labels = [instance["bbox_label"] for instance in info["instances"]]
        assert labels == sample.labels
        areas = [ann["area"] for ann in coco.imgToAnns[index + 1]]
        assert areas == coco_mask.area(encoded).tolist()


def test_objects_are_visible_and_do_not_share_pixels() -> None:
    for seed in range(50):
        sample = toy.render_detection(np.random.default_rng(seed))
        assert 1 <= len(sample.labels) <= 5
        assert sample.masks.sum(axis=0).max() == 1
        assert sample.masks.sum(axis=(1, 2)).min() >= 60


def test_mmseg_reads_the_masks_that_were_drawn(tmp_path: Path) -> None:
    seeds = range(20)
    generators = [np.random.default_rng(seed) for seed in seeds]
    segmentation.write_segmentation(tmp_path / "seg", "val", generators, lambda: None)
    dataset = DATASETS.build(_dataset_cfg(tmp_path, "seg", "val"))
    assert dataset.metainfo["classes"] == toy.SEG_CLASSES

    drawn = set()
    for index, seed in enumerate(seeds):
        image, mask = toy.render_segmentation(np.random.default_rng(seed))
        packed = dataset[index]
        np.testing.assert_array_equal(packed["inputs"].permute(1, 2, 0), image)
        read = packed["data_samples"].gt_sem_seg.data[0]
        np.testing.assert_array_equal(read, mask)
        drawn |= set(np.unique(mask))
    assert drawn == set(range(len(toy.SEG_CLASSES)))


def test_mmpretrain_reads_the_folders_as_classes(root: Path) -> None:
    dataset = DATASETS.build(_dataset_cfg(root, "cls", "val"))
    assert dataset.CLASSES == toy.CLS_CLASSES
    labels = dataset.get_gt_labels()
    counts = np.bincount(labels, minlength=len(toy.CLS_CLASSES))
    assert counts.tolist() == [NUM_VAL // len(toy.CLS_CLASSES)] * len(toy.CLS_CLASSES)
    for index, label in enumerate(labels):
        folder = Path(dataset.get_data_info(index)["img_path"]).parent.name
        assert folder == toy.CLS_CLASSES[label]


def test_the_domains_do_not_look_alike(root: Path) -> None:
    """Mean brightness alone tells the night from the day; colour, the day's ground."""
    patterns = dict(det="det/train/*.png", seg="seg/img/train/*.png")
    patterns["cls"] = "cls/train/*/*.png"
    brightness = {
        task: [cv2.imread(str(path)).mean() for path in root.glob(pattern)]
        for task, pattern in patterns.items()
    }
    assert max(brightness["seg"]) < min(brightness["det"])
    assert np.mean(brightness["cls"]) > np.mean(brightness["det"])


@pytest.mark.parametrize("ignored", [False, True])
def test_segmentation_chance_is_mmsegs_miou_of_the_most_frequent_class(
    tmp_path: Path, ignored: bool
) -> None:
    rng = np.random.default_rng(0)
    masks = [toy.render_segmentation(rng)[1] for _ in range(6)]
    for index, mask in enumerate(masks):
        # One class never occurs: mmseg leaves it out of the mean.
        mask[mask == 3] = 0
        if ignored:
            mask[:20] = 255
        toy.write_image(tmp_path / f"{index}.png", mask)

    frequent = np.bincount(np.concatenate(masks)[np.concatenate(masks) < 255]).argmax()
    metric = METRICS.build(dict(_scope_="mmseg", type="IoUMetric"))
    metric.dataset_meta = dict(classes=toy.SEG_CLASSES)
    for mask in masks:
        label = torch.from_numpy(mask)
        prediction = torch.full_like(label, int(frequent))
        sample = dict(pred_sem_seg=dict(data=prediction), gt_sem_seg=dict(data=label))
        metric.process({}, [sample])
    reference = metric.evaluate(len(masks))["mIoU"]
    chance = toy.segmentation_chance(tmp_path, len(toy.SEG_CLASSES))
    # mmseg rounds to two digits.
    assert chance == pytest.approx(reference, abs=0.0051)


def test_segmentation_chance_refuses_other_labels(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="No PNG mask"):
        toy.segmentation_chance(tmp_path, 5)
    toy.write_image(tmp_path / "mask.png", np.full((4, 4), 7, np.uint8))
    with pytest.raises(ValueError, match="labels up to 7"):
        toy.segmentation_chance(tmp_path, 5)


def test_the_manifest_says_what_is_there(root: Path) -> None:
    manifest = json.loads((root / "manifest.json").read_text())
    for task, classes in dict(
        det=toy.DET_CLASSES, seg=toy.SEG_CLASSES, cls=toy.CLS_CLASSES
    ).items():
        assert manifest["tasks"][task]["classes"] == list(classes)
    assert toy.toy_chance(root)["cls"] == pytest.approx(100 / len(toy.CLS_CLASSES))
