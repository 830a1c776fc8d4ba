"""The demo: three stock models over one lego bank, from nothing to an exported model.

Run it with `make demo`. A run that was interrupted goes on where its last checkpoint
was written; a complete one starts afresh. Everything is written to `work_dirs/demo`.
"""

import json
import os
import re
import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import Config
from report import GOALS, compare, make_table, read_stock_metrics
from steps import Bar, StepFailed, console, run_logged

from gppf_mm.apis import kind_errors, load_config
from gppf_mm.datasets.toy import make_toy, toy_chance
from gppf_mm.engine.runner.checkpoints import find_latest_checkpoint
from gppf_mm.visualization import plot_montage

CONFIG = Path("configs/toy/lego-r18-4u-soft_toy-det-seg-cls.py")
DATA = Path("data/toy")
OUT = Path("work_dirs/demo")
RUN = OUT / "train"
EXPORTED = "det"
# Runs a tool in a Python that cannot import this package.
WITHOUT_GPPF_MM = (
    "import runpy, sys; sys.modules['gppf_mm'] = None; del sys.argv[0]; "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


def main() -> int:
    started = time.monotonic()
    cfg = load_config(CONFIG)
    console.print(
        "[bold]gppf_mm demo[/]: a detector, a segmentor and a classifier over one bank "
        "of lego units."
    )
    console.print(
        f"It takes 4 to 8 minutes on two cores; logs and pictures go to {OUT}.\n"
    )
    generate()
    train(cfg)
    checkpoint = find_latest_checkpoint(RUN)
    if checkpoint is None:
        raise StepFailed(f"The training left no checkpoint in {RUN}.")
    metrics = evaluate(checkpoint)
    draw(checkpoint)
    differences = export(checkpoint, metrics)

    table, problems = make_table(metrics, toy_chance(DATA))
    console.print()
    console.print(table)
    scores = f"bbox_mAP {metrics[f'{EXPORTED}/coco/bbox_mAP']:.3f}"
    if differences:
        problems += differences
    else:
        console.print(
            "The exported detector, run by mmdet's own tools/test.py without gppf_mm, "
            f"has the same mAP: {scores}."
        )
    console.print(
        f"Pictures: {OUT / 'predictions.png'}; routing: {OUT / 'routing/index.html'}"
    )
    console.print(f"Done in {(time.monotonic() - started) / 60:.1f} minutes.")
    for problem in problems:
        console.print(f"[red]Failed:[/] {problem}")
    return 1 if problems else 0


def generate() -> None:
    say(1, f"Toy set in {DATA}: three domains, 2,250 images", "seconds")
    with Bar("drawing") as bar:
        done = 0

        def count() -> None:
            nonlocal done
            done += 1
            bar.show(done, 2250)

        make_toy(DATA, on_image=count)


def train(cfg: Config) -> None:
    max_iters = cfg.train_cfg.max_iters
    options = ["--work-dir", RUN, "--cfg-options", "default_hooks.logger.interval=10"]
    iteration = interrupted_at(cfg, max_iters)
    if iteration:
        say(2, f"Training goes on at iteration {iteration} of {max_iters}", "minutes")
        options.append("--resume")
    else:
        say(2, f"Training: {max_iters} iterations of all three tasks", "3 to 6 minutes")
        shutil.rmtree(RUN, ignore_errors=True)
        RUN.mkdir(parents=True)
        (OUT / "config.py").write_text(cfg.pretty_text)
    run_logged(["tools/train.py", CONFIG, *options], OUT / "train.log")


def interrupted_at(cfg: Config, max_iters: int) -> int:
    """Return the iteration at which an unfinished run of this config goes on, or 0."""
    note = OUT / "config.py"
    if not note.is_file() or note.read_text() != cfg.pretty_text:
        return 0
    latest = re.search(r"iter_(\d+)\.pth$", find_latest_checkpoint(RUN) or "")
    iteration = int(latest[1]) if latest else 0
    return iteration if iteration < max_iters else 0


def evaluate(checkpoint: str) -> dict[str, float]:
    say(3, "Evaluation by each library's own metrics", "half a minute")
    pictures = OUT / "predictions"
    shutil.rmtree(pictures, ignore_errors=True)
    command = ["tools/test.py", CONFIG, checkpoint, "--work-dir", OUT / "test"]
    command += ["--out", OUT / "metrics.json", "--show-dir", pictures]
    run_logged([*command, "--interval", "25"], OUT / "test.log")
    return json.loads((OUT / "metrics.json").read_text())


def draw(checkpoint: str) -> None:
    say(4, "Pictures of predictions and routing", "seconds")
    headings = {
        goal.task: f"{goal.task}: {goal.model} of {goal.library}; ground truth "
        + ("and prediction" if goal.task == "cls" else "left, prediction right")
        for goal in GOALS
    }
    plot_montage(
        {
            headings[task]: sorted((OUT / "predictions" / task).glob("*.png"))
            for task in headings
        },
        OUT / "predictions.png",
        "Predictions of three stock models over one lego bank",
    )
    tool = "tools/analysis_tools/routing.py"
    run_logged([tool, checkpoint, "--out", OUT / "routing"], OUT / "routing.log")


def export(checkpoint: str, metrics: dict[str, float]) -> list[str]:
    """Export the detector, test it in mmdet and return how the metrics differ."""
    say(5, "Export of the detector, and its test by mmdet alone", "half a minute")
    file = OUT / "export" / f"{EXPORTED}.pth"
    tool = "tools/model_converters/export_task.py"
    run_logged(
        [tool, CONFIG, checkpoint, "--task", EXPORTED, "--out", file],
        OUT / "export.log",
    )
    spec = find_spec("mmdet")
    if spec is None or spec.origin is None:
        raise StepFailed("mmdet is not installed; run `make demo`, which installs it.")
    stock_test = Path(spec.origin).parent / ".mim" / "tools" / "test.py"
    work_dir = OUT / "export" / "mmdet"
    shutil.rmtree(work_dir, ignore_errors=True)
    command = ["-c", WITHOUT_GPPF_MM, stock_test, file.with_suffix(".py"), file]
    run_logged([*command, "--work-dir", work_dir], OUT / "mmdet.log")
    return compare(metrics, read_stock_metrics(work_dir), EXPORTED)


def say(number: int, what: str, duration: str) -> None:
    console.print(f"[bold]{number}/5[/] {what} ({duration})")


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])
    # For the tools: one thread and one loading process keep two cores busy. Two threads
    # wait for each other in a loop, and are ten times slower as soon as they share a
    # core with anything.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with kind_errors("Interrupted. `make demo` goes on from the last checkpoint."):
        try:
            code = main()
        except StepFailed as error:
            console.print(f"[red]Failed:[/] {error}", markup=True)
            code = 1
    sys.exit(code)
