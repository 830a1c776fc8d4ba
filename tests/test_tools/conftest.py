"""One tiny run with the tools, shared by their tests."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.runs import REPO, make_tiny_toy, tiny_config, tool, write_config

# An untrained detector's scores are about 0.01: it shall find something.
SOME_BOXES = {"model.tasks.det.test_cfg.score_thr": 0.001}
NO_WORKERS = {
    f"test_dataloader.{task}.{key}": value
    for task in ("det", "seg", "cls")
    for key, value in dict(num_workers=0, persistent_workers=False).items()
}


@dataclass(frozen=True)
class Run:
    """A finished training.

    Attributes:
        folder: The folder that it ran in.
        config: Its config file.
        work_dir: Its work dir.
        checkpoint: Its last checkpoint.
        output: What it printed.
    """

    folder: Path
    config: Path
    work_dir: Path
    checkpoint: Path
    output: str


def run_tool(folder: Path, *args: str | Path) -> str:
    """Run a tool in a folder to its end and return what it printed."""
    process = tool([REPO / "tools" / args[0], *args[1:]], cwd=folder)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output[-3000:]
    return output


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Train for four iterations, in a folder that is not the repository."""
    folder = make_tiny_toy(tmp_path_factory.mktemp("run"))
    cfg = tiny_config(folder, {**SOME_BOXES, **NO_WORKERS})
    cfg.pop("work_dir")
    config = write_config(cfg, folder)
    output = run_tool(folder, "train.py", config)
    work_dir = folder / "work_dirs" / "config"
    return Run(folder, config, work_dir, work_dir / "iter_4.pth", output)


@dataclass(frozen=True)
class Evaluation:
    """A finished test of a run.

    Attributes:
        folder: The folder with what it wrote: ``metrics.json``, ``predictions_*.pkl``
            and the pictures in ``show``.
        output: What it printed.
    """

    folder: Path
    output: str


@pytest.fixture(scope="session")
def tested(run: Run) -> Evaluation:
    """Test the run with all that the tool can write."""
    folder = run.folder / "tested"
    outputs = [folder / "metrics.json", folder / "predictions.pkl"]
    show = ["--show-dir", folder / "show", "--interval", "4"]
    output = run_tool(
        run.folder, "test.py", run.config, run.checkpoint, "--out", *outputs, *show
    )
    return Evaluation(folder, output)


@pytest.fixture
def tool_main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Return a function that runs a tool in this process, for its refusals.

    It returns the exit code and what was written to stderr.
    """
    import runpy

    def main(*args: str | Path) -> tuple[int, str]:
        path = str(REPO / "tools" / args[0])
        monkeypatch.setattr("sys.argv", [path, *map(str, args[1:])])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_info:
            runpy.run_path(path, run_name="__main__")
        return exit_info.value.code, capsys.readouterr().err

    return main
