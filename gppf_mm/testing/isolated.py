"""Functions run in processes of their own, with limits of time and memory."""

import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeVar

Job = TypeVar("Job")


@dataclass(frozen=True)
class Limits:
    """Limits of one process.

    Attributes:
        seconds: Wall-clock time.
        gibibytes: Memory for data.
    """

    seconds: float = 120.0
    gibibytes: float = 8.0


class LimitError(Exception):
    """A process that broke a limit or died; the message says how."""


def run_isolated(
    function: Callable[[Job], Any], jobs: Iterable[Job], workers: int, limits: Limits
) -> Iterator[tuple[Job, Any]]:
    """Run a function for each job in a fork of this process.

    A fork starts with everything imported, and what it leaks, leaves behind or
    allocates goes with it.

    Args:
        function: What to run; its return value must be picklable.
        jobs: Its arguments.
        workers: How many processes run at a time.
        limits: The limits of each.

    Yields:
        A job and the function's value, or a `LimitError`, as they come.
    """
    context = multiprocessing.get_context("fork")
    waiting = iter(jobs)
    running: list[tuple[Any, Any, Connection, float]] = []
    exhausted = False
    try:
        while running or not exhausted:
            while len(running) < workers and not exhausted:
                job = next(waiting, _END)
                if job is _END:
                    exhausted = True
                    break
                here, there = context.Pipe(duplex=False)
                process = context.Process(
                    target=_child, args=(function, job, there, limits)
                )
                process.start()
                there.close()
                running.append((job, process, here, time.monotonic() + limits.seconds))
            for item in list(running):
                outcome = _poll(item, limits)
                if outcome is not None:
                    running.remove(item)
                    yield item[0], outcome[0]
            time.sleep(0.02)
    finally:
        for _, process, _, _ in running:
            process.kill()


_END: Any = object()


def _poll(item: tuple[Any, Any, Connection, float], limits: Limits) -> tuple | None:
    """Return a process's outcome in a tuple, or None while it runs."""
    _, process, here, deadline = item
    if here.poll():
        try:
            outcome = here.recv()
        except EOFError:
            process.join()
            outcome = LimitError(_ending(process.exitcode))
    elif time.monotonic() > deadline:
        outcome = LimitError(f"took longer than {limits.seconds:.0f} s")
    else:
        return None
    process.kill()
    process.join()
    here.close()
    return (outcome,)


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"the process was ended by {signal.Signals(-code).name}"
    return f"the process ended with code {code}"


def _child(
    function: Callable[[Job], Any], job: Job, there: Connection, limits: Limits
) -> None:
    bytes_ = int(limits.gibibytes * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (bytes_, bytes_))
    # The libraries are talkative, and the parent prints one line for each outcome.
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    there.send(function(job))
    there.close()
