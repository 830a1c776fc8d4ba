"""The routing with which a checkpoint was trained, which its weights do not show."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

# Which plan is drawn from the same parameters does not depend on these keys of a
# router: they set its first values, and the noise of a training.
_FIRST_VALUES = ("seed", "init_std", "affinity", "initial_routes")


def check_routing(cfg: Config, content: Mapping[str, Any], path: str | Path) -> None:
    """Require that a checkpoint was trained with the routing of a config.

    What a router says task by task is compared for the tasks of both: a checkpoint
    whose tasks were edited has the config of its run.

    Args:
        cfg: The config.
        content: The checkpoint, in whose ``meta`` the run's config is found, if at all.
        path: Its file, named in errors.

    Raises:
        ValueError: If the routing differs.
    """
    trained = _settings((content.get("meta") or {}).get("cfg"))
    present = _settings(Config(dict(model=cfg.model)).pretty_text)
    if not trained:
        return
    # The type first: routers of different types differ in other keys as well.
    for key in dict.fromkeys(["router.type", *trained, *present]):
        in_both = key in trained and key in present
        if key.startswith("router.routes.") and not in_both:
            continue
        if trained.get(key) != present.get(key):
            raise ValueError(
                f"The checkpoint {str(path)!r} is of another config: it was trained "
                f"with `model.lego.{key}` {trained.get(key)}, and the config has "
                f"{present.get(key)}. The weights fit, but the predictions would be "
                "others. Use the config that the run wrote beside its checkpoints."
            )


def _settings(text: Any) -> dict[str, str]:
    """Read what decides a plan from a config's text, running no code."""
    try:
        statements = ast.parse(text or "").body
    except (SyntaxError, TypeError):
        return {}
    for statement in statements:
        if isinstance(statement, ast.Assign) and _names(statement) == ["model"]:
            lego = _items(_items(statement.value).get("lego"))
            return dict(_routing(lego))
    return {}


def _routing(lego: Mapping[str, ast.expr]) -> Iterator[tuple[str, str]]:
    for key in ("num_units", "placement"):
        if key in lego:
            yield key, ast.unparse(lego[key])
    for key, value in _items(lego.get("router")).items():
        if key == "routes" and _items(value):
            for task, units in _items(value).items():
                yield f"router.routes.{task}", ast.unparse(units)
        elif key not in _FIRST_VALUES:
            yield f"router.{key}", ast.unparse(value)


def _names(statement: ast.Assign) -> list[str]:
    return [ast.unparse(target) for target in statement.targets]


def _items(node: ast.AST | None) -> dict[str, ast.expr]:
    """Return what ``dict(key=...)`` or ``{'key': ...}`` has."""
    if isinstance(node, ast.Call):
        return {item.arg: item.value for item in node.keywords if item.arg}
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {str(key.value): v for key, v in pairs if isinstance(key, ast.Constant)}
    return {}
