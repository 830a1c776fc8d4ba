"""Memory, bytes, times and goals are what they are said to be."""

import time
from pathlib import Path

import pytest
import torch

from gppf_mm.testing.benchmark import Figure, Goal, Options, numbers, write_page
from gppf_mm.testing.benchmark.memory import LiveBytes, peak_bytes
from gppf_mm.testing.benchmark.timing import interleave, ratio_figure

QUICK = Options(quick=True)


def test_peak_counts_what_lives_at_once() -> None:
    held = torch.zeros(100)

    def call() -> None:
        first = held + 1
        del first
        second = held * 2
        second.view(10, 10).add_(1)  # No memory of its own.

    assert peak_bytes(call, [held, held.view(10, 10)], QUICK) == 400 + 400


def test_peak_counts_what_the_backward_pass_needs() -> None:
    weight = torch.ones(100, requires_grad=True)
    with LiveBytes([weight]) as counter:
        # `exp` keeps its output; the backward pass adds a gradient to it.
        loss = weight.exp().sum()
        assert counter.live == 400 + 400 + 4
        loss.backward()
        assert counter.peak >= 3 * 400
        del loss
        assert counter.live == 400 + 400


def test_sides_are_timed_in_turns() -> None:
    order = []
    calls = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    times = interleave(calls, QUICK)
    warm_up = 2
    rounds = len(times["a"])
    assert order[warm_up:] == (["a", "b", "b", "a"] * rounds)[: 2 * rounds]


def test_a_ratio_is_the_first_over_the_second() -> None:
    calls = {"slow": lambda: time.sleep(0.02), "fast": lambda: time.sleep(0.002)}
    times = interleave(calls, QUICK)
    assert ratio_figure("key", "", times, None).value > 2
    assert ratio_figure("key", "", times, None, inverse=True).value < 0.5


@pytest.mark.parametrize(
    ("relation", "value", "result"),
    [("<=", 1.004, "reached"), ("<=", 1.006, "missed"), (">=", 0.98, "missed"),
     ("=", 0.996, "reached"), ("=", 1.02, "missed"), ("<=", None, "not measured")],
)  # fmt: skip
def test_a_goal_is_met_or_missed(
    relation: str, value: float | None, result: str
) -> None:
    assert Figure("key", "", value, Goal(relation, 1.0)).result == result


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [(0.0034, "s", "3.40 ms"), (0.25, "s", "250 ms"), (1.5, "s", "1.50 s"),
     (0.06, "ms", "0.06 ms"), (0.5, "MiB", "0.50 MiB"), (0.5, "", "0.50"),
     (None, "s", "-")],
)  # fmt: skip
def test_a_time_below_a_second_is_in_milliseconds(
    value: float | None, unit: str, written: str
) -> None:
    figure = Figure("key", "", value, Goal("<=", 2.0), unit=unit)
    assert numbers(figure) == (written, "", f"<= 2.00 {unit}".strip())


def test_the_table_replaces_the_last_one(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    marks = ("<!-- table: benchmark_simt.py -->", "<!-- end of table -->")
    page.write_text(f"before\n{marks[0]}\nold\n{marks[1]}\nafter\n")
    for value in (1.5, 0.5):
        write_page(page, [Figure("some_key", "it", value, Goal("<=", 1.0))], {})
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert text.count("some_key") == 1
    assert "| 0.50 |" in text
    assert "reached" in text
    assert "old" not in text


def test_a_page_without_a_place_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="says where the table goes"):
        write_page(page, [], {})
    assert page.read_text() == "nothing"
