"""The pool of worker processes, and what happens when one of them dies."""

import atexit
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing import active_children
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

import cv2
from torch.utils.data import DataLoader, Dataset, Sampler

from gppf_mm.utils.signals import held, listen, unheard

# Seconds for a killed process to be gone, and for one that is being killed.
_PATIENCE, _DYING = 5, 1
WorkerInit = Callable[[int], None]


class WorkerPool:
    """Runs a dataset's items in worker processes, in the order of a sampler.

    Args:
        num_workers: Worker processes; with 0 the process of the run makes the items.
        pin_memory: Whether tensors are put into page-locked memory. Defaults to False.
        prefetch_factor: Items that each worker makes in advance. Defaults to None, 2.
        multiprocessing_context: ``'fork'``, ``'spawn'`` or ``'forkserver'``. Defaults
            to None, the start method of the process, which MMEngine sets from
            ``env_cfg.mp_cfg.mp_start_method``.
        timeout: Seconds after which an item that has not come is an error. Defaults to
            0, never.
        init_fns: Are called with the worker's number when it starts. Defaults to none.

    Attributes:
        deaths: Process and exit code, negative for a signal, of each worker that died
            before its time.
    """

    def __init__(
        self,
        num_workers: int,
        pin_memory: bool = False,
        prefetch_factor: int | None = None,
        multiprocessing_context: str | None = None,
        timeout: float = 0,
        init_fns: Sequence[WorkerInit] = (),
    ) -> None:
        self.num_workers = num_workers
        self._options: dict[str, Any] = dict(
            num_workers=num_workers, pin_memory=pin_memory
        )
        if num_workers:
            self._options.update(
                prefetch_factor=prefetch_factor,
                multiprocessing_context=multiprocessing_context,
                timeout=timeout,
                worker_init_fn=partial(
                    _begin, tuple(init_fns), opencv_threads=cv2.getNumThreads()
                ),
            )
        self.deaths: list[tuple[int | None, int]] = []
        self._workers: list[BaseProcess] = []
        self._items: Iterator[Any] | None = None

    def run(self, dataset: Dataset, sampler: Sampler) -> Generator[Any, None, None]:
        """Yield the dataset's items in the sampler's order; end the workers after it.

        Args:
            dataset: Makes an item of what the sampler yields.
            sampler: What items to make.
        """
        loader = DataLoader(
            dataset,
            sampler=sampler,
            batch_size=None,
            collate_fn=_identity,
            **self._options,
        )
        others = active_children()
        # A run that ends anyhow would wait for workers that ignore SIGTERM.
        atexit.register(self._kill)
        try:
            with held():
                self._items = iter(loader)
            self._workers = [item for item in active_children() if item not in others]
            yield from self._items
        except (OSError, EOFError):
            # A connection that breaks may be told of before the worker's death is.
            self._await_death()
            raise
        finally:
            self._end()
            atexit.unregister(self._kill)

    @contextmanager
    def supervise(self) -> Iterator[None]:
        """Tell a worker's death from what it causes in the block.

        Raises:
            RuntimeError: If a worker died; it says which and the remedy.
        """
        try:
            yield
        except Exception as error:
            # PyTorch's own error comes at any place, even while `run` ends.
            self._end()
            if not self.deaths:
                raise
            raise RuntimeError(self._report()) from error

    def _await_death(self) -> None:
        """Wait until a worker is gone, for a second at most."""
        gone = wait([worker.sentinel for worker in self._workers], _DYING)
        for worker in self._workers:
            if worker.sentinel in gone:
                worker.join()

    def _end(self) -> None:
        """End the workers, in peace if they live."""
        self.deaths = self.deaths or _find_deaths(self._workers)
        if not self.deaths:
            # PyTorch has no public way to end them before its iterator is collected.
            end = getattr(self._items, "_shutdown_workers", None)
            if end is not None:
                end()
            self._items = None
        # After a kill its end could wait for ever, for a lock that the worker held.
        # Then the iterator stays.
        self._kill()

    def _kill(self) -> None:
        workers, self._workers = self._workers, []
        if not workers:
            return
        with unheard(signal.SIGCHLD):
            for worker in workers:
                worker.kill()
                worker.join(_PATIENCE)

    def _report(self) -> str:
        process, code = self.deaths[0]
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        who = (
            f"Process {process}, one of the {self.num_workers} workers that load the "
            f"training data, was ended by {name}. "
        )
        after = " Then go on from the last checkpoint with --resume."
        if -code == signal.SIGKILL:
            return (
                f"{who}Most likely memory ran out, and the kernel (`dmesg` tells) or "
                "the scheduler chose this process. Take fewer workers "
                "(`train_cfg.num_workers`), smaller batches or a smaller "
                "`prefetch_factor`, or ask for more memory." + after
            )
        if -code == signal.SIGBUS:
            return (
                f"{who}Most likely shared memory ran out (`df -h /dev/shm`). Enlarge "
                "it, in a container by `--shm-size`, or take fewer workers "
                "(`train_cfg.num_workers`) or smaller batches." + after
            )
        return (
            f"{who}A library that the task's pipeline uses may have crashed: "
            "`train_cfg.num_workers=0` shows where." + after
        )


def _find_deaths(workers: Sequence[BaseProcess]) -> list[tuple[int | None, int]]:
    return [(worker.pid, worker.exitcode) for worker in workers if worker.exitcode]


def _begin(init_fns: Sequence[WorkerInit], worker: int, opencv_threads: int) -> None:
    """Start a worker.

    It ignores what a terminal or a scheduler sends to all processes of a job: the run
    makes its last step with what the workers have, and ends them.
    """
    listen(signal.SIG_IGN)
    # A spawned process does not know the number that MMEngine has set.
    cv2.setNumThreads(opencv_threads)
    for init_fn in init_fns:
        init_fn(worker)


def _identity(item: Any) -> Any:
    return item
