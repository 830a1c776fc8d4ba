"""Drawing predictions while a run validates or tests."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer

from gppf_mm.engine.runner.building import unwrap
from gppf_mm.registry import HOOKS
from gppf_mm.utils.messages import check_names
from gppf_mm.visualization import (
    build_visualizer,
    draw_sample,
    enlarge,
    load_image,
    stock_visualizer,
)


@HOOKS.register_module()
class MultiTaskVisualizationHook(Hook):
    """Draws each task's predictions with the visualizer of its library.

    Pictures are written to ``<out_dir>/<task>/<name>.png``, the prediction beside the
    ground truth where the visualizer draws both; those of a validation to
    ``<out_dir>/iter_<iteration>``. The config's ``visualizers`` has a stock visualizer
    config for each task; a task without one gets its library's. In a distributed run
    the main process draws its share.

    Args:
        draw: Whether to draw in the test. Defaults to False.
        draw_val: Whether to draw in validation too. Defaults to False.
        out_dir: The folder to write to. Defaults to None, ``vis`` in the run's log
            folder.
        interval: Draw every so many samples of a task. Defaults to 1.
        score_thr: Lowest score of the boxes that are drawn. Defaults to 0.3.
        min_size: Shorter side in pixels to which small images are enlarged before
            drawing. Defaults to 256 (our choice).

    Raises:
        ValueError: If the interval is less than 1.
    """

    priority = "NORMAL"

    def __init__(
        self,
        draw: bool = False,
        draw_val: bool = False,
        out_dir: str | None = None,
        interval: int = 1,
        score_thr: float = 0.3,
        min_size: int = 256,
    ) -> None:
        if interval < 1:
            raise ValueError(
                f"`interval` of MultiTaskVisualizationHook is {interval}; expected "
                "1, every sample, or more."
            )
        self.draw = dict(test=draw, val=draw_val)
        self.out_dir = out_dir
        self.interval = interval
        self.score_thr = score_thr
        self.min_size = min_size
        self._visualizers: dict[str, Visualizer] = {}
        self._seen: Counter[str] = Counter()
        self._names: set[Path] = set()

    def before_run(self, runner: Runner) -> None:
        """Require that visualizers are those of tasks."""
        if found := runner.cfg.get("visualizers"):
            check_names("visualizers", found, unwrap(runner.model).tasks)

    def before_test_epoch(self, runner: Runner) -> None:
        """Prepare to draw the test."""
        self._start(runner, "test")

    def before_val_epoch(self, runner: Runner) -> None:
        """Prepare to draw one validation."""
        self._start(runner, "val")

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Sequence[BaseDataElement]] | None = None,
    ) -> None:
        """Draw a batch of the test."""
        self._draw(runner, "test", data_batch, outputs)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Sequence[BaseDataElement]] | None = None,
    ) -> None:
        """Draw a batch of a validation."""
        self._draw(runner, "val", data_batch, outputs)

    def _start(self, runner: Runner, stage: str) -> None:
        self._seen.clear()
        self._names.clear()
        if not self.draw[stage] or not is_main_process():
            return
        loop = runner.test_loop if stage == "test" else runner.val_loop
        for task, metainfo in loop.dataloader.metainfo().items():
            cfg = (runner.cfg.get("visualizers") or {}).get(task)
            if cfg is None:
                scope = runner.cfg.model.tasks[task].get("_scope_", "mmengine")
                cfg = stock_visualizer(scope)
            name = f"{runner.experiment_name}_{task}"
            self._visualizers[task] = build_visualizer(cfg, name, metainfo)

    def _draw(
        self,
        runner: Runner,
        stage: str,
        data_batch: Mapping[str, Any] | None,
        outputs: Mapping[str, Sequence[BaseDataElement]] | None,
    ) -> None:
        if not self.draw[stage] or not is_main_process():
            return
        folder = Path(self.out_dir or Path(runner.log_dir) / "vis")
        if stage == "val":
            folder /= f"iter_{runner.iter}"
        for task, samples in (outputs or {}).items():
            model = unwrap(runner.model).tasks[task]
            tensors = (data_batch or {})[task]["inputs"]
            for sample, tensor in zip(samples, tensors, strict=True):
                index = self._seen[task]
                self._seen[task] += 1
                if index % self.interval == 0:
                    sample = sample.cpu()
                    image = load_image(sample, tensor, model.data_preprocessor)
                    image, sample = enlarge(image, sample, self.min_size)
                    out_file = self._name(folder / task, sample, index)
                    draw_sample(
                        self._visualizers[task], image, sample, out_file, self.score_thr
                    )

    def _name(self, folder: Path, sample: BaseDataElement, index: int) -> Path:
        """Name a picture like its image; by its folder or place if that is taken."""
        path = Path(sample.get("img_path") or f"{index:06d}")
        out_file = folder / f"{path.stem}.png"
        if out_file in self._names:
            out_file = folder / f"{path.parent.name}_{path.stem}.png"
        if out_file in self._names:
            out_file = folder / f"{path.stem}_{index:06d}.png"
        self._names.add(out_file)
        folder.mkdir(parents=True, exist_ok=True)
        return out_file
