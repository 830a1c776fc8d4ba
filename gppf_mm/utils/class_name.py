"""The name of a config's type."""

from typing import Any


def class_name(kind: Any) -> str:
    """Return a type's name without its library.

    Args:
        kind: The ``type`` of a config: a name, or the class in a lazy-import config.

    Examples:
        >>> class_name("mmdet.FPN"), class_name(dict)
        ('FPN', 'dict')
    """
    return str(getattr(kind, "__name__", kind)).rpartition(".")[2]
