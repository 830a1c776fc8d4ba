"""One task of a run, written as a checkpoint and a config of its stock library."""

from pathlib import Path

from mmengine.config import Config

from gppf_mm.apis import check_checkpoint, init_model, read_checkpoint
from gppf_mm.utils.loading import load_whole, order_tasks
from gppf_mm.utils.messages import check_names

from .config import export_config
from .files import ExportedTask, check_out, write_export
from .meta import export_meta
from .weights import export_state_dict


def export_task(
    cfg: Config, checkpoint: str | Path, task: str, out: str | Path
) -> ExportedTask:
    """Write one task as a plain checkpoint with its stock config beside it.

    Both files appear whole or not at all, and only after the stock model, built from
    the config that was written, has loaded the weights strictly.

    Args:
        cfg: The multi-task config.
        checkpoint: A checkpoint of a run with that config. If the run averages its
            weights (``EMAHook``), the file holds the average, and so will the export.
        task: The task.
        out: The file to write, ``FILE.pth``; the config becomes ``FILE.py``.

    Returns:
        What was written.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If there is no such task, ``out`` is no ``.pth`` file, the
            checkpoint is not of this config, or the task needs this package.
    """
    check_names("--task", [task], cfg.model.tasks)
    out = check_out(out)
    stock = export_config(cfg, task)
    content = read_checkpoint(checkpoint)
    order_tasks(cfg, content["state_dict"])
    model = init_model(cfg)
    check_checkpoint(model, cfg, content, checkpoint)
    load_whole(model, content["state_dict"])
    state = export_state_dict(model, task)
    sets = (content.get("meta") or {}).get("dataset_meta") or {}
    meta = dict(export_meta(content, stock, sets.get(task)), task=task)
    return write_export(out, stock, state, meta, f"Task {task!r} of a gppf_mm run")
