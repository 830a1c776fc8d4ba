"""A run that is told to end does so where a checkpoint holds all of it."""

import signal
from pathlib import Path
from types import SimpleNamespace

import torch
from mmengine.optim import OptimWrapper
from torch import distributed, nn

from gppf_mm.engine.hooks import InterruptHook
from gppf_mm.engine.hooks.interrupt_hook import Interrupted
from tests.ranks import on_ranks


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


def run_told(rank: int) -> tuple[bool, bool]:
    """Tell rank 1 alone; return whether this one ends, and asked by a group apart."""
    groups = []
    reduce = distributed.all_reduce

    def noting(tensor, op, group=None):
        groups.append(group)
        return reduce(tensor, op, group)

    distributed.all_reduce = noting  # In this process alone.
    optim_wrapper = SimpleNamespace(should_update=lambda: True)
    runner = SimpleNamespace(
        optim_wrapper=optim_wrapper, iter=0, hooks=[], logger=Log()
    )
    hook = InterruptHook()
    hook.before_train(runner)
    if rank:
        hook._remember(signal.SIGTERM, None)
    ended = False
    try:
        hook.after_train_iter(runner, 0)
    except Interrupted:
        ended = True
    return ended, not {None, distributed.group.WORLD} & set(groups)


def test_ranks_agree_apart_from_the_default_group(tmp_path: Path):
    """On a GPU that one waits for all that the GPU has been given before."""
    assert on_ranks(run_told, tmp_path) == [(True, True), (True, True)]
