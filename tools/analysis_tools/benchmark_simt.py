"""Measure the SIMT engine: ratios to stock training, each beside its goal.

Leave the machine alone meanwhile: the whole takes about 15 minutes on two cores.
"""

import argparse
import json
import platform
import warnings
from datetime import date
from pathlib import Path

import mmengine
import torch
from mmengine.logging import MMLogger

from gppf_mm.apis import kind_errors
from gppf_mm.testing.benchmark import (
    MEASURES,
    Figure,
    Options,
    numbers,
    profile_sides,
    run_measures,
    write_page,
)
from gppf_mm.version import __version__


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="KEY",
        help=f"measure these alone: {', '.join(MEASURES)}",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=Options.seconds,
        help=f"for each comparison (default: {Options.seconds:g})",
    )
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, to see that all works"
    )
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--json", metavar="FILE", help="write the figures here as well")
    parser.add_argument(
        "--table", metavar="FILE.md", help="put the table into this page"
    )
    parser.add_argument(
        "--date", default=str(date.today()), help="for the table (default: today)"
    )
    parser.add_argument(
        "--profile",
        metavar="KEY",
        help="print the costliest operators of both sides instead",
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    warnings.simplefilter("ignore")
    MMLogger.get_current_instance().setLevel("ERROR")
    options = Options(args.device, args.seconds, args.quick, args.seed)
    with kind_errors():
        if args.profile:
            for table in profile_sides(args.profile, options):
                print(table)
            return
        figures = []
        for figure in run_measures(args.only, options):
            figures.append(figure)
            print(_line(figure), flush=True)
        facts = _facts(args)
        if args.json:
            found = dict(facts=facts, figures=[figure.to_dict() for figure in figures])
            Path(args.json).parent.mkdir(parents=True, exist_ok=True)
            Path(args.json).write_text(json.dumps(found, indent=2) + "\n")
        if args.table:
            write_page(Path(args.table), figures, facts)
    if any(figure.note.startswith("failed") for figure in figures):
        raise SystemExit(1)


def _facts(args: argparse.Namespace) -> dict[str, str]:
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads"
    if args.device == "cuda":
        machine += f", {torch.cuda.get_device_name()}"
    only = f" --only {' '.join(args.only)}" if args.only else ""
    return {
        "Date": args.date,
        "Command": f"`python tools/analysis_tools/benchmark_simt.py --device "
        f"{args.device} --seconds {args.seconds:g} --seed {args.seed}{only}`"
        f"{' with --quick: the figures mean nothing' if args.quick else ''}",
        "Machine": machine,
        "Versions": f"gppf_mm {__version__}, torch {torch.__version__}, "
        f"mmengine {mmengine.__version__}",
    }


def _line(figure: Figure) -> str:
    value, spread, goal = numbers(figure)
    parts = [
        f"{value} ({spread})" if spread else value,
        f"goal {goal}: {figure.result}" if goal else figure.result,
        ", ".join(f"{name} {side}" for name, side in figure.sides.items()),
        figure.note,
    ]
    return f"{figure.key}: {'; '.join(part for part in parts if part)}"


if __name__ == "__main__":
    main()
