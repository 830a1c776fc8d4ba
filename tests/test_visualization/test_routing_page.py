import io
import json
import os
import re
import subprocess
import sys
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gppf_mm.analysis import RouteHistory, affinity
from gppf_mm.visualization import (
    affinity_map,
    movement_curves,
    movement_map,
    routing_map,
    routing_page,
    to_png,
    usage_map,
)
from tests.some_routes import random_routes

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Reader(HTMLParser):
    """Reads a page, and fails where a tag is not closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.captions: list[str] = []
        self.images: list[dict[str, str]] = []
        self.attributes: list[tuple[str, str]] = []
        self.declaration = ""

    def handle_decl(self, decl: str) -> None:
        self.declaration = decl

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "img":
            self.images.append(dict(attrs))
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1].append(data)
        elif self.open and self.open[-1] == "caption":
            self.captions.append(data)

    def table(self, caption: str) -> list[list[str]]:
        return self.tables[self.captions.index(caption)]


@pytest.fixture(scope="module")
def history() -> RouteHistory:
    return RouteHistory([0, 10, 20], [random_routes(seed) for seed in range(3)])


@pytest.fixture(scope="module")
def html(history: RouteHistory) -> str:
    routes = history.routes[-1]
    figures = dict(
        routing_map=routing_map(routes),
        task_affinity=affinity_map(routes),
        unit_usage=usage_map(routes),
        movement_curves=movement_curves(history),
        movement_map=movement_map(history),
    )
    pictures = {name: to_png(figure) for name, figure in figures.items()}
    about = {"checkpoint": "<work> & dirs/iter_20.pth"}
    return routing_page(routes, history, pictures, about)


@pytest.fixture(scope="module")
def reader(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.declaration == "DOCTYPE html"
    assert not reader.open
    return reader


def test_the_page_asks_for_nothing_outside_itself(html: str, reader: Reader):
    for name, value in reader.attributes:
        if name in ("src", "href", "srcset", "data", "action", "poster"):
            assert value.startswith("data:"), value
    assert "<script" not in html
    rest = re.sub(r"data:image/png;base64,[\w+/=]+", "", html)
    assert not re.search(r"(https?:)?//\w|url\(|@import", rest)
    assert "default-src 'none'" in html


def test_every_picture_decodes_and_is_described(reader: Reader):
    assert len(reader.images) == 5
    for image in reader.images:
        content = image["src"].removeprefix("data:image/png;base64,")
        picture = Image.open(io.BytesIO(b64decode(content, validate=True)))
        picture.load()
        assert min(picture.size) > 200
        assert len(image["alt"]) > 40


def test_what_pictures_show_stands_in_tables(reader: Reader, history: RouteHistory):
    routes = history.routes[-1]
    head, *rows = reader.table("all groups")
    assert head[1:] == list(routes.tasks)
    for row, expected in zip(rows, affinity(routes), strict=True):
        assert [float(cell) for cell in row[1:]] == pytest.approx(expected, abs=0.005)
    for task, weights in routes.weights.items():
        _, *rows = reader.table(task)
        assert [row[0] for row in rows] == list(routes.labels())
        for row, expected in zip(rows, weights, strict=True):
            found = [float("nan") if cell == "-" else float(cell) for cell in row[1:]]
            assert found == pytest.approx(expected, abs=5e-4, nan_ok=True)
    _, *rows = reader.table("How the routes moved")
    for row in rows:
        assert float(row[1]) == pytest.approx(
            history.distances_to_last(row[0])[0], abs=5e-4
        )


def test_text_is_escaped(html: str):
    assert "&lt;work&gt; &amp; dirs" in html


def test_without_a_history_the_page_says_how_to_get_one(history: RouteHistory):
    routes = history.routes[-1]
    png = to_png(usage_map(routes))
    names = ("routing_map", "task_affinity", "unit_usage")
    html = routing_page(routes, None, dict.fromkeys(names, png), {})
    assert "RoutingHook" in html
    assert html.count("<img") == 3


def test_a_single_task_has_no_affinity_to_tell(history: RouteHistory, html: str):
    assert "The mean affinity of two tasks went from" in html
    routes = [moment.select(("a",)) for moment in history.routes]
    names = ("routing_map", "task_affinity", "unit_usage")
    names += ("movement_curves", "movement_map")
    pictures = dict.fromkeys(names, to_png(usage_map(routes[-1])))
    alone = RouteHistory(history.iterations, routes)
    page = routing_page(routes[-1], alone, pictures, {})
    assert "Noted 3 times, at iterations 0 to 20." in page
    assert "nan" not in re.sub(r"base64,[^\"]*", "", page)


def browse(html: str, folder: Path) -> tuple[dict[str, Any], Image.Image]:
    """Open a page in a browser; return what it found, and a picture of it."""
    page, shot = folder / "index.html", folder / "shot.png"
    page.write_text(html, encoding="utf-8")
    # OpenCV brings a Qt of its own, and names it to all.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("QT_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.browse", page, shot],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
    )
    if "ImportError" in done.stderr:
        pytest.skip(f"Qt WebEngine cannot start: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), Image.open(shot).convert("L")


@pytest.mark.slow
def test_a_browser_shows_the_page_and_asks_for_nothing_else(html: str, tmp_path: Path):
    found, picture = browse(html, tmp_path)
    assert found["requests"] == [(tmp_path / "index.html").as_uri()]
    assert not found["complaints"]
    assert "Routing" in found["title"]
    assert found["headings"] == re.findall("<h2>(.*?)</h2>", html)
    # Every picture was decoded, and none is wider than the window.
    assert len(found["images"]) == html.count("<img")
    assert min(found["images"]) > 100
    assert found["overflow"] <= 0
    # A click opens what is folded.
    assert found["folded"]
    assert min(found["folded"]) > 10
    shades = picture.histogram()
    assert shades[255] < 0.97 * picture.width * picture.height


@pytest.mark.slow
def test_the_browser_sees_what_would_leave_the_machine(tmp_path: Path):
    """The test above could not fail if it did not."""
    away = "https://example.org/style.css"
    page = f"<link rel=stylesheet href={away}><img src='data:,x'><script>foo()</script>"
    found, _ = browse(page, tmp_path)
    assert away in found["requests"]
    assert "foo is not defined" in found["complaints"][0]
    assert found["images"] == [0]
