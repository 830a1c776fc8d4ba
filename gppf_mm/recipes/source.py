"""Finding and reading a stock recipe."""

import logging
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log

from .overrides import flatten, merge_overrides

# Packages and their modules, where one could be taken for the other.
_MODULES = dict(
    mmdetection="mmdet",
    mmsegmentation="mmseg",
    mmpretrain="mmpretrain",
    mmcls="mmpretrain",
    mmpose="mmpose",
)


@dataclass(frozen=True)
class Recipe:
    """A stock config, read.

    Attributes:
        name: As the user wrote it: ``'mmdet::retinanet/...py'`` or a path.
        scope: The registry scope of its library, such as ``'mmdet'``.
        cfg: The config. A new-style (lazy import) config has its types as strings, and
            ``model`` has the ``data_preprocessor`` that MMEngine would give it.
    """

    name: str
    scope: str
    cfg: Config


def load_recipe(
    name: str, overrides: Mapping[str, Any] | None = None, scope: str | None = None
) -> Recipe:
    """Read a stock config. No data set or weight is touched, no library imported.

    Args:
        name: ``'<library>::<config>'`` for a config that ships with an installed
            library, or the path of a config file.
        overrides: Values by dotted key, as ``--cfg-options`` has them. Those of
            ``data_preprocessor`` are for the model's. Defaults to None.
        scope: The registry scope of the library. Defaults to None: what the config
            says, or the library it ships with.

    Returns:
        The recipe.

    Raises:
        FileNotFoundError: If there is no such library or file.
        ValueError: If the file cannot be read, has no model, or its library is not
            known.

    Examples:
        >>> recipe = load_recipe(
        ...     "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py",
        ...     {"model.bbox_head.num_classes": 3})
        >>> recipe.scope, recipe.cfg.model.bbox_head.num_classes
        ('mmdet', 3)
    """
    library = name.partition("::")[0] if "::" in name else None
    path = find_recipe(name)
    try:
        cfg = Config.fromfile(path, import_custom_modules=False)
        cfg = Config(cfg.to_dict())  # Types of a lazy config become strings.
        _place_preprocessor(cfg)
        merge_overrides(cfg, flatten(overrides or {}))
    except Exception as error:
        raise ValueError(
            f"The recipe {name!r} cannot be read: {type(error).__name__}: {error}. "
            "Mend the file, what its `_base_` names, or the task's `cfg_options`."
        ) from error
    model = cfg.get("model")
    if not isinstance(model, ConfigDict) or "type" not in model:
        raise ValueError(
            f"The recipe {name!r} has no `model` with a `type`; expected a stock "
            "config that trains by itself. Files of settings that others inherit are "
            "not recipes."
        )
    scope = scope or cfg.get("default_scope") or _scope_of_type(model.type) or library
    close = get_close_matches(str(scope), _MODULES.values(), n=1, cutoff=0.85)
    if scope and close and close[0] != scope and not find_spec(scope.split(".")[0]):
        # No error, for a scope of one's own needs no module of its name.
        print_log(
            f"The recipe {name!r} is of the registry scope {scope!r}, by the task's "
            "`scope` or its own `default_scope`, and there is no such library. Did "
            f"you mean {close[0]!r}?",
            logger="current",
            level=logging.WARNING,
        )
    if scope is None:
        raise ValueError(
            f"The recipe {name!r} does not say which library it is of: it has no "
            "`default_scope`. Add scope='mmdet' (or another) to the task."
        )
    return Recipe(name, scope, cfg)


def find_recipe(name: str) -> Path:
    """Find the file of a recipe.

    Args:
        name: As for `load_recipe`; a library's config may leave ``.py`` out.

    Returns:
        The file.

    Raises:
        FileNotFoundError: If there is no such library or file.
    """
    if "::" not in name:
        path = Path(name)
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no recipe {name!r} (seen from {Path.cwd()}); expected the "
                "path of a stock config, or a library's, such as "
                "'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'."
            )
        return path
    library, _, config = name.partition("::")
    folder = _configs(library)
    path = folder / config
    if not path.is_file() and not config.endswith(".py"):
        path = folder / f"{config}.py"
    if not path.is_file():
        known = [item.partition("::")[2] for item in list_recipes(library)]
        by_stem = {Path(item).stem: item for item in known}
        close = get_close_matches(Path(config).stem, by_stem, n=1)
        hint = f" Did you mean '{library}::{by_stem[close[0]]}'?" if close else ""
        raise FileNotFoundError(
            f"{library} ships no config {config!r}; expected one of the {len(known)} "
            f"below {folder}.{hint}"
        )
    return path


def list_recipes(library: str) -> list[str]:
    """List the configs that ship with an installed library.

    Args:
        library: The library's module, such as ``'mmdet'``.

    Returns:
        Their names, ``'<library>::<config>'``, without the parts under ``_base_``.

    Raises:
        FileNotFoundError: If the library is not installed or has no configs.
    """
    folder = _configs(library)
    return [
        f"{library}::{path.relative_to(folder).as_posix()}"
        for path in sorted(folder.rglob("*.py"))
        if "_base_" not in path.parts
    ]


def _place_preprocessor(cfg: Config) -> None:
    """Put what stands beside the model where MMEngine's runner would put it."""
    if isinstance(cfg.get("model"), ConfigDict) and cfg.get("data_preprocessor"):
        cfg.model.setdefault("data_preprocessor", deepcopy(cfg.data_preprocessor))


def _configs(library: str) -> Path:
    """Return the folder of a library's configs, without importing the library."""
    spec = find_spec(library) if library.isidentifier() else None
    for location in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(location) / ".mim" / "configs"
        if folder.is_dir():
            return folder
    module = _MODULES.get(library, library)
    close = get_close_matches(module, _MODULES.values(), n=1, cutoff=0.85)
    remedy = f"Install it, for example by `mim install {library}`."
    if close and close[0] != library:
        remedy = f"Did you mean '{close[0]}::'? {remedy}"
    raise FileNotFoundError(
        f"The recipe library {library!r} is {'without configs' if spec else 'missing'}"
        ": expected an installed OpenMMLab library, such as 'mmdet', 'mmseg' or "
        f"'mmpretrain'. {remedy}"
    )


def _scope_of_type(kind: Any) -> str | None:
    """Return the library in a model's full type name, which a lazy config has."""
    return kind.partition(".")[0] if isinstance(kind, str) and "." in kind else None
