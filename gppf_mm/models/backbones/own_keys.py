"""Errors of a lego network, by the keys of the config that a lego backbone is in."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

# No part of a parameter's name, nor of a file's.
_KEY = re.compile(
    r"(?<![\w./\\-])(?:model\.)?lego\.(?=(?:num_units|router|placement|norm|init)\b)"
)


@contextmanager
def lego_keys_at(where: str) -> Iterator[None]:
    """Let errors name the keys of ``model.lego`` where the config has them instead.

    Args:
        where: What stands in the place of ``model.lego``.

    Examples:
        >>> with lego_keys_at("backbone"):
        ...     raise ValueError("`model.lego.router.k` is 9; `lego.num_units` is 4.")
        Traceback (most recent call last):
        ...
        ValueError: `backbone.router.k` is 9; `backbone.num_units` is 4.
    """
    try:
        yield
    except (TypeError, ValueError, FileNotFoundError) as error:
        # In place, for the class of an error need not take a text alone.
        error.args = tuple(
            _KEY.sub(f"{where}.", item) if isinstance(item, str) else item
            for item in error.args
        )
        raise
