"""A run that is told to end does so where a checkpoint holds all of it."""

import signal
from types import SimpleNamespace

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from gppf_mm.engine.hooks import InterruptHook
from gppf_mm.engine.hooks.interrupt_hook import Interrupted


class Log(SimpleNamespace):
    def warning(self, message: str) -> None:
        self.message = message


def test_gradients_that_wait_for_more_are_not_lost():
    layer = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    wrapper = OptimWrapper(optimizer, accumulative_counts=3)
    runner = SimpleNamespace(optim_wrapper=wrapper, iter=0, hooks=[], logger=Log())
    hook = InterruptHook()
    ended = []
    for step in range(3):
        wrapper.update_params(layer(torch.ones(1, 2)).sum())
        if step == 0:
            hook._remember(signal.SIGTERM, None)
        try:
            hook.after_train_iter(runner, step)
        except Interrupted:  # A KeyboardInterrupt, which would end the tests.
            ended.append(step)
        runner.iter += 1
    assert ended == [2]
