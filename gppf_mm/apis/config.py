"""Reading a multi-task config and changing it as the tools' options ask."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmengine.config import Config

from gppf_mm.recipes import RECIPE_KEYS, expand, import_modules
from gppf_mm.utils.messages import check_names

# Expansion reads these; everything else can be overridden in what it made.
_READ_FIRST = (*RECIPE_KEYS, "train_cfg")


def read_config(path: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config of any kind.

    Args:
        path: The config file.
        options: What ``--cfg-options`` overrides, by dotted key. Defaults to None.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no config file {str(path)!r} (seen from {Path.cwd()}); expected "
            f"the path of a config.{_suggest(path)}"
        )
    try:
        cfg = Config.fromfile(path)
        cfg.merge_from_dict(dict(options or {}))
    except Exception as error:
        raise _unreadable(path, error) from error
    return cfg


def load_config(path: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """Read a multi-task config, and expand its recipes if ``tasks`` names some.

    Args:
        path: The config file.
        options: What ``--cfg-options`` overrides, by dotted key. Keys of ``tasks`` and
            the others that expansion reads take effect before it, all keys after it.
            Defaults to None.

    Returns:
        The config, with `SIMTRunner` as its runner unless it names another.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or is not a config of several tasks.
    """
    path = Path(path)
    options = dict(options or {})
    before = {key: options[key] for key in options if key.split(".")[0] in _READ_FIRST}
    after = {key: options[key] for key in options if key not in before}
    cfg = read_config(path, before)
    if "tasks" in cfg:
        cfg = expand(cfg)
        import_modules(f"{str(path)!r} and its recipes", cfg.get("custom_imports"))
    try:
        cfg.merge_from_dict(after)
    except Exception as error:
        raise _unreadable(path, error) from error
    _check_multi_task(path, cfg)
    cfg.setdefault("runner_type", "gppf_mm.SIMTRunner")
    cfg.setdefault("default_scope", "gppf_mm")
    return cfg


def set_work_dir(cfg: Config, path: str | Path, work_dir: str | None) -> None:
    """Set where a run writes: as asked, as the config says, or by the config's name.

    Args:
        cfg: The config, changed in place.
        path: The config file.
        work_dir: What ``--work-dir`` says, None if nothing.
    """
    default = f"./work_dirs/{Path(path).stem}"
    cfg.work_dir = work_dir or cfg.get("work_dir") or default


def select_tasks(cfg: Config, tasks: Sequence[str]) -> None:
    """Leave only some tasks in the test.

    The mean over the tasks is not reported then: it would be another number under the
    same name.

    Args:
        cfg: The config, changed in place.
        tasks: The tasks to test, all if empty.

    Raises:
        ValueError: If the model or the test has no such task.
    """
    if not tasks:
        return
    check_names("--task", tasks, cfg.model.tasks)
    # A config may test only some of its tasks.
    tested = set(cfg.get("test_evaluator") or {})
    for key in ("test_dataloader", "test_evaluator"):
        check_names(key, tasks, cfg.get(key) or {})
        cfg[key] = {task: cfg[key][task] for task in cfg[key] if task in tasks}
    if set(tasks) < tested and cfg.get("test_cfg"):
        cfg.test_cfg.pop("mean", None)


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"The config {str(path)!r} cannot be read: {type(error).__name__}: {error}. "
        "Mend the file, what its `_base_` names, or --cfg-options."
    )


def _check_multi_task(path: Path, cfg: Config) -> None:
    model = cfg.get("model")
    if not isinstance(model, Mapping):
        raise ValueError(
            f"The config {str(path)!r} has no `model`; expected a multi-task config "
            "with tasks=dict(name=dict(config=...)) or model=dict(type='gppf_mm.GPPF', "
            "tasks=...). Files under `_base_` are parts of configs: name the config "
            "that inherits them."
        )
    tasks = model.get("tasks")
    if not isinstance(tasks, Mapping) or not tasks:
        found = f"type={model.get('type')!r}" if "type" in model else "no type"
        raise ValueError(
            f"The config {str(path)!r} is not a multi-task config: its `model` has "
            f"{found} and no `tasks`; expected model=dict(type='gppf_mm.GPPF', "
            "tasks={name: stock model config}). A config of one stock model runs with "
            "the tools of its own library."
        )


def _suggest(path: Path) -> str:
    """Name the config that was probably meant."""
    configs = [str(item) for item in Path("configs").glob("[!_]*/**/*.py")]
    configs += [str(item) for item in path.parent.glob("*.py")]
    by_name = {Path(item).name: item for item in configs}
    close = get_close_matches(path.name, by_name, n=1, cutoff=0.75)
    return f" Did you mean {by_name[close[0]]!r}?" if close else ""
