"""The figures as a table in a Markdown page."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from .figure import Figure
from .timing import milliseconds

_BEGIN = "<!-- table: benchmark_simt.py -->"
_END = "<!-- end of table -->"


def write_page(path: Path, figures: Iterable[Figure], facts: Mapping[str, str]) -> None:
    """Put the table between the two markers of a page, in place of the last one.

    Args:
        path: The page.
        figures: The figures.
        facts: How they were measured, by what it is.

    Raises:
        ValueError: If the page has no markers.
    """
    text = path.read_text() if path.is_file() else ""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(
            f"`--table` is {str(path)!r}, which has no lines {_BEGIN!r} and {_END!r}; "
            "expected a page that says where the table goes, as docs/en/benchmark.md."
        )
    path.write_text(f"{before}{begin}\n\n{table(figures, facts)}\n{end}{after}")


def table(figures: Iterable[Figure], facts: Mapping[str, str]) -> str:
    """Write the figures as a Markdown table, after the facts."""
    lines = [f"- {name}: {value}" for name, value in facts.items()]
    lines += [
        "",
        "| key | what | figure | quartiles | goal | result | sides | |",
        "|---|---|---:|---:|---:|---|---|---|",
    ]
    for figure in figures:
        sides = ", ".join(f"{name} {value}" for name, value in figure.sides.items())
        cells = [
            f"`{figure.key}`",
            figure.what,
            *numbers(figure),
            figure.result,
            sides,
            figure.note,
        ]
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def numbers(figure: Figure) -> tuple[str, str, str]:
    """Write a figure, its quartiles and its goal; below a second in milliseconds."""
    unit = f" {figure.unit}" if figure.unit else ""
    value = "-" if figure.value is None else f"{figure.value:.2f}{unit}"
    if figure.unit == "s" and figure.value is not None and figure.value < 1:
        value = milliseconds(figure.value)
    spread = " to ".join(f"{part:.2f}" for part in figure.spread or ())
    goal = figure.goal
    return value, spread, f"{goal.relation} {goal.bound:.2f}{unit}" if goal else ""
