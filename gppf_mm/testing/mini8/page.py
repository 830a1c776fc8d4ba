"""Results as tables, in a Markdown page and in the terminal."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .stability import diverged_tasks, mean_noise
from .table import Metrics, Value, better_of, by_task, delta_m, gains, wins
from .tasks import TASKS
from .transfer import FRACTION_MARK, HELDOUT
from .tuning import points
from .variants import SINGLE, STRONG

Results = Mapping[str, Sequence[Metrics]]
Row = Sequence[str]


def main_rows(results: Results, lrs: Mapping[str, float]) -> list[Row]:
    """Return the table of metrics: a row for each variant, the header first.

    Args:
        results: For each variant its metrics, by seed.
        lrs: Its learning rate.
    """
    single = results.get(SINGLE)
    header = ["variant", *TASKS, "mean", "Delta_m %", "lr", "seeds"]
    rows: list[Row] = [header]
    for name, seeds in results.items():
        values = by_task(seeds)
        means = Value.of([sum(item.values()) / len(item) for item in seeds])
        relative = ""
        if single and all(value > 0 for value in _means(single).values()):
            relative = str(Value.of([delta_m(item, _means(single)) for item in seeds]))
        cells = [str(values[task]) for task in TASKS]
        rows.append(
            [name, *cells, str(means), relative, f"{lrs[name]:g}", str(len(seeds))]
        )
    return rows


def gain_rows(results: Results) -> list[Row]:
    """Return the table of gains, in points: over the strong baseline, and the better.

    The second is taken over the strong baseline or the single-task network, whichever
    has the higher mean on the task.

    Args:
        results: For each variant its metrics, by seed.
    """
    strong, single = results.get(STRONG), results.get(SINGLE)
    rows: list[Row] = [["variant", "over", *TASKS, "mean", "ahead", "beyond spread"]]
    if strong is None:
        return rows
    for name, seeds in results.items():
        if name in (STRONG, SINGLE):
            continue
        found = {STRONG: gains(seeds, strong)}
        if single is not None:
            best = better_of(strong, single)
            found["the better of both"] = {
                task: gains(seeds, best[task])[task] for task in TASKS
            }
        for over, values in found.items():
            ahead, clear = wins(values)
            mean = sum(value.mean for value in values.values()) / len(TASKS)
            cells = [_signed(values[task]) for task in TASKS]
            # Either side may have a single seed.
            several = all(value.spread is not None for value in values.values())
            ends = [f"{ahead}/8", f"{clear}/8" if several else ""]
            rows.append([name, over, *cells, f"{mean:+.1f}", *ends])
    return rows


def transfer_rows(results: Results, lrs: Mapping[str, float]) -> list[Row]:
    """Return the table of fine-tuning: a row for each way, a column for each fraction.

    Args:
        results: For each variant, named ``way~fraction``, its metrics by seed.
        lrs: Its learning rate.
    """
    ways = list(dict.fromkeys(name.partition(FRACTION_MARK)[0] for name in results))
    parts = list(dict.fromkeys(name.partition(FRACTION_MARK)[2] for name in results))
    rows: list[Row] = [["from", *parts, "lr", "seeds"]]
    for way in ways:
        names = [f"{way}{FRACTION_MARK}{part}" for part in parts]
        cells = [
            str(Value.of([item[HELDOUT] for item in results[name]]))
            if name in results
            else ""
            for name in names
        ]
        found = [name for name in names if name in results]
        rates = ", ".join(f"{lrs[x]:g}" if x in results else "-" for x in names)
        rows.append([way, *cells, rates, str(min(len(results[x]) for x in found))])
    return rows


def trial_rows(trials: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Row]:
    """Return the table of searches: each variant at each learning rate.

    Args:
        trials: For each variant what its runs wrote.
    """
    rates = sorted({item["lr"] for items in trials.values() for item in items})
    header = ["variant", *(f"{lr:g}" for lr in rates), "loss noise", "tasks diverged"]
    rows: list[Row] = [header]
    for name, items in trials.items():
        by_rate = {item["lr"]: item for item in items}
        cells = []
        for lr in rates:
            value = points(by_rate[lr]) if lr in by_rate else None
            cells.append("" if value is None else _or_diverged(value))
        best = max(items, key=points)
        # Of all tasks at all of its learning rates.
        lost = sum(len(diverged_tasks(item)) for item in items)
        total = f"{lost}/{len(items) * len(TASKS)}"
        rows.append([name, *cells, f"{mean_noise(best):.3f}", total])
    return rows


def _or_diverged(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "diverged"


def markdown(rows: Sequence[Row]) -> str:
    """Write rows, the first of which is the header, as a Markdown table."""
    head, *body = rows
    aligned = ["---", *("---:" for _ in head[1:])]
    lines = [f"| {' | '.join(row)} |" for row in (head, aligned, *body)]
    return "\n".join(lines) + "\n"


def check_places(path: Path | None, sections: Sequence[str], place: str | None) -> None:
    """Require a page that says where tables go, before the runs that fill them.

    Args:
        path: The page, None for none.
        sections: The sections that are to be written.
        place: The name of the two markers between which the only one goes; None for
            those of the sections.

    Raises:
        ValueError: If the page lacks markers, or several sections are to go to one
            place.
    """
    if place and len(sections) > 1:
        raise ValueError(
            f"`--place` is {place!r}, one place, and `--only` names {len(sections)} "
            "sections. Name one, or leave `--place` out."
        )
    if path is not None:
        for section in sections:
            _around(path, place or section)


def write_section(path: Path, place: str, text: str) -> None:
    """Put a section's tables between two markers in a page.

    Args:
        path: The page.
        place: The markers' name.
        text: What to write.

    Raises:
        ValueError: If the page has no such markers.
    """
    before, after = _around(path, place)
    path.write_text(f"{before}\n\n{text}\n{after}")


def _around(path: Path, place: str) -> tuple[str, str]:
    """Return a page up to the one marker, and from the other on."""
    begin, end = f"<!-- mini8: {place} -->", f"<!-- end of mini8: {place} -->"
    page = path.read_text() if path.is_file() else ""
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(
            f"`--table` is {str(path)!r}, which has no lines {begin!r} and {end!r}; "
            "expected a page that says where the table goes, as docs/en/mini8.md."
        )
    return before + begin, end + after


def _means(seeds: Sequence[Metrics]) -> dict[str, float]:
    return {task: value.mean for task, value in by_task(seeds).items()}


def _signed(value: Value) -> str:
    text = str(value)
    return text if text.startswith("-") else f"+{text}"
