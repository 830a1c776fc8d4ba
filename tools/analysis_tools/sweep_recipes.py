"""Check every config that ships with the libraries and write the table of coverage."""

import argparse
import os
import platform
import warnings
from datetime import date
from importlib.metadata import version
from pathlib import Path

# One thread each: the processes share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from gppf_mm.apis import kind_errors
from gppf_mm.testing.isolated import Limits
from gppf_mm.testing.records import Records
from gppf_mm.testing.sweep import (
    all_recipes,
    check_all,
    expand_all,
    preload,
)
from gppf_mm.testing.table import coverage_page

_LIBRARIES = ("mmdet", "mmseg", "mmpretrain")
_PACKAGES = dict(
    torch="torch",
    mmengine="mmengine",
    mmcv="mmcv",
    mmdet="mmdet",
    mmseg="mmsegmentation",
    mmpretrain="mmpretrain",
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--libraries", nargs="+", default=_LIBRARIES, help="default: all three"
    )
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="recipes whose name contains it"
    )
    parser.add_argument(
        "--out",
        default="work_dirs/recipes_sweep.jsonl",
        metavar="FILE.jsonl",
        help="outcomes, one a line; what stands there is not checked again",
    )
    parser.add_argument(
        "--again", choices=("failed", "all"), help="check these outcomes once more"
    )
    parser.add_argument("--table", metavar="FILE.md", help="write the table here")
    parser.add_argument(
        "--date", default=str(date.today()), help="for the table (default: today)"
    )
    parser.add_argument(
        "--machine",
        default=f"{os.cpu_count()} cores, {platform.machine()}, no GPU",
        help="for the table (default: what is found)",
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--units", type=int, default=2, help="per layer (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument(
        "--seconds", type=float, default=120, help="limit of a check (default: 120)"
    )
    parser.add_argument(
        "--memory", type=float, default=8, help="limit in GiB (default: 8)"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    warnings.simplefilter("ignore")
    with kind_errors("Interrupted; the same command goes on from here."):
        preload(args.libraries)
        recipes = all_recipes(args.libraries, args.only)
        records = Records(args.out)
        expand_all(records, recipes, args.units, args.jobs)
        limits = Limits(args.seconds, args.memory)
        for result in check_all(
            records, recipes, args.units, args.seed, args.jobs, limits, args.again
        ):
            print(f"{result.recipe}: {result.line()} ({result.seconds} s)", flush=True)
        if args.table:
            Path(args.table).parent.mkdir(parents=True, exist_ok=True)
            Path(args.table).write_text(coverage_page(records.outcomes(), _facts(args)))
            print(f"Written: {args.table}")


def _facts(args: argparse.Namespace) -> dict[str, str]:
    libraries = [f"{name} {version(package)}" for name, package in _PACKAGES.items()]
    return {
        "Date": args.date,
        "Command": f"`python tools/analysis_tools/sweep_recipes.py --table {args.table}"
        f" --seconds {args.seconds:g} --memory {args.memory:g}`",
        "Machine": args.machine,
        "Seed": f"{args.seed}; {args.units} units a layer",
        "Versions": ", ".join(libraries),
        "Limits of one check": f"{args.seconds:g} s and {args.memory:g} GiB",
    }


if __name__ == "__main__":
    main()
