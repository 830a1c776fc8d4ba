"""Results as tables, in a Markdown page and in the terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from .table import Metrics, Value, better_of, by_task, delta_m, gains, wins
from .variants import SINGLE, STRONG, TASKS

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
    rows = [header]
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
            several = len(seeds) > 1
            ends = [f"{ahead}/8", f"{clear}/8" if several else ""]
            rows.append([name, over, *cells, f"{mean:+.1f}", *ends])
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """Write rows, the first of which is the header, as a Markdown table."""
    head, *body = rows
    aligned = ["---", *("---:" for _ in head[1:])]
    lines = [f"| {' | '.join(row)} |" for row in (head, aligned, *body)]
    return "\n".join(lines) + "\n"


def write_section(path: Path, section: str, text: str) -> None:
    """Put a section's tables between its two markers in a page.

    Args:
        path: The page.
        section: The section.
        text: What to write.

    Raises:
        ValueError: If the page has no markers of the section.
    """
    begin, end = f"<!-- mini8: {section} -->", f"<!-- end of mini8: {section} -->"
    page = path.read_text() if path.is_file() else ""
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(
            f"`--table` is {str(path)!r}, which has no lines {begin!r} and {end!r}; "
            "expected a page that says where the table goes, as docs/en/mini8.md."
        )
    path.write_text(f"{before}{begin}\n\n{text}\n{end}{after}")


def _means(seeds: Sequence[Metrics]) -> dict[str, float]:
    return {task: value.mean for task, value in by_task(seeds).items()}


def _signed(value: Value) -> str:
    text = str(value)
    return text if text.startswith("-") else f"+{text}"
