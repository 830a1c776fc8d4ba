"""Compare ways to share a network between the eight tasks of mini8.

What is done is skipped and what was stopped goes on: start the same command again.
First ``--tune`` chooses a learning rate for each variant on the tune split, then the
same command without it does the runs that are reported. docs/en/mini8.md says what the
variants are.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.table import Table

from gppf_mm.apis import kind_errors
from gppf_mm.engine.hooks.interrupt_hook import Interrupted
from gppf_mm.testing.mini8 import (
    DEFAULT_LR,
    GRID,
    ITERATIONS,
    QUICK_ITERATIONS,
    Bench,
    Run,
    Variant,
    check_places,
    draw,
    facts,
    markdown,
    parse_devices,
    parse_rates,
    section_tables,
    sections,
    write_section,
)
from gppf_mm.utils.messages import check_names
from gppf_mm.utils.signals import listen

ROOT = Path(__file__).resolve().parents[2]
CONSOLE = Console()
Chosen = dict[str, dict[str, Variant]]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    names = ", ".join(sections()) + " (default: main)"
    add("--only", nargs="+", default=["main"], metavar="SECTION", help=names)
    add("--variants", nargs="+", metavar="NAME", help="these alone")
    add(
        "--best",
        nargs="+",
        default=[],
        metavar="LEGO",
        help="legos of the other sections",
    )
    add("--seeds", type=int, default=3, help="seeds 0 to N-1 (default: 3)")
    add("--tune", action="store_true", help="search the learning rates instead")
    grid = " ".join(f"{rate:g}" for rate in GRID)
    add(
        "--lrs",
        type=float,
        nargs="+",
        default=GRID,
        help=f"the grid of --tune (default: {grid})",
    )
    add(
        "--lr",
        type=float,
        default=DEFAULT_LR,
        help=f"where no rate was searched (default: {DEFAULT_LR:g})",
    )
    add(
        "--rates",
        nargs="+",
        default=[],
        metavar="VARIANT=RATE",
        help="learning rates that an earlier search chose",
    )
    add("--quick", action="store_true", help="a few steps, to see that all works")
    add("--iterations", type=int, help=f"batches of a task (default: {ITERATIONS})")
    add("--device", default="cpu", help="cpu, cuda or cuda,0,1 (default: cpu)")
    add("--jobs", type=int, help="runs at a time (default: one for each core or GPU)")
    add(
        "--work-dir",
        type=Path,
        default=Path("work_dirs/mini8"),
        help="default: %(default)s",
    )
    add("--heldout", type=Path, metavar="CONFIG", help="another set to fine-tune on")
    add("--table", type=Path, metavar="FILE.md", help="put the tables into this page")
    add("--place", metavar="NAME", help="where in that page (default: the section's)")
    add("--figures", type=Path, metavar="DIR", help="default: the work dir's figures")
    return parser.parse_args()


def bench_of(args: argparse.Namespace) -> Bench:
    quick = QUICK_ITERATIONS if args.quick else ITERATIONS
    names = {name for part in sections(*args.best).values() for name in part}
    return Bench(
        ROOT / "configs/mini8",
        args.work_dir,
        parse_devices(args.device, args.jobs),
        args.seeds,
        quick if args.iterations is None else args.iterations,
        args.heldout,
        args.lr,
        parse_rates(args.rates, names),
    )


def choose(args: argparse.Namespace) -> Chosen:
    """Return the variants by section."""
    found = sections(*args.best)
    check_names("--only", args.only, found)
    listed = {name: dict(found[name]) for name in args.only}
    if args.variants:
        every = {name for variants in listed.values() for name in variants}
        check_names("--variants", args.variants, every)
    if not args.variants:
        return listed
    return {
        section: {name: item for name, item in part.items() if name in args.variants}
        for section, part in listed.items()
    }


def tune(bench: Bench, chosen: Chosen, grid: Sequence[float]) -> list[Run]:
    """Search the learning rates; return the runs that failed."""
    variants = {name: item for part in chosen.values() for name, item in part.items()}
    failed = bench.tune(variants, grid)
    table = Table("variant", "learning rate", "mean on tune, by learning rate")
    for name in variants:
        tried = ", ".join(f"{k}: {v:.2f}" for k, v in bench.rates.tried(name).items())
        table.add_row(name, f"{bench.rates[name]:g}", tried)
    CONSOLE.print(table)
    return failed


def compare(bench: Bench, chosen: Chosen) -> list[Run]:
    """Do the reported runs; return those that failed."""
    variants = {name: item for part in chosen.values() for name, item in part.items()}
    untuned = [name for name in variants if name not in bench.rates]
    if untuned:
        names = ", ".join(untuned)
        CONSOLE.print(f"Learning rate {bench.lr:g}, not searched: {names}.")
    return bench.do(variants)


def report(args: argparse.Namespace, bench: Bench, chosen: Chosen) -> None:
    """Print the sections' tables, draw, and fill the page if there is one."""
    command = shlex.join(["python", "tools/benchmarks/mini8.py", *sys.argv[1:]])
    for section, variants in chosen.items():
        tables = section_tables(section, bench, variants, args.lrs)
        for title, rows in tables.items():
            shown = Table(*rows[0], title=f"{section}: {title}")
            for row in rows[1:]:
                shown.add_row(*row)
            Console(width=max(CONSOLE.width, 180)).print(shown)
        folder = args.figures or args.work_dir / "figures"
        for path in draw(section, bench, variants, args.lrs, folder):
            CONSOLE.print(f"Drawn: {path}")
        if args.table and tables:
            known = facts(bench, variants, command)
            text = "".join(f"- {key}: {value}\n" for key, value in known.items())
            for title, rows in tables.items():
                text += f"\n{title}:\n\n{markdown(rows)}"
            write_section(args.table, args.place or section, text)


def stop(signum: int, frame: FrameType | None) -> None:
    raise Interrupted(signum)


def main() -> None:
    args = parse_args()
    # SIGTERM as well as Ctrl-C: the runs are processes of their own.
    listen(stop)
    with kind_errors("Interrupted. The same command goes on."):
        bench, chosen = bench_of(args), choose(args)
        check_places(args.table, args.only, args.place)
        if args.tune:
            failed = tune(bench, chosen, args.lrs)
        else:
            failed = compare(bench, chosen)
            report(args, bench, chosen)
    for run in failed:
        tail = (run.folder / "log.txt").read_text().splitlines()[-5:]
        CONSOLE.print(f"{run.folder.name} failed:", *tail, sep="\n", markup=False)
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
