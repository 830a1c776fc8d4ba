"""The settings of a router that decide a plan, besides what it has learned."""

import ast
from collections.abc import Iterator, Mapping
from inspect import Parameter, isclass, signature
from typing import Any

from mmengine.config import Config

from gppf_mm.registry import MODELS

# Which plan is drawn in evaluation from the same parameters does not depend on these:
# they set first values, and how a training goes on.
_WITHOUT_EFFECT = (
    "seed",
    "init_std",
    "affinity",
    "initial_routes",
    "noise",
    "freeze_at",
    "gradient",
)

# One number, or several that are none the less one if they are equal: by iteration, by
# stage or by pattern.
_NUMBERS = ("num_units", "router.k", "router.temperature")

# Of what is not the router's own.
_DEFAULTS: dict[str, Any] = {"placement": [], "router.group": "block"}


def read_settings(text: str | None) -> dict[str, Any]:
    """Read what decides a plan from a config's text, running no code.

    Args:
        text: The config, as a checkpoint's ``meta`` has it.

    Returns:
        ``num_units``, ``placement`` and the router's keys as ``router.<key>``, a fixed
        route as ``router.routes.<task>``; empty where the text has no ``model.lego``.
    """
    lego = read_model(text).get("lego")
    return dict(_routing(lego)) if isinstance(lego, dict) else {}


def read_model(text: str | None) -> dict[str, Any]:
    """Read ``model`` from a config's text, running no code; see `read_settings`."""
    try:
        statements = ast.parse(text or "").body
    except (SyntaxError, TypeError):
        return {}
    for statement in statements:
        if isinstance(statement, ast.Assign) and _names(statement) == ["model"]:
            model = _value(statement.value)
            return model if isinstance(model, dict) else {}
    return {}


def settings_of(lego: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides a plan of ``model.lego``; see `read_settings`."""
    return read_settings(Config(dict(model=dict(lego=dict(lego)))).pretty_text)


def first_difference(
    trained: Mapping[str, Any], present: Mapping[str, Any]
) -> tuple[str, Any, Any] | None:
    """Find a setting in which two networks differ.

    A key that one of them leaves out has the router's default there. Fixed routes are
    compared for the tasks of both.

    Args:
        trained: What `read_settings` returned for one.
        present: The same for the other.

    Returns:
        The key and both values, or None.
    """
    # The type first: routers of different types differ in other keys as well.
    for key in dict.fromkeys(["router.type", *trained, *present]):
        in_both = key in trained and key in present
        if key.startswith("router.routes.") and not in_both:
            continue
        values = [_setting(settings, key) for settings in (trained, present)]
        if not _agree(key, *values):
            return key, *values
    return None


def _agree(key: str, one: Any, other: Any) -> bool:
    if key == "router.type":
        # The same router with and without the scope or the module before its name.
        one, other = (str(value).rpartition(".")[2] for value in (one, other))
    if key in _NUMBERS:
        one, other = _number(one), _number(other)
    return one == other


def _number(value: Any) -> Any:
    """Return the one number that a list repeats, alone or in pairs, else the value."""
    if not isinstance(value, list) or not value:
        return value
    numbers = [item[-1] if isinstance(item, list) and item else item for item in value]
    return numbers[0] if numbers.count(numbers[0]) == len(numbers) else value


def _setting(settings: Mapping[str, Any], key: str) -> Any:
    if key in settings:
        return settings[key]
    if key in _DEFAULTS:
        return _DEFAULTS[key]
    kind = settings.get("router.type")
    kind = MODELS.get(kind) if isinstance(kind, str) else None
    own = signature(kind).parameters if isclass(kind) else {}
    found = own.get(key.removeprefix("router."))
    if found is None or found.default is Parameter.empty:
        return None
    return list(found.default) if isinstance(found.default, tuple) else found.default


def _routing(lego: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in ("num_units", "placement"):
        if key in lego:
            yield key, lego[key]
    router = lego.get("router")
    for key, value in router.items() if isinstance(router, dict) else ():
        if key == "routes" and isinstance(value, dict):
            for task, units in value.items():
                yield f"router.routes.{task}", units
        elif key not in _WITHOUT_EFFECT:
            yield f"router.{key}", value


def _names(statement: ast.Assign) -> list[str]:
    return [ast.unparse(target) for target in statement.targets]


def _value(node: ast.expr) -> Any:
    """Return what literals mean, dicts by either notation; the text of all else."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "dict":
        return {item.arg: _value(item.value) for item in node.keywords if item.arg}
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {k.value: _value(v) for k, v in pairs if isinstance(k, ast.Constant)}
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item) for item in node.elts]
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)
