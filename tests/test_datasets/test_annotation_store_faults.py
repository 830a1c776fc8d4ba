"""When annotations are parsed again, and what goes wrong with a store."""

import errno
import json
import logging
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS

from gppf_mm.datasets import AnnotationStore
from gppf_mm.datasets.annotation_store import UnwritableStoreError, entry, store

FORK = multiprocessing.get_context("fork")


class Lines(BaseDataset):
    """A sample for each line of a file, and for each file of a folder.

    What parsing does is written to the file ``log`` beside the annotations.
    """

    def load_data_list(self) -> list[dict]:
        with open(Path(self.ann_file).with_name("log"), "a") as log:
            log.write("parsed\n")
        lines = Path(self.ann_file).read_text().splitlines()
        if lines[0] == "slow":
            time.sleep(0.5)
        if lines[0] == "drawn":
            lines = [str(random.random())]
        if lines[0] == "lambda":
            self.function = lambda: None
        self.first = lines[0]
        names = sorted(os.listdir(self.data_prefix["img_path"]))
        return [dict(line=line) for line in [*lines, *names]]


class Bare:
    """No dataset of MMEngine, as those around torchvision are."""

    def __init__(self, size: int) -> None:
        self.size = size


@pytest.fixture
def cfg(tmp_path: Path) -> dict:
    (tmp_path / "set/img").mkdir(parents=True)
    (tmp_path / "set/img/a.png").touch()
    (tmp_path / "set/lines.txt").write_text("one\ntwo\n")
    return lines_cfg(tmp_path / "set")


def lines_cfg(root: Path) -> dict:
    return dict(
        type=Lines,
        data_root=str(root),
        ann_file="lines.txt",
        data_prefix=dict(img_path="img"),
    )


def lines(cfg: dict, folder: Path) -> list[str]:
    dataset = AnnotationStore(folder).build(cfg)
    return [dataset.get_data_info(index)["line"] for index in range(len(dataset))]


def parsed(tmp_path: Path) -> int:
    return len((tmp_path / "set/log").read_text().splitlines())


def entries(folder: Path) -> list[Path]:
    return sorted((folder / "v1/entries").iterdir())


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """The messages of MMEngine's logger, which keeps them from the root logger."""
    messages: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.INFO:
                messages.append(record.getMessage())

    logger, keep = MMLogger.get_current_instance(), Keep()
    logger.addHandler(keep)
    yield messages
    logger.removeHandler(keep)


def test_annotations_are_parsed_once_until_they_change(cfg: dict, tmp_path: Path):
    root, folder = tmp_path / "set", tmp_path / "store"
    for _ in range(3):
        assert lines(cfg, folder) == ["one", "two", "a.png"]
    assert parsed(tmp_path) == 1
    # The same content with another time, and a file in a folder that was not listed.
    (root / "lines.txt").write_text("one\ntwo\n")
    (root / "other").touch()
    os.utime(root / "img", ns=(1, 1))
    assert lines(cfg, folder) == ["one", "two", "a.png"]
    assert parsed(tmp_path) == 1
    (root / "lines.txt").write_text("one\nTWO\n")
    assert lines(cfg, folder) == ["one", "TWO", "a.png"]
    assert parsed(tmp_path) == 2
    (root / "img/b.png").touch()
    assert lines(cfg, folder) == ["one", "TWO", "a.png", "b.png"]
    assert parsed(tmp_path) == 3
    assert len(entries(folder)) == 3


def test_what_annotations_depend_on_is_in_the_key(cfg: dict, tmp_path: Path):
    folder = tmp_path / "store"
    lines(cfg, folder)
    for same in (dict(pipeline=[]), dict(lazy_init=True), dict(max_refetch=3)):
        assert lines({**cfg, **same}, folder) == ["one", "two", "a.png"]
    assert parsed(tmp_path) == 1
    assert lines(dict(cfg, indices=1), folder) == ["one"]
    lines(dict(cfg, test_mode=True), folder)
    lines(dict(cfg, metainfo=dict(classes=("a",))), folder)
    assert parsed(tmp_path) == 4

    class Shouting(Lines):
        def filter_data(self) -> list[dict]:
            return [dict(line=item["line"].upper()) for item in self.data_list]

    assert lines(dict(cfg, type=Shouting), folder) == ["ONE", "TWO", "A.PNG"]


def test_relative_paths_are_those_of_the_folder_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("first", "second"):
        (tmp_path / name / "set/img").mkdir(parents=True)
        (tmp_path / name / "set/lines.txt").write_text(name)
        monkeypatch.chdir(tmp_path / name)
        assert lines(lines_cfg(Path("set")), tmp_path / "store") == [name]


def test_one_process_parses_and_the_others_wait(cfg: dict, tmp_path: Path):
    (tmp_path / "set/lines.txt").write_text("slow\n")
    results = FORK.Queue()

    def build() -> None:
        results.put(lines(cfg, tmp_path / "store"))

    processes = [FORK.Process(target=build) for _ in range(4)]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert found == [["slow", "a.png"]] * 4
    assert parsed(tmp_path) == 1


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.4])
def test_a_killed_build_leaves_nothing_that_counts(
    seconds: float, cfg: dict, tmp_path: Path
):
    (tmp_path / "set/lines.txt").write_text("slow\n")

    def build() -> None:
        os.setsid()
        lines(cfg, tmp_path / "store")

    process = FORK.Process(target=build)
    process.start()
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.join()
    assert lines(cfg, tmp_path / "store") == ["slow", "a.png"]
    assert [path.suffix for path in entries(tmp_path / "store")] == [""]


