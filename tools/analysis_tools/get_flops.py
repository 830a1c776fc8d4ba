"""Count FLOPs and parameters of each task, beside those of its stock model.

FLOPs are those of one image through the stock forward pass; a multiply-add counts as
two. Weights are random. No data set is needed where recipes set the size of images.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

from mmengine.config import DictAction
from rich.console import Console
from rich.table import Table

from gppf_mm.apis import DICT_ACTION_HELP, kind_errors, load_config
from gppf_mm.complexity import ModelComplexity, measure_tasks


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="multi-task config file")
    parser.add_argument(
        "--shape",
        nargs=2,
        type=int,
        metavar=("H", "W"),
        help="image size of all tasks (default: each recipe's own test size)",
    )
    parser.add_argument("--json", metavar="FILE", help="write the numbers here as well")
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, help=DICT_ACTION_HELP
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    warnings.simplefilter("ignore")
    # As wide as the table where nobody looks: in a file or a pipe.
    console = Console(width=None if sys.stdout.isatty() else 110)
    with kind_errors(), console.status("Building the models") as status:
        cfg = load_config(args.config, args.cfg_options)
        found = measure_tasks(
            cfg,
            tuple(args.shape) if args.shape else None,
            on_task=lambda task: status.update(f"Counting {task}"),
        )
    console.print(make_table(found))
    differ = [
        task for task, item in found.tasks.items() if item.flops != item.stock_flops
    ]
    if differ:
        console.print(f"FLOPs differ from the stock model's: {', '.join(differ)}")
    if args.json:
        Path(args.json).parent.mkdir(parents=True, exist_ok=True)
        Path(args.json).write_text(json.dumps(found.to_dict(), indent=2) + "\n")
    sys.exit(bool(differ))


def make_table(found: ModelComplexity) -> Table:
    table = Table(
        title="One image through each task, and its stock model",
        caption="A multiply-add counts as two FLOPs. Assembly: mixing the units, once "
        "a step. Active: what the task's plan uses. Total: what is stored.",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("task")
    for heading in (
        "image",
        "GFLOPs",
        "stock",
        "assembly\nGFLOPs a step",
        "active\nMparams",
        "total",
        "stock",
    ):
        table.add_column(heading, justify="right")
    for task, item in found.tasks.items():
        table.add_row(
            task,
            "{}x{}".format(*item.shape),
            giga(item.flops),
            giga(item.stock_flops),
            giga(item.assembly_flops),
            mega(item.active),
            mega(item.total),
            mega(item.stock),
        )
    table.add_section()
    table.add_row(
        "all tasks",
        *[""] * 4,
        *(mega(count) for count in (found.active, found.total, found.stock)),
    )
    return table


def giga(count: int) -> str:
    return f"{count / 1e9:.4g}" if count < 1e12 else f"{count / 1e9:.0f}"


def mega(count: int) -> str:
    return f"{count / 1e6:.2f}"


if __name__ == "__main__":
    main()
