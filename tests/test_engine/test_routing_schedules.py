"""Schedules that end after the run."""

from pathlib import Path

import pytest
from mmengine.registry import RUNNERS

from gppf_mm.engine.runner.routing_schedules import late_schedules, restarted_schedules
from gppf_mm.models.origins import StepOrigins
from tests.runs import make_tiny_toy, tiny_config
from tests.tiny_tasks import HARD, NAMES, build_tiny

ITERS = 20


def warning(**router: object) -> str | None:
    router.setdefault("type", "TopKRouter")
    router.setdefault("k", 2)
    return late_schedules(build_tiny(router), ITERS)


@pytest.mark.parametrize(
    ("router", "named"),
    [
        (dict(k=[(0, 4), (45, 3)]), ["router.k` at iteration 45"]),
        # A number that changes when the run is over never changes.
        (dict(k=[(0, 4), (ITERS, 3)]), [f"router.k` at iteration {ITERS}"]),
        (dict(freeze_at=ITERS), [f"router.freeze_at` at iteration {ITERS}"]),
        (dict(temperature=[(0, 4), (21, 1)]), ["router.temperature` at iteration 21"]),
        (
            dict(noise=[(0, 1), (30, 0)], freeze_at=40),
            ["router.noise` at iteration 30", "router.freeze_at` at iteration 40"],
        ),
        (
            dict(type="GumbelTopKRouter", anneal_iters=50),
            ["router.anneal_iters` at iteration 50, and"],
        ),
    ],
)
def test_what_comes_after_the_run_is_named(router: dict, named: list[str]) -> None:
    found = warning(**router)
    assert found is not None
    assert f"`train_cfg.max_iters` is {ITERS}." in found
    assert all(f"`model.lego.{text}" in found for text in named)
    assert "temperature" not in found or "temperature" in router


@pytest.mark.parametrize(
    "router",
    [
        {},
        dict(k=[(0, 4), (ITERS - 1, 3)], freeze_at=ITERS - 1),
        dict(temperature=[(0, 4), (ITERS, 1)]),
        dict(type="GumbelTopKRouter", anneal_iters=ITERS),
    ],
)
def test_what_ends_with_the_run_is_silent(router: dict) -> None:
    assert warning(**router) is None


def weighting(end: int, interpolation: str) -> dict:
    points = dict(one=1.0, two=[(0, 0.0), (end, 1.0)], three=1.0)
    return dict(type="ScheduledWeighting", points=points, interpolation=interpolation)


@pytest.mark.parametrize(
    ("end", "interpolation", "late"),
    [
        (ITERS, "linear", False),
        (ITERS + 1, "linear", True),
        (ITERS - 1, "step", False),
        (ITERS, "step", True),
    ],
)
def test_weights_of_tasks_that_come_after_the_run_are_named(
    end: int, interpolation: str, late: bool
) -> None:
    model = build_tiny(HARD, num_units=1, weighting=weighting(end, interpolation))
    found = late_schedules(model, ITERS)
    assert (found is not None) == late
    assert (
        found is None or f": `model.weighting.points.two` at iteration {end}," in found
    )


@pytest.mark.parametrize(("end", "late"), [(ITERS, False), (45, True)])
def test_weights_of_regularizers_that_come_after_the_run_are_named(
    end: int, late: bool
) -> None:
    """They follow the run's own iterations, wherever the routes are."""
    regularizers = [
        dict(type="BalanceLoss", weight=0.1),
        dict(type="EntropyLoss", weight=[(0, 0.0), (end, 0.1)]),
    ]
    router = dict(type="TopKRouter", k=[(0, 4), (10, 3)])
    model = build_tiny(router, lego=dict(regularizers=regularizers))
    origins = model.network.origins = StepOrigins(NAMES)
    for task in NAMES:
        origins.set(task, 40)
    found = late_schedules(model, ITERS)
    named = f": `model.lego.regularizers.EntropyLoss.weight` at iteration {end}, and "
    assert (found is not None) == late
    assert found is None or f"{named}`train_cfg.max_iters` is {ITERS}." in found


def test_routers_without_schedules_are_silent() -> None:
    assert late_schedules(build_tiny(HARD, num_units=1), ITERS) is None


def test_a_task_that_was_trained_before_goes_on_from_there() -> None:
    model = build_tiny(dict(type="TopKRouter", k=[(0, 4), (45, 3)]))
    origins = model.network.origins = StepOrigins(NAMES, kept=NAMES[:1])
    origins.set("two", 40)
    # The first task stands still, as it shall; the third begins.
    assert "is 20. " in (late_schedules(model, ITERS) or "")
    origins.set("three", 22)
    assert "is 20 (the routes come to 42)" in (late_schedules(model, ITERS) or "")
    origins.set("three", 26)
    assert late_schedules(model, ITERS) is None


@pytest.mark.parametrize(
    ("router", "step", "named"),
    [
        (dict(k=[(0, 4), (5, 3)]), 8, "at iteration 8, and `model.lego.router.k` will"),
        (dict(freeze_at=9), 8, "`model.lego.router.freeze_at` will begin"),
        (dict(type="GumbelTopKRouter", anneal_iters=5), 3, "router.anneal_iters` will"),
        (dict(k=[(0, 4), (5, 3)]), 0, None),
        ({}, 8, None),
    ],
)
def test_schedules_that_begin_again_are_named(
    router: dict, step: int, named: str | None
) -> None:
    model = build_tiny(dict(type="TopKRouter", k=2) | router)
    model.network.set_step(step)
    found = restarted_schedules(model, "run.pth")
    assert (found is None) == (named is None)
    assert (named or "") in (found or "")
    assert found is None or "transfer=dict(checkpoint='run.pth')" in found


def logged(work_dir: Path, max_iters: int, **options: object) -> str:
    """Train, and return the log."""
    cfg = tiny_config(work_dir, {"train_cfg.max_iters": max_iters, **options})
    for key in ("val_cfg", "val_dataloader", "val_evaluator"):
        cfg[key] = None
    cfg.experiment_name = f"routing_schedules_{work_dir.name}_{max_iters}"
    cfg.model.lego.router.freeze_at = 45
    runner = RUNNERS.build(cfg)
    runner.train()
    (log,) = Path(runner.log_dir).glob("*.log")
    return log.read_text()


def test_a_run_says_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make_tiny_toy(tmp_path))
    late, again = "freeze_at` at iteration 45", "will begin at 0 again"
    found = logged(tmp_path / "first", 2)
    assert (found.count(late), found.count(again)) == (1, 0)
    file = str(tmp_path / "first/iter_2.pth")
    found = logged(tmp_path / "second", 1, load_from=file)
    assert (found.count(late), found.count(again)) == (1, 1)
    found = logged(tmp_path / "first", 3, resume=True)
    assert (found.count(late), found.count(again)) == (1, 0)
