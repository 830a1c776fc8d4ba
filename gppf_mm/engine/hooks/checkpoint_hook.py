"""MMEngine's checkpoint hook, which loses nothing when it cannot finish."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook as StockCheckpointHook
from mmengine.runner import Runner

from gppf_mm.registry import HOOKS

from .scores import known_scores


@HOOKS.register_module()
class CheckpointHook(StockCheckpointHook):
    """Removes an outdated checkpoint after the new one is whole, not before.

    Under the default scope ``gppf_mm`` it is what ``type='CheckpointHook'`` names. A
    run that is killed while it saves, or whose disk is full, keeps ``max_keep_ckpts``
    whole checkpoints and the best one, where the stock hook has one less. A task that
    reports nothing at a validation has no best checkpoint there, and ``save_best =
    'auto'`` waits for the first task. Arguments are the stock hook's.
    """

    keep_ckpt_ids: deque[int]
    max_keep_ckpts: int

    def before_train(self, runner: Runner) -> None:
        """Warn of checkpoints that would lack gradients; see the stock hook."""
        super().before_train(runner)
        counts = runner.optim_wrapper._accumulative_counts
        for key, interval in self._intervals(runner):
            if interval > 0 and interval % counts:
                runner.logger.warning(
                    f"A checkpoint every {interval} iterations (`{key}`) comes between "
                    f"two optimizer steps of {counts} "
                    "(`optim_wrapper.accumulative_counts`) and lacks the gradients "
                    "that wait for more: a run that is resumed from it ends with other "
                    "weights. Choose a multiple."
                )

    def _intervals(self, runner: Runner) -> list[tuple[str, int]]:
        """Return how often a checkpoint to resume from is saved, by config key."""
        found = []
        if not self.by_epoch:
            found.append(("default_hooks.checkpoint.interval", self.interval))
        # A checkpoint is written with the best one, to note which that is.
        if self.save_best and runner.val_loop is not None:
            intervals = getattr(runner.train_loop, "dynamic_intervals", [])
            for index, interval in enumerate(intervals):
                key = "dynamic_intervals" if index else "val_interval"
                found.append((f"train_cfg.{key}", interval))
        return found

    def _save_best_checkpoint(self, runner: Runner, metrics: Mapping[str, Any]) -> None:
        """Save a checkpoint if it is the best, and remove the best before it."""
        if not self.save_best:
            return
        evaluator = getattr(runner.val_loop, "evaluator", None)
        tasks = getattr(evaluator, "evaluators", ())
        metrics = known_scores(self.key_indicators, metrics, tasks)
        if not metrics:
            return
        # The stock hook would remove first what it knows of.
        before, self._best = self._best, {}
        super()._save_best_checkpoint(runner, metrics)
        saved = self._best
        self._best = {**before, **saved}
        for path in (before[key] for key in saved if key in before):
            if path not in self._best.values():
                self._remove(path)
                runner.logger.info(f"The previous best checkpoint {path} is removed")

    @property
    def _best(self) -> dict[str, str]:
        """The best checkpoint by each metric that has one."""
        paths = getattr(self, "best_ckpt_path_dict", {})
        if len(self.key_indicators) == 1:  # Its name may be 'auto' as yet.
            paths = dict(metric=self.best_ckpt_path)
        return {key: path for key, path in paths.items() if path}

    @_best.setter
    def _best(self, paths: Mapping[str, str]) -> None:
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = paths.get("metric")
        else:
            self.best_ckpt_path_dict = {
                key: paths.get(key) for key in self.key_indicators
            }

    def _remove(self, path: str) -> None:
        """Remove a checkpoint that may be a file, a folder of shards, or gone."""
        if is_main_process() and self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif is_main_process() and self.file_backend.isdir(path):
            self.file_backend.rmtree(path)

    def _save_checkpoint_with_step(
        self, runner: Runner, step: int, meta: dict[str, Any]
    ) -> None:
        keep = self.max_keep_ckpts
        if keep <= 0:
            super()._save_checkpoint_with_step(runner, step, meta)
            return
        self.max_keep_ckpts = keep + 1
        kept = deque(self.keep_ckpt_ids, keep + 1)
        self.keep_ckpt_ids = kept
        try:
            super()._save_checkpoint_with_step(runner, step, meta)
        finally:
            self.max_keep_ckpts = keep
        while len(kept) > keep:
            outdated = self.filename_tmpl.format(kept.popleft())
            self._remove(self.file_backend.join_path(self.out_dir, outdated))
        runner.message_hub.update_info("keep_ckpt_ids", list(kept))
