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
