"""MMEngine's checkpoint hook, which loses nothing when it cannot finish."""

from collections import deque
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook as StockCheckpointHook
from mmengine.runner import Runner

from gppf_mm.registry import HOOKS


@HOOKS.register_module()
class CheckpointHook(StockCheckpointHook):
    """Removes an outdated checkpoint after the new one is whole, not before.

    Under the default scope ``gppf_mm`` it is what ``type='CheckpointHook'`` names. A
    run that is killed while it saves, or whose disk is full, keeps ``max_keep_ckpts``
    whole checkpoints, where the stock hook has one less. Arguments are the stock
    hook's.
    """

    keep_ckpt_ids: deque[int]
    max_keep_ckpts: int

    def before_train(self, runner: Runner) -> None:
        """Warn of checkpoints that would lack gradients; see the stock hook."""
        super().before_train(runner)
        counts = runner.optim_wrapper._accumulative_counts
        if not self.by_epoch and self.interval > 0 and self.interval % counts:
            runner.logger.warning(
                f"A checkpoint every {self.interval} iterations "
                "(`default_hooks.checkpoint.interval`) comes between two optimizer "
                f"steps of {counts} (`optim_wrapper.accumulative_counts`) and lacks "
                "the gradients that wait for more: a run that is resumed from it ends "
                "with other weights. Choose a multiple."
            )

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
            path = self.file_backend.join_path(self.out_dir, outdated)
            if is_main_process() and self.file_backend.isfile(path):
                self.file_backend.remove(path)
            elif is_main_process() and self.file_backend.isdir(path):
                self.file_backend.rmtree(path)  # A sharded checkpoint.
        runner.message_hub.update_info("keep_ckpt_ids", list(kept))
