"""The signals by which a terminal or a scheduler tells a run to stop."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_STOP = (signal.SIGINT, signal.SIGTERM)


def listen(handler: Callable[..., Any] | signal.Handlers) -> None:
    """Handle SIGINT and SIGTERM, where that can be: in the main thread.

    Args:
        handler: What to call or do.
    """
    if threading.current_thread() is threading.main_thread():
        for number in _STOP:
            signal.signal(number, handler)


@contextmanager
def held() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back until the block ends.

    A worker that is started in the block holds them back from its first moment on:
    PyTorch gives it a handler of SIGTERM, which ends it, before it can choose another.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_to_parent() -> None:
    """Let a worker process ignore SIGINT and SIGTERM that do not come from its parent.

    A terminal and a scheduler send them to all processes of a job. The run decides then
    when to end, and ends its workers, with SIGTERM if it has to.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_obey, args=(os.getppid(),), daemon=True).start()


def _obey(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


@contextmanager
def own_signals() -> Iterator[None]:
    """Give SIGINT and SIGTERM back to whom they belonged, however the block ends."""
    before = {number: signal.getsignal(number) for number in _STOP}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def unheard(number: int) -> Iterator[None]:
    """Leave a signal to the system's default in a block.

    Args:
        number: The signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)
