from pathlib import Path

import pytest
from mmengine.runner import Runner

from gppf_mm.engine.runner import SIMTRunner
from gppf_mm.engine.runner.checkpoints import (
    find_latest_checkpoint,
    replace_file,
    replace_folder,
)
from gppf_mm.engine.runner.resuming import remove_partial


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


class KilledError(Exception):
    pass


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_kill_while_a_folder_is_replaced_loses_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
):
    for name in ("iter_2.pth", "iter_2.pth.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "common.pth").touch()
    rename, moved = Path.rename, []

    def rename_until_killed(source: Path, target: Path) -> None:
        if len(moved) == renames:
            raise KilledError
        moved.append(rename(source, target))

    def be_killed(path: Path) -> None:
        if path.exists():
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename_until_killed)
        if renames:
            patch.setattr("gppf_mm.engine.runner.checkpoints.remove", be_killed)
        with pytest.raises(KilledError):
            replace_folder(tmp_path / "iter_2.pth.partial", tmp_path / "iter_2.pth")
    monkeypatch.setattr(Runner, "from_cfg", lambda cfg: None)
    for _ in range(2):  # As on two ranks.
        SIMTRunner.from_cfg(dict(model=None, resume=True, work_dir=tmp_path))
    remove_partial(tmp_path)
    assert find_latest_checkpoint(tmp_path) == str(tmp_path / "iter_2.pth")
    assert (tmp_path / "iter_2.pth/common.pth").is_file()


def test_a_folder_is_replaced_where_a_kill_has_left_another(tmp_path: Path):
    for name in ("iter_2.pth", "iter_2.pth.partial", "iter_2.pth.outdated"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    replace_folder(tmp_path / "iter_2.pth.partial", tmp_path / "iter_2.pth")
    assert [path.name for path in tmp_path.rglob("*")] == [
        "iter_2.pth",
        "iter_2.pth.partial",
    ]
