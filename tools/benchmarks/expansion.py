"""Time the expansion of the pre-training configs; the goal is 10 s for eight tasks."""

import argparse
import time
from pathlib import Path

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from gppf_mm.apis import kind_errors
from gppf_mm.recipes import expand

CONFIGS = Path(__file__).parents[2] / "configs/gppf"
GOAL = 10.0


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="runs each (default: 3)")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    table = Table(
        "config", "tasks", "first run, s", "best run, s", f"goal < {GOAL:g} s"
    )
    with kind_errors():
        for path in sorted(CONFIGS.glob("*.py")):
            cfg = Config.fromfile(path)
            runs = []
            for _ in range(args.repeat):
                start = time.perf_counter()
                expand(cfg)
                runs.append(time.perf_counter() - start)
            # The first run of all imports the task libraries.
            reached = "reached" if runs[0] < GOAL else "missed"
            times = (f"{value:.1f}" for value in (runs[0], min(runs)))
            table.add_row(path.stem, str(len(cfg.tasks)), *times, reached)
    Console().print(table)


if __name__ == "__main__":
    main()
