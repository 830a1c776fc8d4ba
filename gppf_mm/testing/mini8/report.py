"""What a section shows: its tables, facts and figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .bench import Bench, Variants
from .curves import draw_losses, draw_rates
from .derived import plain_name
from .page import Row, gain_rows, main_rows, transfer_rows, trial_rows
from .tasks import TASKS
from .tuning import points


def section_tables(
    section: str, bench: Bench, variants: Variants, grid: Sequence[float]
) -> dict[str, list[Row]]:
    """Return the tables of a section by their titles, without empty ones.

    Args:
        section: The section.
        bench: The benchmark.
        variants: The section's variants.
        grid: The learning rates that searches begin with.
    """
    done = bench.results(variants)
    lrs = {name: bench.rates[name] for name in done}
    finished = {
        name: [item["metrics"] for item in results if not item["diverged"]]
        for name, results in done.items()
    }
    finished = {name: items for name, items in finished.items() if items}
    # The baselines over other networks are found by their names.
    finished = {plain_name(name): items for name, items in finished.items()}
    lrs = {plain_name(name): lr for name, lr in lrs.items()}
    if section == "transfer":
        tables = {"Top-1 on the held-out classes": transfer_rows(finished, lrs)}
    else:
        tables = {
            "Metrics on the test split": main_rows(finished, lrs),
            "Gains in points": gain_rows(finished),
        }
        if section == "schedule":
            trials = bench.tried(variants, grid)
            tables["Over the learning rates, on the tune split"] = trial_rows(trials)
    return {title: rows for title, rows in tables.items() if len(rows) > 1}


def facts(bench: Bench, variants: Variants, command: str) -> dict[str, str]:
    """Return how the numbers of some variants were measured.

    Args:
        bench: The benchmark.
        variants: The variants.
        command: What was typed.
    """
    results = [item for items in bench.results(variants).values() for item in items]
    if not results:
        return {}

    def all_of(key: str) -> str:
        return "; ".join(dict.fromkeys(str(item[key]) for item in results))

    minutes = [(r["train_seconds"] + r["test_seconds"]) / 60 for r in results]
    # A work dir may hold runs of an earlier installation.
    versions = {
        name: " or ".join(dict.fromkeys(item["versions"][name] for item in results))
        for name in results[0]["versions"]
    }
    batches = {bench.reported(item)[0].iterations for item in variants.values()}
    return dict(
        Command=f"`{command}`",
        Machine=f"{all_of('device')}; {all_of('machine')}",
        Versions=", ".join(f"{name} {version}" for name, version in versions.items()),
        Runs=f"{len(results)}, seeds {all_of('seed')}; "
        f"{' or '.join(map(str, sorted(batches)))} batches of each task; "
        f"{min(minutes):.1f} to {max(minutes):.1f} minutes each; the last ended "
        f"{max(item['finished'] for item in results)}",
        Diverged=", ".join(
            f"{item['variant']} (seed {item['seed']})"
            for item in results
            if item["diverged"]
        )
        or "none",
    )


def draw(
    section: str, bench: Bench, variants: Variants, grid: Sequence[float], folder: Path
) -> list[Path]:
    """Draw a section's figures.

    Returns:
        The files.
    """
    paths = []
    done: Mapping[str, Sequence[Mapping[str, Any]]] = bench.results(variants)
    if done and section != "transfer":
        paths.append(folder / f"{section}_losses.png")
        draw_losses(done, TASKS, paths[-1])
    tried = bench.tried(variants, grid) if section == "schedule" else {}
    if tried:
        scores = {
            name: {item["lr"]: points(item) for item in items}
            for name, items in tried.items()
        }
        paths.append(folder / f"{section}_rates.png")
        draw_rates(scores, paths[-1])
    return paths
