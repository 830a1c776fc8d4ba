import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from multiprocessing import active_children

import pytest
import torch
from torch.utils.data import Dataset

from gppf_mm.datasets import SIMTDataLoader
from gppf_mm.datasets.pool import WorkerPool
from tests.runs import REPO
from tests.test_datasets.noisy import NoisyDataset, noisy_loader

# Longer than PyTorch's five seconds between two looks at its workers.
PATIENCE = 30


def simt_loader(workers: int, **options: object) -> SIMTDataLoader:
    loaders = {"a": noisy_loader(10, 3), "b": noisy_loader(7, 2)}
    return SIMTDataLoader(loaders, workers, **options)


def test_spawned_workers_make_what_the_run_makes():
    spawned = simt_loader(1, multiprocessing_context="spawn", prefetch_factor=1)
    with closing(spawned.iterate(3, 0)) as batches:
        found = list(islice(batches, 4))
    with closing(simt_loader(0).iterate(3, 0)) as batches:
        assert found == list(islice(batches, 4))


def run(loader: SIMTDataLoader, act: Callable[[int], None], steps: int = 10**6) -> None:
    """Step through batches as the training loop does, with an act after each."""
    with (
        loader.pool.supervise(),
        closing(loader.iterate(0, 0)) as batches,
    ):
        began = time.monotonic()
        for step, _ in enumerate(islice(batches, steps)):
            assert time.monotonic() - began < PATIENCE
            act(step)


@pytest.mark.parametrize("when", [0, 1, 5])
def test_a_killed_worker_ends_the_run_with_the_likely_cause(when: int):
    victims = []

    def kill(step: int) -> None:
        if step == when:
            victims.append(active_children()[0].pid)
            os.kill(victims[0], signal.SIGKILL)

    message = r"one of the 2 workers .* was ended by SIGKILL\. Most likely memory"
    with pytest.raises(RuntimeError, match=message) as caught:
        run(simt_loader(2), kill)
    assert f"Process {victims[0]}," in str(caught.value)
    assert "train_cfg.num_workers" in str(caught.value)
    assert not active_children()


class Crashing(NoisyDataset):
    """Its library ends the process that loads sample 5."""

    def __getitem__(self, index: int) -> dict:
        if index == 5:
            os._exit(3)
        return super().__getitem__(index)


def test_a_crashed_worker_is_told_from_a_killed_one():
    stock = noisy_loader(10, 5)
    stock.dataset.__class__ = Crashing
    loader = SIMTDataLoader({"a": stock}, 1)
    with pytest.raises(RuntimeError, match=r"ended by exit code 3.*num_workers=0"):
        run(loader, lambda step: None, steps=3)


class Cut:
    """An item that cannot be received, for its worker is about to die."""

    def __reduce__(self):
        return _cut, (os.getpid(),)


def _cut(worker: int) -> None:
    threading.Timer(0.3, os.kill, (worker, signal.SIGKILL)).start()
    raise ConnectionResetError("reset by peer")


class Cuts(Dataset):
    def __getitem__(self, index: int) -> Cut:
        return Cut()


def test_a_connection_that_breaks_before_the_worker_is_gone():
    """What was cut off in the middle of an item comes as another error."""
    pool = WorkerPool(1)
    message = r"one of the 1 workers .* was ended by SIGKILL\. Most likely memory"
    with pytest.raises(RuntimeError, match=message), pool.supervise():
        next(pool.run(Cuts(), range(9)))


def test_an_error_of_the_run_stays_what_it_is_and_ends_the_workers():
    def fail(step: int) -> None:
        raise ValueError("of the step")

    with pytest.raises(ValueError, match="of the step"):
        run(simt_loader(2), fail)
    assert not active_children()


def test_a_process_with_an_unfinished_iterator_ends():
    """Workers ignore SIGTERM, by which Python ends what children are left."""
    code = (
        "from tests.test_datasets.test_pool import simt_loader\n"
        "batches = simt_loader(2).iterate(0, 0)\n"
        "next(batches)\n"
        "raise ValueError('of the step')\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 1
    assert process.stderr.strip().endswith("ValueError: of the step")


def test_init_functions_of_the_stock_loaders_run_in_the_workers(tmp_path):
    stock = noisy_loader(10, 3)
    stock.worker_init_fn = lambda worker: (tmp_path / str(worker)).touch()
    with closing(SIMTDataLoader({"a": stock}, 2).iterate(0, 0)) as batches:
        list(islice(batches, 4))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="pins for a GPU alone")
def test_pinned_batches_are_the_batches():
    with closing(simt_loader(1, pin_memory=True).iterate(0, 0)) as pinned:
        found = list(islice(pinned, 3))
    with closing(simt_loader(0).iterate(0, 0)) as batches:
        assert found == list(islice(batches, 3))
