"""Compare ways to share a network between the eight tasks of mini8.

What is done is skipped and what was stopped goes on: start the same command again. First
``--tune`` chooses a learning rate for each variant on the tune split, then the same
command without it does the runs that are reported. docs/en/mini8.md says what the
variants are.
"""

import argparse
import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gppf_mm.apis import kind_errors
from gppf_mm.testing.mini8 import (
    GRID,
    ITERATIONS,
    QUICK_ITERATIONS,
    TUNE_SEED,
    LearningRates,
    Run,
    Variant,
    do_runs,
    gain_rows,
    main_rows,
    markdown,
    parse_devices,
    scores_of,
    search,
    sections,
    write_section,
)
from gppf_mm.utils.messages import check_names

ROOT = Path(__file__).resolve().parents[2]
CONSOLE = Console()


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    names = ", ".join(sections())
    add("--only", nargs="+", default=["main"], metavar="SECTION", help=names)
    add("--variants", nargs="+", metavar="NAME", help="these alone")
    add("--best", default="lego4_soft", help="the lego of the other sections")
    add("--seeds", type=int, default=3, help="seeds 0 to N-1 (default: 3)")
    add("--tune", action="store_true", help="search the learning rates instead")
    add("--lrs", type=float, nargs="+", default=GRID, help="the grid of --tune")
    add("--quick", action="store_true", help="a few steps, to see that all works")
    add("--iterations", type=int, help=f"batches of a task (default: {ITERATIONS})")
    add("--device", default="cpu", help="cpu, cuda or cuda,0,1 (default: cpu)")
    add("--jobs", type=int, default=1, help="runs at a time (default: 1)")
    add("--work-dir", type=Path, default=Path("work_dirs/mini8"))
    add("--table", type=Path, metavar="FILE.md", help="put the tables into this page")
    args = parser.parse_args()
    args.iterations = args.iterations or (
        QUICK_ITERATIONS if args.quick else ITERATIONS
    )
    return args


def make_run(args: argparse.Namespace, variant: Variant, seed: int, lr: float) -> Run:
    split = "tune" if args.tune else "test"
    where = (ROOT / "configs/mini8", args.work_dir.absolute())
    return Run(variant, seed, lr, split, args.iterations, *where)


def chosen(args: argparse.Namespace) -> dict[str, dict[str, Variant]]:
    """Return the variants to run, by section, without those that are not there yet."""
    found = sections(args.best)
    check_names("--only", args.only, found)
    listed = {name: dict(found[name]) for name in args.only}
    if args.variants:
        every = {name for variants in listed.values() for name in variants}
        check_names("--variants", args.variants, every)
    for variants in listed.values():
        for name, variant in list(variants.items()):
            if variant.missing:
                CONSOLE.print(f"{name} needs `lego.{variant.missing}`: left out.")
            if variant.missing or (args.variants and name not in args.variants):
                del variants[name]
    return listed


def tune(args: argparse.Namespace, listed: dict[str, dict[str, Variant]]) -> list[Run]:
    """Search every variant's learning rate; return the runs that failed."""
    rates = LearningRates(args.work_dir / "lrs.json")
    variants = {name: item for part in listed.values() for name, item in part.items()}
    devices = parse_devices(args.device, args.jobs)
    while True:
        searches = {
            name: search(lambda lr, it=item: make_run(args, it, TUNE_SEED, lr), args.lrs)
            for name, item in variants.items()
        }
        missing = [
            run for runs in searches.values() for run in runs if run.result() is None
        ]
        if not missing:
            break
        if failed := do_runs(missing, devices):
            return failed
    table = Table("variant", "learning rate", "mean on tune, by learning rate")
    for name, runs in searches.items():
        scores = scores_of(runs)
        rates.note(name, scores)
        tried = ", ".join(f"{lr:g}: {value:.2f}" for lr, value in scores.items())
        table.add_row(name, f"{rates[name]:g}", tried)
    CONSOLE.print(table)
    return []


def compare(
    args: argparse.Namespace, listed: dict[str, dict[str, Variant]]
) -> list[Run]:
    """Do the reported runs and show the tables; return the runs that failed."""
    rates = LearningRates(args.work_dir / "lrs.json")
    runs = {
        name: [make_run(args, item, seed, rates[name]) for seed in range(args.seeds)]
        for part in listed.values()
        for name, item in part.items()
    }
    untuned = [name for name in runs if name not in rates]
    if untuned:
        CONSOLE.print(f"No learning rate was searched for {', '.join(untuned)}.")
    # All variants of a seed before the next seed: a table early.
    ordered = [runs[name][seed] for seed in range(args.seeds) for name in runs]
    failed = do_runs(ordered, parse_devices(args.device, args.jobs))
    for section, variants in listed.items():
        report(args, section, {name: runs[name] for name in variants}, rates)
    return failed


def report(
    args: argparse.Namespace,
    section: str,
    runs: dict[str, list[Run]],
    rates: LearningRates,
) -> None:
    """Print a section's tables, and put them into the page if there is one."""
    done = {
        name: [result for run in items if (result := run.result())]
        for name, items in runs.items()
    }
    results = {
        name: [item["metrics"] for item in items if not item["diverged"]]
        for name, items in done.items()
    }
    results = {name: items for name, items in results.items() if items}
    if not results:
        return
    tables = [main_rows(results, {name: rates[name] for name in results})]
    tables.append(gain_rows(results))
    for rows in tables:
        shown = Table(*rows[0], title=f"{section}, {args.iterations} iterations")
        for row in rows[1:]:
            shown.add_row(*row)
        if shown.row_count:
            Console(width=max(CONSOLE.width, 170)).print(shown)
    if args.table:
        first = next(item for items in done.values() for item in items)
        command = shlex.join(["python", "tools/benchmarks/mini8.py", *sys.argv[1:]])
        facts = [
            f"- Command: `{command}`",
            f"- Machine: {first['device']}; {first['machine']}",
            f"- Versions: {', '.join(' '.join(v) for v in first['versions'].items())}",
            f"- {args.iterations} batches of each task; last run {first['finished']}",
        ]
        text = "\n".join(facts) + "\n\n"
        text += "\n".join(markdown(rows) for rows in tables if len(rows) > 1)
        write_section(args.table, section, text)


def main() -> None:
    args = parse_args()
    with kind_errors("Interrupted. The same command goes on."):
        listed = chosen(args)
        failed = (tune if args.tune else compare)(args, listed)
    for run in failed:
        tail = (run.folder / "log.txt").read_text().splitlines()[-5:]
        CONSOLE.print(f"[red]{run.folder.name} failed:[/] " + "\n".join(tail))
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
