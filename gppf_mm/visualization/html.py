"""Parts of a self-contained HTML page: no script, nothing from the network."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import numpy as np

# The policy forbids the browser to load anything but what the page holds.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""
_STYLE = """body { margin: 0; background: #fff; color: #1a1a1a;
  font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1rem 1.5rem 4rem; }
h1 { font-size: 1.7rem; margin-bottom: 0.3rem; }
h2 { font-size: 1.3rem; margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
h3 { font-size: 1rem; margin-bottom: 0.3rem; }
p, li { max-width: 46rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.1rem 1rem; }
dt { color: #555; }
dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 1rem 0; }
img { max-width: 100%; height: auto; }
summary { cursor: pointer; color: #0b57a4; }
.tables { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; margin: 0.5rem 0;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: bold; padding: 0.2rem 0; }
th, td { padding: 0.15rem 0.5rem; text-align: right; border: 1px solid #ddd; }
thead th { background: #f3f3f3; }
tbody th { text-align: left; font-weight: normal; }
"""


def page(title: str, sections: Iterable[str]) -> str:
    """Put sections together to a page."""
    return _PAGE.format(title=escape(title), style=_STYLE, body="\n".join(sections))


def section(heading: str, *parts: str) -> str:
    """Return a part of the page with a heading."""
    return "\n".join([f"<section>\n<h2>{escape(heading)}</h2>", *parts, "</section>"])


def paragraph(text: str) -> str:
    """Return a paragraph."""
    return f"<p>{escape(text)}</p>"


def bullets(lines: Iterable[str]) -> str:
    """Return a list."""
    items = "\n".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>\n{items}\n</ul>"


def facts(values: Mapping[str, str]) -> str:
    """Return names and values."""
    items = "\n".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
        for name, value in values.items()
    )
    return f"<dl>\n{items}\n</dl>"


def picture(png: bytes, description: str) -> str:
    """Return a picture that is part of the page.

    Args:
        png: The content of a PNG file.
        description: What it shows, for those who do not see it.
    """
    source = f"data:image/png;base64,{b64encode(png).decode()}"
    return f'<figure><img src="{source}" alt="{escape(description)}"></figure>'


def details(summary: str, *parts: str) -> str:
    """Return parts that unfold on a click."""
    return "\n".join(
        [f"<details>\n<summary>{escape(summary)}</summary>", *parts, "</details>"]
    )


def tables(parts: Iterable[str]) -> str:
    """Return tables side by side, as many as there is room for."""
    return "\n".join(['<div class="tables">', *parts, "</div>"])


def table(
    caption: str, columns: Sequence[str], rows: Mapping[str, Sequence[str]]
) -> str:
    """Return a table with a name for each row and column.

    Args:
        caption: What it shows.
        columns: The columns' names, with that of the rows' names first.
        rows: The cells of each row, by the row's name.
    """
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    lines = (
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, cells in rows.items()
    )
    return "\n".join(
        [
            '<div class="wide"><table>',
            f"<caption>{escape(caption)}</caption>",
            f"<thead><tr>{head}</tr></thead>",
            "<tbody>",
            *lines,
            "</tbody>",
            "</table></div>",
        ]
    )


def numbers(values: np.ndarray, digits: int) -> list[str]:
    """Write numbers with so many decimals; a dash where there is none."""
    return ["-" if np.isnan(v) else f"{v:.{digits}f}" for v in values]
