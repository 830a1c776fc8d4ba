import cv2
import numpy as np
import pytest

from gppf_mm.analysis import RouteHistory, Routes, affinity, read_routes
from gppf_mm.visualization import (
    affinity_map,
    movement_curves,
    movement_map,
    routing_map,
    to_array,
    to_png,
    usage_map,
)
from tests.some_routes import random_routes
from tests.stand_ins import build_gppf


def texts(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_map_shows_inactive_units_in_grey():
    """One unit of four is active in each task: three quarters of the cells are grey."""
    routes = dict(det=[0], seg=[1], cls=[2])
    model = build_gppf(dict(type="FixedRouter", routes=routes))
    picture = to_array(routing_map(read_routes(model)))
    yellow = cv2.inRange(picture, (253, 231, 36), (253, 231, 37)).sum()
    grey = cv2.inRange(picture, (224, 224, 224), (225, 225, 225)).sum()
    assert grey / yellow == pytest.approx(3, rel=0.12)


def test_map_has_the_weight_of_every_active_unit_and_no_other():
    routes = random_routes()
    numbers = [text for text in texts(routing_map(routes)) if text]
    expected = [
        f"{weight:.2f}"
        for table in routes.weights.values()
        for weight in table.ravel()
        if weight > 0
    ]
    assert numbers == expected


def test_affinity_map_has_every_pair():
    found = texts(affinity_map(random_routes()))[:9]
    expected = affinity(random_routes()).ravel()
    assert [float(text) for text in found] == pytest.approx(expected, abs=0.005)


def wide(tasks: int, groups: int, units: int) -> Routes:
    generator = np.random.default_rng(0)
    names = tuple(f"backbone.layer{i // 3}.{i % 3}" for i in range(groups))
    stages = tuple(name.rpartition(".")[0] for name in names)
    weights = {
        f"a-long-task-name-{index}": generator.dirichlet(np.ones(units), groups)
        for index in range(tasks)
    }
    return Routes(names, stages, (units,) * groups, weights)


@pytest.mark.parametrize("shape", [(8, 10, 4), (1, 1, 1), (9, 26, 16)])
def test_no_heading_covers_another_or_is_cut_off(shape: tuple[int, int, int]):
    routes = wide(*shape)
    figures = [routing_map(routes), affinity_map(routes), usage_map(routes)]
    if shape == (8, 10, 4):
        history = RouteHistory([0, 9000, 90000], [routes] * 3)
        figures += [movement_curves(history), movement_map(history)]
    for figure in figures:
        height, width = to_array(figure).shape[:2]
        assert width <= 2000
        titles = [axes.title for axes in figure.axes if axes.title.get_text()]
        extents = [title.get_window_extent() for title in titles]
        for extent in extents:
            assert extent.x0 >= 0
            assert extent.x1 <= width
            assert extent.y1 <= height
        for index, first in enumerate(extents):
            assert not any(first.overlaps(other) for other in extents[index + 1 :])


def test_png_is_the_same_picture():
    figure = usage_map(random_routes())
    content = np.frombuffer(to_png(figure), dtype=np.uint8)
    decoded = cv2.imdecode(content, cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(decoded, to_array(figure))
