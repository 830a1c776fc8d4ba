from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gppf_mm.testing.mini8.curves import draw_losses, seed_curves
from gppf_mm.testing.mini8.table import Value


def result(losses: list[float]) -> dict:
    return dict(losses=dict(a=[[index, loss] for index, loss in enumerate(losses)]))


def test_a_run_that_ended_early_is_not_stretched_over_the_others():
    falling = [1200.0 - index for index in range(1200)]
    places, values = seed_curves([result(falling), result(falling[:120])], "a")
    assert places[-1] == 120
    assert np.array_equal(values[0], values[1])


def test_a_task_without_losses_has_no_curve():
    places, _ = seed_curves([result([2.0]), dict(losses={})], "a")
    assert not places.size


@pytest.mark.parametrize("ends", [(2.0,), (2.0, 3.0, 7.0)])
def test_the_band_is_the_spread_of_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: tuple[float, ...]
):
    widths = []

    def note(axes: Axes, places, lower, upper, **settings) -> None:
        widths.extend((upper - lower) / 2)

    monkeypatch.setattr(Axes, "fill_between", note)
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, dpi: None)
    draw_losses({"x": [result([end]) for end in ends]}, ["a"], tmp_path / "x.png")
    assert widths == pytest.approx([Value.of(ends).spread or 0.0])
