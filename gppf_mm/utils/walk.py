"""Looking into nested configs."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any


def find_values(cfg: Any, key: str, without: tuple[str, ...] = ()) -> Iterator[Any]:
    """Yield what stands under a key, anywhere in a config.

    Args:
        cfg: A config, or a value in one.
        key: The key.
        without: Keys whose values are not looked into. Defaults to none.

    Examples:
        >>> list(find_values(dict(a=[dict(k=1)], b=dict(k=2)), "k", without=("b",)))
        [1]
    """
    if isinstance(cfg, Mapping):
        for name, value in cfg.items():
            if name in without:
                continue
            if name == key:
                yield value
            yield from find_values(value, key, without)
    elif isinstance(cfg, (list, tuple)):
        for value in cfg:
            yield from find_values(value, key, without)


def rewrite(cfg: Any, change: Callable[[str, Any], Any]) -> Any:
    """Copy a config in plain dicts, with each entry passed through a function.

    Args:
        cfg: A config, or a value in one.
        change: Given a key and its value, returns the new value, or ``DROP``.

    Examples:
        >>> rewrite(dict(a=1, b=[dict(a=2)]), lambda key, v: DROP if key == "a" else v)
        {'b': [{}]}
    """
    if isinstance(cfg, Mapping):
        changed = ((key, change(key, value)) for key, value in cfg.items())
        return {
            key: rewrite(value, change) for key, value in changed if value is not DROP
        }
    if isinstance(cfg, (list, tuple)):
        return type(cfg)(rewrite(value, change) for value in cfg)
    return cfg


DROP = object()
