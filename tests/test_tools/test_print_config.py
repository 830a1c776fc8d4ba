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
    saved = tmp_path / "new/saved.py"
    arguments = [str(CONFIG), *options, "--save-path", str(saved)]
    monkeypatch.setattr("sys.argv", [path, *arguments])
    runpy.run_path(path, run_name="__main__")
    (tmp_path / "printed.py").write_text(capsys.readouterr().out)
    printed = Config.fromfile(tmp_path / "printed.py")
    expected = Config.fromfile(CONFIG)
    expected.merge_from_dict({"model.lego.num_units": 7})
    assert printed.to_dict() == expected.to_dict()
    assert Config.fromfile(saved).to_dict() == expected.to_dict()


def test_the_name_of_another_kind_of_file_is_refused(tmp_path: Path, tool_main):
    path = tmp_path / "full.txt"
    code, message = tool_main("misc/print_config.py", CONFIG, "--save-path", path)
    assert code == 2
    assert "ends in .py" in message
