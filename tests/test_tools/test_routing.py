import runpy
from pathlib import Path

import pytest
from mmengine.config import Config

from gppf_mm.apis import find_config, init_model, read_checkpoint
from gppf_mm.models.build_router import build_router
from tests.runs import REPO

from .conftest import Run, run_tool

PICTURES = {
    "routing_map.png",
    "task_affinity.png",
    "unit_usage.png",
    "movement_curves.png",
    "movement_map.png",
}


def test_a_checkpoint_alone_makes_the_page(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The config is the run's own, in which MMEngine has sorted the tasks."""
    tool = str(REPO / "tools/analysis_tools/routing.py")
    arguments = [str(run.checkpoint), "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", [tool, *arguments])
    runpy.run_path(tool, run_name="__main__")
    assert {path.name for path in tmp_path.iterdir()} == PICTURES | {"index.html"}
    html = (tmp_path / "index.html").read_text()
    assert "<dt>iterations</dt><dd>4</dd>" in html
    assert "Noted 5 times, at iterations 0 to 4" in html


def test_groups_are_printed_as_routes_that_can_be_trained(
    run: Run, tool_main, tmp_path: Path
):
    command = ("analysis_tools/routing.py", run.checkpoint, "--out", tmp_path)
    output = run_tool(run.folder, *command, "--groups", "2")
    lego = Config.fromstring(output.strip().splitlines()[-1], ".py").lego
    assert lego.num_units == 3
    router = build_router(lego.router, ("det", "seg", "cls"), {"layer1": 3})
    units = [router.draw(task).units()["layer1"] for task in router.tasks]
    assert {unit for pair in units for unit in pair} == {0, 1, 2}
    code, error = tool_main(*command, "--groups", "9")
    assert code == 2
    assert "`--groups` is 9" in error


def test_tasks_in_another_order_are_those_of_the_checkpoint(run: Run):
    cfg = Config.fromfile(find_config(run.checkpoint))
    tasks = dict(cfg.model.tasks)
    cfg.model.tasks = {task: tasks[task] for task in sorted(tasks, reverse=True)}
    content = read_checkpoint(run.checkpoint)
    assert list(cfg.model.tasks) != trained_tasks(content)
    assert list(init_model(cfg, run.checkpoint).tasks) == trained_tasks(content)


def trained_tasks(content: dict) -> list[str]:
    names = [name.split(".") for name in content["state_dict"]]
    return list(dict.fromkeys(parts[1] for parts in names if parts[0] == "tasks"))


@pytest.mark.parametrize("present", [[], ["a.py", "b.py"]])
def test_no_config_or_several_are_an_error(tmp_path: Path, present: list[str]):
    for name in [*present, "iter_1.pth"]:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"found (none|a\.py, b\.py)\..*--config"):
        find_config(tmp_path / "iter_1.pth")


def test_a_missing_checkpoint_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"iter_1\.pth"):
        find_config(tmp_path / "iter_1.pth")


def test_an_unknown_task_is_refused(run: Run, tool_main, tmp_path: Path):
    code, error = tool_main(
        "analysis_tools/routing.py", run.checkpoint, "--out", tmp_path, "--task", "sed"
    )
    assert code == 2
    assert "Did you mean 'seg'?" in error
