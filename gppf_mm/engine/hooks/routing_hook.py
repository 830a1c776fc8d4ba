"""Noting the routes while a run trains."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.visualization import LocalVisBackend

from gppf_mm.analysis import ROUTE_FILE, RouteFile, Routes, read_routes
from gppf_mm.engine.runner.building import unwrap
from gppf_mm.models import GPPF
from gppf_mm.registry import HOOKS
from gppf_mm.visualization import affinity_map, routing_map, to_array, usage_map


@HOOKS.register_module()
class RoutingHook(Hook):
    """Notes every task's mixing weights, and draws them for TensorBoard and others.

    The main process writes ``routes.jsonl`` in the work dir: the routes of evaluation,
    without noise, at the start, every ``interval`` iterations and at the end. A resumed
    run continues the file as if it had not stopped. ``tools/analysis_tools/
    routing.py`` draws from it.

    Routing map, task affinity and unit usage go to the visualizer's backends as images;
    not to ``LocalVisBackend``, whose files the tool would only repeat. A file that
    cannot be written does not end the run.

    Args:
        interval: Iterations from one note to the next. Defaults to None, a hundredth of
            the run.
        draw_interval: Iterations from one drawing to the next; 0 for none. Defaults to
            None, a tenth of the run.

    Raises:
        ValueError: If an interval is no number of iterations, or ``interval`` is 0.
    """

    # Before the checkpoint hook: what a checkpoint holds has been noted.
    priority = "NORMAL"

    def __init__(
        self, interval: int | None = None, draw_interval: int | None = None
    ) -> None:
        if interval is not None and not _is_count(interval, 1):
            raise ValueError(
                f"`interval` of RoutingHook is {interval!r}; expected 1, every "
                "iteration, or a larger whole number. To note nothing: "
                "default_hooks.routing=None."
            )
        if draw_interval is not None and not _is_count(draw_interval, 0):
            raise ValueError(
                f"`draw_interval` of RoutingHook is {draw_interval!r}; expected 0, no "
                "drawings, or a larger whole number."
            )
        self.interval = interval
        self.draw_interval = draw_interval
        self._file: RouteFile | None = None
        self._intervals = (1, 0)

    def before_train(self, runner: Runner) -> None:
        """Begin the file, or drop what a resumed run will note again.

        Raises:
            TypeError: If the model is of a single task.
        """
        model = unwrap(runner.model)
        if not isinstance(model, GPPF):
            raise TypeError(
                "The hooks have a RoutingHook, which notes the routes of several "
                f"tasks, and `model` is a {type(model).__name__}; expected a SIMT run, "
                "runner_type='gppf_mm.SIMTRunner' with model=dict(type='gppf_mm.GPPF', "
                "tasks=...). Take the hook out: a LegoBackbone has one task."
            )
        if not is_main_process():
            return
        self._intervals = (
            self.interval or max(1, runner.max_iters // 100),
            max(1, runner.max_iters // 10)
            if self.draw_interval is None
            else self.draw_interval,
        )
        if not _draws(runner):
            self._intervals = (self._intervals[0], 0)
        self._file = RouteFile(Path(runner.work_dir, ROUTE_FILE))
        routes = read_routes(model)
        try:
            self._file.start(routes, runner.iter)
        except OSError as error:
            self._give_up(runner, error)
        if runner.iter == 0:
            self._note(runner, routes, 0)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Note and draw if it is time to."""
        done = runner.iter + 1
        ends = done == runner.max_iters
        self._look(
            runner,
            done,
            [every > 0 and (done % every == 0 or ends) for every in self._intervals],
        )

    def after_train(self, runner: Runner) -> None:
        """Note and draw the end of a run that ``EarlyStoppingHook`` has ended."""
        done = runner.iter
        if done < runner.max_iters:
            wanted = [every > 0 and done % every > 0 for every in self._intervals]
            self._look(runner, done, wanted)

    def _look(self, runner: Runner, done: int, wanted: Sequence[bool]) -> None:
        notes, draws = wanted
        if is_main_process() and (notes or draws):
            routes = read_routes(unwrap(runner.model))
            if notes:
                self._note(runner, routes, done)
            if draws:
                _draw(runner, routes, done)

    def _note(self, runner: Runner, routes: Routes, iteration: int) -> None:
        if self._file is None:
            return
        try:
            self._file.append(routes, iteration)
        except OSError as error:
            self._give_up(runner, error)

    def _give_up(self, runner: Runner, error: OSError) -> None:
        self._file = None
        runner.logger.warning(
            f"The routes cannot be noted in {runner.work_dir} ({error}); the run goes "
            "on without."
        )


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and value >= least


def _draws(runner: Runner) -> bool:
    """Tell whether anybody would look at drawings before the run ends."""
    backends = runner.visualizer._vis_backends.values()
    return any(not isinstance(backend, LocalVisBackend) for backend in backends)


def _draw(runner: Runner, routes: Routes, iteration: int) -> None:
    title = f"Routing map after {iteration} iterations"
    figures = dict(
        routing_map=routing_map(routes, title),
        task_affinity=affinity_map(routes),
        unit_usage=usage_map(routes),
    )
    for backend in runner.visualizer._vis_backends.values():
        if not isinstance(backend, LocalVisBackend):
            for name, figure in figures.items():
                backend.add_image(f"routing/{name}", to_array(figure), iteration)
