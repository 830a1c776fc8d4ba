from pathlib import Path

import pytest
from mmengine.config import Config

from gppf_mm.export import files
from gppf_mm.registry import MODELS
from tests.stand_ins import task_configs


def test_two_processes_may_export_to_one_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stock = Config(dict(default_scope="mmpretrain", model=task_configs()["cls"]))
    state = MODELS.build(stock.model).state_dict()
    args = (tmp_path / "cls.pth", stock, state, {}, "A task")
    verify = files._verify

    def export_meanwhile(*found: object) -> None:
        monkeypatch.setattr(files, "_verify", verify)
        files.write_export(*args)
        verify(*found)

    monkeypatch.setattr(files, "_verify", export_meanwhile)
    files.write_export(*args)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cls.pth", "cls.py"]


def test_only_an_earlier_export_is_replaced(tmp_path: Path):
    stock = Config(dict(default_scope="mmpretrain", model=task_configs()["cls"]))
    state = MODELS.build(stock.model).state_dict()
    out = files.check_out(tmp_path / "cls.pth")
    files.write_export(out, stock, state, {}, "A task")
    assert files.check_out(out) == out  # Once more, to the same name.
    # The config and the checkpoint of a run, and an export under another name.
    (tmp_path / "run.py").write_text("runner_type = 'gppf_mm.SIMTRunner'\n")
    (tmp_path / "iter_2.pth").touch()
    (tmp_path / "copy.py").write_text((tmp_path / "cls.py").read_text())
    for name, there in (("run", "run.py"), ("iter_2", "iter_2.pth"), ("copy", "copy")):
        with pytest.raises(
            ValueError, match=rf"--out is .*{there}.* is not of an earl"
        ):
            files.check_out(tmp_path / f"{name}.pth")
