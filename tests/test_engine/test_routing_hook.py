import json
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmengine.runner import load_checkpoint

from gppf_mm.analysis import ROUTE_FILE, read_history, read_routes
from gppf_mm.engine.hooks import RoutingHook
from gppf_mm.engine.runner import SIMTRunner
from gppf_mm.registry import MODELS
from tests.runs import make_tiny_toy, tiny_config
from tests.stand_ins import build_gppf, task_configs

ITERATIONS = 6
OPTIONS = {
    "train_cfg.max_iters": ITERATIONS,
    "val_cfg": None,
    "val_dataloader": None,
    "val_evaluator": None,
    "default_hooks.checkpoint.save_best": None,
    "default_hooks.routing.interval": 2,
    "model.lego.router": dict(type="GumbelTopKRouter", k=2, anneal_iters=4),
}


def train(work_dir: Path, **options) -> SIMTRunner:
    cfg = tiny_config(work_dir, {**OPTIONS, **options})
    cfg.experiment_name = f"routing_{work_dir.name}_{len(list(work_dir.glob('*')))}"
    runner = SIMTRunner.from_cfg(cfg)
    runner.train()
    return runner


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_toy(tmp_path_factory.mktemp("routing"))


@pytest.fixture(autouse=True)
def _in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


@pytest.fixture(scope="module")
def whole(folder: Path) -> SIMTRunner:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        backends = [dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")]
        options = {
            "default_hooks.routing.draw_interval": 4,
            "visualizer.vis_backends": backends,
        }
        return train(folder / "whole", **options)


def test_notes_are_the_routes_of_the_checkpoints(whole: SIMTRunner):
    history = read_history(Path(whole.work_dir, ROUTE_FILE))
    assert list(history.iterations) == [0, 2, 4, 6]
    model = whole.model
    for iteration, noted in zip(
        history.iterations[2:], history.routes[2:], strict=True
    ):
        load_checkpoint(model, f"{whole.work_dir}/iter_{iteration}.pth")
        found = read_routes(model)
        for task, table in found.weights.items():
            np.testing.assert_allclose(noted.weights[task], table, atol=1e-5)
    assert max(history.distances_to_last(task)[0] for task in history.tasks) > 0


def test_a_resumed_run_notes_what_the_uninterrupted_one_noted(
    whole: SIMTRunner, folder: Path
):
    """Killed after iteration 4 had been noted, resumed from the checkpoint of 2."""
    work_dir = folder / "cut"
    train(work_dir, **{"train_cfg.max_iters": 4})
    (work_dir / "iter_4.pth").unlink()
    (work_dir / "last_checkpoint").unlink()
    train(work_dir, resume=True)
    text = (work_dir / ROUTE_FILE).read_text()
    assert text == Path(whole.work_dir, ROUTE_FILE).read_text()


def test_figures_go_to_tensorboard(whole: SIMTRunner):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    whole.visualizer.close()
    events = EventAccumulator(str(Path(whole.log_dir, "vis_data")), {"images": 0})
    events.Reload()
    names = {f"routing/{n}" for n in ("routing_map", "task_affinity", "unit_usage")}
    assert set(events.Tags()["images"]) == names
    for name in names:
        found = events.Images(name)
        assert [event.step for event in found] == [4, 6]
        assert min(found[0].width, found[0].height) > 200
    assert not list(Path(whole.log_dir).rglob("*.png"))


def test_none_is_no_hook(tmp_path: Path):
    """MMEngine takes None for hooks of its own alone."""
    names = ("routing", "visualization", "interrupt", "timer")
    options = {f"default_hooks.{name}": None for name in names}
    runner = SIMTRunner.from_cfg(tiny_config(tmp_path, options))
    kinds = {type(hook).__name__ for hook in runner.hooks}
    assert kinds.isdisjoint({"RoutingHook", "InterruptHook", "IterTimerHook"})
    assert "CheckpointHook" in kinds


def test_a_stock_run_is_refused(tmp_path: Path):
    """A LegoBackbone has a network below the stock model, and one task."""
    stock = task_configs()["cls"]
    lego = dict(num_units=2, router=dict(type="SoftRouter"))
    skeleton = stock["backbone"]
    stock["backbone"] = dict(type="gppf_mm.LegoBackbone", skeleton=skeleton, **lego)
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = MODELS.build(stock)
    runner = SimpleNamespace(iter=0, max_iters=2, work_dir=tmp_path, model=model)
    with pytest.raises(TypeError, match=r"RoutingHook.*ImageClassifier.*a SIMT run"):
        RoutingHook().before_train(runner)


def stand_in(work_dir: Path, max_iters: int) -> SimpleNamespace:
    """Return a runner as far as the hook looks at it."""
    return SimpleNamespace(
        iter=0,
        max_iters=max_iters,
        work_dir=work_dir,
        model=build_gppf(dict(type="SoftRouter")),
        visualizer=SimpleNamespace(_vis_backends={}),
        logger=logging.getLogger("routing"),
    )


@pytest.mark.parametrize(
    ("done", "noted"), [(5, [0, 2, 4, 5]), (4, [0, 2, 4]), (7, [0, 2, 4, 6, 7])]
)
def test_a_run_that_ends_early_has_its_end_noted_once(
    tmp_path: Path, done: int, noted: list[int]
):
    """As EarlyStoppingHook ends it; the last case ends by itself."""
    runner = stand_in(tmp_path, max_iters=7)
    hook = RoutingHook(interval=2)
    hook.before_train(runner)
    for _ in range(done):
        hook.after_train_iter(runner, runner.iter)
        runner.iter += 1
    hook.after_train(runner)
    lines = (tmp_path / ROUTE_FILE).read_text().splitlines()[1:]
    assert [json.loads(line)["iter"] for line in lines] == noted


def test_a_file_that_cannot_be_written_does_not_end_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / ROUTE_FILE).mkdir()
    runner = stand_in(tmp_path, max_iters=2)
    hook = RoutingHook()
    hook.before_train(runner)
    hook.after_train_iter(runner, 0)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(tmp_path) in caplog.text


@pytest.mark.parametrize("value", [-1, 1.5, "10"])
@pytest.mark.parametrize("key", ["interval", "draw_interval"])
def test_an_interval_counts_iterations(key: str, value: object):
    with pytest.raises(ValueError, match=f"`{key}` of RoutingHook is {value!r};"):
        RoutingHook(**{key: value})
