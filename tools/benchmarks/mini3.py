"""Train and test the mini3 recipe, against chance and against the untrained network.

Three real sets, BCCD, CamVid and CIFAR-10, read from data/ (docs/en/datasets.md says
where they come from). An interrupted run goes on where its last checkpoint was written.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from gppf_mm.apis import kind_errors, load_config, name_missing_data
from gppf_mm.datasets.toy import classification_chance, segmentation_chance
from gppf_mm.engine.runner.checkpoints import find_latest_checkpoint
from gppf_mm.registry import RUNNERS

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs/mini3/lego-r18-4u-soft_mini3-det-seg-cls.py"
METRICS = dict(det="det/coco/bbox_mAP_50", seg="seg/mIoU", cls="cls/accuracy/top1")
SCALES = dict(det=100.0, seg=1.0, cls=1.0)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default=str(CONFIG), help="multi-task config file")
    parser.add_argument("--work-dir", default="work_dirs/mini3", type=Path)
    return parser.parse_args()


def measure(cfg: Config, work_dir: Path, checkpoint: str | None) -> dict[str, Any]:
    """Test a checkpoint, or the network as it is initialised, by the stock metrics."""
    cfg.work_dir = str(work_dir)
    cfg.load_from = checkpoint
    with name_missing_data(cfg, ["test"]):
        runner = RUNNERS.build(cfg)
        if checkpoint is None:
            runner.model.init_weights()
        return runner.test()


def chance_levels(cfg: Config) -> dict[str, float]:
    """Return what a model that has learnt nothing reaches, in per cent."""
    seg, cls = (cfg.test_dataloader[task].dataset for task in ("seg", "cls"))
    masks = Path(seg.data_root) / seg.data_prefix.seg_map_path
    return dict(
        det=0.0,
        seg=segmentation_chance(masks, len(seg.metainfo.classes)),
        cls=classification_chance(len(cls.metainfo.classes)),
    )


def main() -> None:
    args = parse_args()
    with kind_errors():
        cfg = load_config(args.config)
        untrained = measure(cfg, args.work_dir / "untrained", None)
        started = time.monotonic()
        run = args.work_dir / "train"
        command = [ROOT / "tools/train.py", args.config, "--work-dir", run]
        resume = ["--resume"] if find_latest_checkpoint(run) else []
        subprocess.run([sys.executable, *map(str, command), *resume], check=True)
        minutes = (time.monotonic() - started) / 60
        trained = measure(
            load_config(args.config),
            args.work_dir / "test",
            find_latest_checkpoint(run),
        )
        report(cfg, untrained, trained, args.work_dir)
    print(f"Training took {minutes:.1f} minutes in this call.")


def report(cfg: Config, untrained: dict, trained: dict, work_dir: Path) -> None:
    """Print the table, and write its numbers beside the run."""
    chance = chance_levels(cfg)
    table = Table(
        "task",
        "metric",
        "chance",
        "untrained",
        "trained",
        title=f"{cfg.train_cfg.max_iters} iterations, seed {cfg.randomness.seed}",
        caption=f"{platform.machine()}, {torch.get_num_threads()} threads, torch "
        f"{torch.__version__}, {time.strftime('%Y-%m-%d')}",
    )
    rows = {}
    for task, metric in METRICS.items():
        # mmdet reports nothing at all where nothing was detected.
        before, after = (
            SCALES[task] * float(result.get(metric, 0))
            for result in (untrained, trained)
        )
        rows[metric] = dict(chance=chance[task], untrained=before, trained=after)
        values = (f"{value:.1f}" for value in rows[metric].values())
        table.add_row(task, metric, *values)
    (work_dir / "result.json").write_text(json.dumps(rows, indent=2) + "\n")
    Console().print(table)


if __name__ == "__main__":
    main()
