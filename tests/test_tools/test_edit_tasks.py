"""What the tool that edits checkpoints refuses; see the tests of its functions."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

Main = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    names = ("tasks.det.head.weight", "network.bank.shared.backbone.weight")
    state = {name: torch.zeros(2) for name in names}
    torch.save(dict(state_dict=state, meta={}), tmp_path / "run.pth")
    return tmp_path / "run.pth"


@pytest.mark.parametrize(
    ("out", "options", "message"),
    [
        ("new.pth", ("--add", "shop"), "error: --add has 'shop'; expected NAME=LIKE"),
        ("new.pth", ("--add", "det=det"), "error: --add names 'det', which"),
        ("new.pth", ("--remove", "det"), "error: --remove names all tasks"),
        (".", ("--add", "shop=det"), "a folder; expected a file"),
    ],
)
def test_a_mistake_is_one_paragraph(
    tool_main: Main, run: Path, out: str, options: tuple[str, str], message: str
):
    target = run.parent / out
    code, error = tool_main("model_converters/edit_tasks.py", run, target, *options)
    assert code == 2
    assert message in error
    assert [path.name for path in run.parent.iterdir()] == ["run.pth"]


def test_a_file_without_tasks_is_named(tool_main: Main, tmp_path: Path):
    path = tmp_path / "stock.pth"
    torch.save({"conv1.weight": torch.zeros(2)}, path)
    options = ("--remove", "det")
    code, error = tool_main("model_converters/edit_tasks.py", path, path, *options)
    assert code == 2
    assert f"The checkpoint {str(path)!r} has no tasks" in error
