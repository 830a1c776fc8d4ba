"""Ending a run between two steps when it is told to stop."""

import signal
from types import FrameType
from typing import Any

from mmengine.dist import is_distributed
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from gppf_mm.engine.distributed.control import ControlGroup
from gppf_mm.registry import HOOKS
from gppf_mm.utils.signals import listen


class Interrupted(KeyboardInterrupt):
    """A run that ended early because it was told to.

    Attributes:
        signum: The signal that said so.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


@HOOKS.register_module()
class InterruptHook(Hook):
    """Saves a checkpoint and ends the run after SIGINT or SIGTERM.

    Ctrl-C, ``scancel`` and a preempted job let the present optimizer step end, all of
    its iterations if gradients accumulate. Then the run's
    ``CheckpointHook`` saves, and training ends with `Interrupted`; resumed, it goes on
    as if nothing had happened. In a distributed run it is enough that one rank is told.
    A second signal ends the run at once, without a checkpoint. A signal that comes
    during validation counts after the next step.
    """

    # After the checkpoint hook, whose file of the same step it would replace.
    priority = "LOWEST"

    def __init__(self) -> None:
        self._signum = 0
        self._control: ControlGroup | None = None

    def before_train(self, runner: Runner) -> None:
        """Start to listen. The runner gives the signals back when training ends."""
        self._signum = 0
        if is_distributed() and self._control is None:
            self._control = ControlGroup()
        listen(self._remember)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """End the run if a rank was told to.

        Raises:
            Interrupted: After the checkpoint has been saved.
        """
        signum = self._agree()
        # Gradients that wait for more are in no checkpoint.
        if not signum or not runner.optim_wrapper.should_update():
            return
        step = runner.iter + 1
        savers = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
        name = signal.Signals(signum).name
        if savers:
            runner.logger.info(f"{name}: saving checkpoint at {step} iterations")
            meta = dict(epoch=runner.epoch, iter=step)
            savers[0]._save_checkpoint_with_step(runner, step, meta=meta)
        else:
            runner.logger.warning(f"{name}: without a CheckpointHook nothing is saved")
        raise Interrupted(signum)

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        if self._signum:
            raise Interrupted(signum)
        self._signum = signum

    def _agree(self) -> int:
        if self._control is None:
            return self._signum
        return self._control.largest(self._signum)