def test_half_an_entry_of_a_killed_process_is_replaced(cfg: dict, tmp_path: Path):
    folder = tmp_path / "store"
    lines(cfg, folder)
    (whole,) = entries(folder)
    half = whole.rename(whole.with_name(f"{whole.name}.partial"))
    (half / "samples.bin").write_bytes(b"half")
    assert lines(cfg, folder) == ["one", "two", "a.png"]
    assert entries(folder) == [whole]
    assert parsed(tmp_path) == 2


@pytest.mark.parametrize(
    "file", ["samples.bin", "ends.bin", "attributes.pkl", "entry.json", "index"]
)
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_store_is_mended(
    file: str, damage: str, cfg: dict, tmp_path: Path, logged: list[str]
):
    folder = tmp_path / "store"
    lines(cfg, folder)
    (found,) = entries(folder)
    (index,) = (folder / "v1/index").glob("*.json")
    path = index if file == "index" else found / file
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    else:
        path.unlink()
    assert lines(cfg, folder) == ["one", "two", "a.png"]
    assert parsed(tmp_path) == 2
    assert lines(cfg, folder) == ["one", "two", "a.png"]
    assert parsed(tmp_path) == 2
    if (file, damage) != ("index", "gone"):
        assert any("is damaged" in message for message in logged)


def test_a_folder_that_cannot_be_written_is_named(cfg: dict, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableStoreError, match=r"file/v1' cannot be .*leave the"):
        lines(cfg, tmp_path / "file")


def test_a_full_disk_is_an_error_and_leaves_nothing(
    cfg: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(file: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(entry, "sync", full)
    with pytest.raises(UnwritableStoreError, match="No space left"):
        lines(cfg, tmp_path / "store")
    assert not entries(tmp_path / "store")
    monkeypatch.undo()
    assert lines(cfg, tmp_path / "store") == ["one", "two", "a.png"]


@pytest.mark.parametrize("part", ["v1", "v1/entries/Lines-*"])
def test_pickles_that_others_could_have_written_are_refused(
    part: str, cfg: dict, tmp_path: Path
):
    folder = tmp_path / "store"
    lines(cfg, folder)
    (shared,) = folder.glob(part)
    assert shared.stat().st_mode & 0o777 == 0o700
    shared.chmod(0o770)
    with pytest.raises(PermissionError, match=r"mode 770.*a folder of your own"):
        lines(cfg, folder)


@pytest.mark.parametrize(
    ("content", "options", "reason"),
    [
        ("drawn", {}, "drawn at random"),
        ("lambda", {}, "'function' cannot be pickled"),
        ("one", {"serialize_data": False}, "serialize_data=False"),
        (
            "one",
            {"metainfo": {"classes": object()}},
            "type object, which is no plain data",
        ),
    ],
)
def test_what_cannot_be_stored_is_used_as_it_is(
    content: str,
    options: dict,
    reason: str,
    cfg: dict,
    tmp_path: Path,
    logged: list[str],
):
    (tmp_path / "set/lines.txt").write_text(content)
    for _ in range(2):
        random.seed(0)
        dataset = AnnotationStore(tmp_path / "store").build({**cfg, **options})
        random.seed(0)
        stock = DATASETS.build({**cfg, **options})
        for index in range(2):
            assert dataset.get_data_info(index) == stock.get_data_info(index)
        assert reason in logged[-1]
    assert not list((tmp_path / "store").glob("v1/entries/*"))


def test_a_set_whose_ranks_wait_for_each_other_is_used_as_it_is(
    cfg: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]
):
    class Waiting(Lines):
        def load_data_list(self) -> list[dict]:
            barrier = list
            barrier()
            return super().load_data_list()

    lines(dict(cfg, type=Waiting), tmp_path / "store")
    assert len(entries(tmp_path / "store")) == 1
    monkeypatch.setattr(store, "is_distributed", lambda: True)
    lines(dict(cfg, type=Waiting), tmp_path / "other")
    assert "ranks wait" in logged[-1]
    assert not (tmp_path / "other").exists()


def test_a_mistake_in_a_config_is_the_stock_error(cfg: dict, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="missing"):
        lines(dict(cfg, ann_file="missing.txt"), tmp_path / "store")


def test_other_datasets_are_built_as_ever(tmp_path: Path):
    dataset = AnnotationStore(tmp_path / "store").build(dict(type=Bare, size=3))
    assert type(dataset) is Bare
    assert dataset.size == 3
    assert not (tmp_path / "store").exists()


def test_a_file_in_an_index_cannot_lead_elsewhere(cfg: dict, tmp_path: Path):
    folder = tmp_path / "store"
    lines(cfg, folder)
    (index,) = (folder / "v1/index").glob("*.json")
    content = json.loads(index.read_text())
    index.write_text(json.dumps({**content, "entry": "../../../elsewhere"}))
    assert lines(cfg, folder) == ["one", "two", "a.png"]
    assert parsed(tmp_path) == 2


def test_a_file_system_without_locks(
    cfg: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(UnwritableStoreError, match="No locks available"):
        lines(cfg, tmp_path / "store")
