"""How a stage of a check ends early."""

from collections.abc import Iterator
from contextlib import contextmanager


class Skip(Exception):  # noqa: N818
    """A recipe that cannot be judged; the message says why."""


class StageError(Exception):
    """A stage that failed; the message is its name and the cause says why."""


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Name the stage in which an error occurs.

    Args:
        name: The stage.

    Raises:
        Skip: As it was raised inside.
        StageError: From any other error.
    """
    try:
        yield
    except (Skip, StageError):
        raise
    except Exception as error:
        raise StageError(name) from error
