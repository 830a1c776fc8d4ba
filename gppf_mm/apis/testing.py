"""What the test tool writes besides its log."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process

from gppf_mm.utils.class_name import class_name
from gppf_mm.utils.evaluators import metric_list
from gppf_mm.utils.plain import to_plain

# mmdet's own analysis tools expect masks in its packed form.
_DUMPS = dict(mmdet=dict(_scope_="mmdet", type="DumpDetResults"))
_DUMP = dict(_scope_="mmengine", type="DumpResults")
_PICKLES = (".pkl", ".pickle")


def dump_predictions(cfg: Config, files: Sequence[str]) -> list[Path]:
    """Make the test dump its predictions, for the libraries' offline analysis.

    Args:
        cfg: The config, changed in place.
        files: What ``--out`` names. Pickle files are for the predictions; with several
            tasks each gets a file of its own, ``NAME_<task>.pkl``.

    Returns:
        The remaining files, for the metrics; see `write_metrics`.

    Raises:
        ValueError: If a file is of neither kind.
    """
    for file in files:
        if Path(file).suffix not in (*_PICKLES, ".json"):
            raise ValueError(
                f"--out is {file!r}; expected FILE.json for the metrics or FILE.pkl "
                "for the predictions."
            )
        if Path(file).suffix in _PICKLES:
            _add_dumps(cfg, Path(file))
    return [Path(file) for file in files if Path(file).suffix == ".json"]


def write_metrics(metrics: Mapping[str, Any], files: Sequence[Path]) -> None:
    """Write the metrics of a test as JSON, from the main process.

    Args:
        metrics: The metrics by name.
        files: The files to write.
    """
    if not is_main_process():
        return
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(dict(metrics), indent=2, default=to_plain) + "\n")


def draw_predictions(cfg: Config, folder: str | None, interval: int) -> None:
    """Make the test draw its predictions.

    Args:
        cfg: The config, changed in place; what it says of a
            ``MultiTaskVisualizationHook`` under ``default_hooks.visualization`` stays.
        folder: Where to draw. None draws nothing.
        interval: Draw every so many images of a task.
    """
    if folder is None:
        return
    kind = "gppf_mm.MultiTaskVisualizationHook"
    hooks = cfg.setdefault("default_hooks", {})
    present = hooks.get("visualization") or {}
    own = class_name(present.get("type")) == class_name(kind)
    settings = present if own else {}
    hooks["visualization"] = dict(
        settings, type=kind, draw=True, out_dir=folder, interval=interval
    )


def _add_dumps(cfg: Config, file: Path) -> None:
    several = len(cfg.test_evaluator) > 1
    file.parent.mkdir(parents=True, exist_ok=True)
    for task, evaluator in cfg.test_evaluator.items():
        path = file.with_stem(f"{file.stem}_{task}") if several else file
        dump = _DUMPS.get(cfg.model.tasks[task].get("_scope_"), _DUMP)
        metrics = [*metric_list(evaluator), dict(dump, out_file_path=str(path))]
        if isinstance(evaluator, Mapping) and "metrics" in evaluator:
            cfg.test_evaluator[task] = {**evaluator, "metrics": metrics}
        else:
            cfg.test_evaluator[task] = metrics
