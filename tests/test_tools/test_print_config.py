from pathlib import Path

import pytest
from mmengine.config import Config

from tests.runs import CONFIG, REPO


def test_text_reads_back_as_the_whole_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    import runpy

    path = str(REPO / "tools/misc/print_config.py")
    options = ["--cfg-options", "model.lego.num_units=7"]
    monkeypatch.setattr("sys.argv", [path, str(CONFIG), *options])
    runpy.run_path(path, run_name="__main__")
    (tmp_path / "printed.py").write_text(capsys.readouterr().out)
    printed = Config.fromfile(tmp_path / "printed.py")
    expected = Config.fromfile(CONFIG)
    expected.merge_from_dict({"model.lego.num_units": 7})
    assert printed.to_dict() == expected.to_dict()
