"""The library that a task belongs to, and its configs without a trace of another."""

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from gppf_mm.recipes.rewrite import imported_modules

_OURS = "gppf_mm"


def find_scope(cfg: Config, task: str) -> str:
    """Find the registry scope of a task's library.

    Args:
        cfg: A multi-task config.
        task: The task.

    Returns:
        The scope, such as ``'mmdet'``.

    Raises:
        ValueError: If the task's model does not say.
    """
    model = cfg.model.tasks[task]
    # Of a lazy config it is a path to import, which begins with the library as well.
    prefix, dot, _ = str(model.get("type", "")).partition(".")
    scope = model.get("_scope_") or (prefix if dot else cfg.get("default_scope"))
    if scope in (None, "mmengine", _OURS):
        raise ValueError(
            f"`model.tasks.{task}` does not say which library it is of: it has no "
            f"`_scope_`, and its type is {model.get('type')!r}. Add, for example, "
            "_scope_='mmdet'."
        )
    return scope


def in_scope(value: Any, scope: str) -> Any:
    """Write a part of a config as a library would, whose scope is the default there.

    ``_scope_`` and prefixes that name this scope are left out. Another library's parts
    keep theirs.

    Args:
        value: A config, or a value in one.
        scope: The default scope where it will stand.

    Returns:
        The config in plain dicts, lists and tuples.

    Examples:
        >>> in_scope(dict(_scope_="mmdet", type="FPN", act=dict(type="mmdet.Swish")),
        ...          "mmdet")
        {'type': 'FPN', 'act': {'type': 'Swish'}}
    """
    return _in_scope(value, scope, scope)


def _in_scope(value: Any, current: str, default: str) -> Any:
    if isinstance(value, Mapping):
        inner = value.get("_scope_") or current
        plain = {
            key: _in_scope(item, inner, default)
            for key, item in value.items()
            if key != "_scope_"
        }
        if inner != current:
            plain["_scope_"] = inner
        kind = plain.get("type")
        if isinstance(kind, str) and inner == default:
            short = kind.removeprefix(f"{default}.")
            # A path to import, which lazy configs have, stays whole.
            plain["type"] = kind if "." in short else short
        return plain
    if isinstance(value, (list, tuple)):
        return type(value)(_in_scope(item, current, default) for item in value)
    return value


def others_imports(custom_imports: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a config's ``custom_imports`` without modules of this package.

    Args:
        custom_imports: What the config has.

    Returns:
        The others; nothing if there are none.
    """
    names = imported_modules(custom_imports or {})
    names = [name for name in names if name.partition(".")[0] != _OURS]
    return {**(custom_imports or {}), "imports": names} if names else {}


def find_ours(value: Any, where: str) -> str | None:
    """Find what a stock library could not build: a part of this package.

    Args:
        value: A config, or a value in one.
        where: Its key.

    Returns:
        The key and the value found, for a message, or None.
    """
    if isinstance(value, Mapping):
        inner = ((item, f"{where}.{key}") for key, item in value.items())
    elif isinstance(value, (list, tuple)):
        inner = ((item, f"{where}.{index}") for index, item in enumerate(value))
    elif isinstance(value, type):
        return find_ours(value.__module__, where)
    else:
        named = isinstance(value, str) and value.partition(".")[0] == _OURS
        return f"`{where}` is {value!r}" if named else None
    found = (find_ours(item, key) for item, key in inner)
    return next((item for item in found if item), None)
