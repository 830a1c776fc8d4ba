import json
from pathlib import Path

import numpy as np
import pytest

from gppf_mm.analysis import RouteFile, Routes, read_history
from tests.some_routes import random_routes


def write(path: Path, iterations: list[int], resumed_at: int = 0) -> None:
    file = RouteFile(path)
    file.start(random_routes(), resumed_at)
    for iteration in iterations:
        file.append(random_routes(iteration), iteration)


def test_what_is_read_is_what_was_written(tmp_path: Path):
    write(tmp_path / "routes.jsonl", [0, 5, 10])
    history = read_history(tmp_path / "routes.jsonl")
    assert history.iterations == [0, 5, 10]
    for iteration, found in zip(history.iterations, history.routes, strict=True):
        expected = random_routes(iteration)
        assert (found.groups, found.stages, found.units) == (
            expected.groups,
            expected.stages,
            expected.units,
        )
        for task, table in expected.weights.items():
            np.testing.assert_allclose(found.weights[task], table, atol=1e-5)


@pytest.mark.parametrize("noted", [[0, 5, 10, 15], [0, 5, 10], [0, 5]])
def test_a_resumed_file_is_that_of_the_uninterrupted_run(tmp_path: Path, noted: list):
    """Saved at 10, killed later, or killed before the file knew of it."""
    write(tmp_path / "whole", [0, 5, 10, 15, 20])
    write(tmp_path / "cut", noted)
    with (tmp_path / "cut").open("a") as file:
        file.write('{"iter": 15, "weights": {"a": [[0.')
    write(tmp_path / "cut", [*([] if 10 in noted else [10]), 15, 20], resumed_at=10)
    assert (tmp_path / "cut").read_text() == (tmp_path / "whole").read_text()


def test_a_new_run_begins_the_file_anew(tmp_path: Path):
    write(tmp_path / "routes.jsonl", [0, 5])
    write(tmp_path / "routes.jsonl", [0, 3])
    assert read_history(tmp_path / "routes.jsonl").iterations == [0, 3]


def test_a_file_of_another_model_is_not_continued(tmp_path: Path):
    path = tmp_path / "routes.jsonl"
    write(path, [0, 5])
    other = Routes(("q",), ("q",), (2,), {"a": np.array([[1.0, 0.0]])})
    RouteFile(path).start(other, 5)
    RouteFile(path).append(other, 10)
    found = read_history(path)
    assert found.iterations == [10]
    assert found.routes[0].groups == ("q",)


def test_files_are_json_without_nan(tmp_path: Path):
    write(tmp_path / "routes.jsonl", [0])

    def refuse(text: str) -> None:
        raise AssertionError(text)

    for line in (tmp_path / "routes.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=refuse)


def test_no_routes_are_an_error_that_names_the_file(tmp_path: Path):
    path = tmp_path / "routes.jsonl"
    with pytest.raises(FileNotFoundError, match=r"routes\.jsonl.*RoutingHook"):
        read_history(path)
    path.write_text('{"iter": 0}\n')
    with pytest.raises(ValueError, match=r"routes\.jsonl' holds no routes"):
        read_history(path)
