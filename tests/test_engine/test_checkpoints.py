from pathlib import Path

import pytest

from gppf_mm.engine.runner.checkpoints import find_latest_checkpoint, replace_file


def test_latest_is_the_noted_one(tmp_path: Path):
    for name in ("iter_2.pth", "iter_10.pth"):
        (tmp_path / name).touch()
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "iter_2.pth"))
    assert find_latest_checkpoint(tmp_path) == str(tmp_path / "iter_2.pth")


@pytest.mark.parametrize("note", [None, "", "/gone/iter_7.pth"])
def test_latest_without_a_usable_note_is_the_highest_iteration(
    tmp_path: Path, note: str | None
):
    for name in ("iter_2.pth", "iter_10.pth", "iter_30.pth.partial", "best_9.pth"):
        (tmp_path / name).touch()
    if note is not None:
        (tmp_path / "last_checkpoint").write_text(note)
    assert find_latest_checkpoint(tmp_path) == str(tmp_path / "iter_10.pth")


def test_latest_may_be_on_a_storage_backend(tmp_path: Path):
    (tmp_path / "iter_2.pth").touch()
    (tmp_path / "last_checkpoint").write_text("s3://bucket/run/iter_4.pth")
    assert find_latest_checkpoint(tmp_path) == "s3://bucket/run/iter_4.pth"


def test_no_checkpoint(tmp_path: Path):
    assert find_latest_checkpoint(tmp_path) is None


def test_replace_leaves_no_second_file(tmp_path: Path):
    (tmp_path / "new").write_text("new")
    (tmp_path / "name").write_text("old")
    replace_file(str(tmp_path / "new"), str(tmp_path / "name"))
    assert [path.name for path in tmp_path.iterdir()] == ["name"]
    assert (tmp_path / "name").read_text() == "new"
