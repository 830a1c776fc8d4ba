"""Evaluate a multi-task model: each task by its stock metrics."""

import argparse
import os

from mmengine.config import DictAction

from gppf_mm.apis import (
    DICT_ACTION_HELP,
    check_checkpoint,
    draw_predictions,
    dump_predictions,
    kind_errors,
    load_config,
    name_missing_data,
    read_checkpoint,
    require_stage,
    select_tasks,
    set_work_dir,
    write_metrics,
)
from gppf_mm.engine.runner.building import unwrap
from gppf_mm.registry import RUNNERS
from gppf_mm.utils.loading import order_tasks


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="multi-task config file")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument(
        "--task",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="evaluate these tasks alone (default: all)",
    )
    parser.add_argument(
        "--out",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="FILE.json: the metrics. FILE.pkl: the predictions as the task's library "
        "dumps them; with several tasks one file each, FILE_<task>.pkl",
    )
    parser.add_argument(
        "--show-dir", metavar="DIR", help="draw predictions to DIR/<task>/<image>.png"
    )
    parser.add_argument(
        "--interval",
        type=int,
        default=1,
        metavar="N",
        help="draw every Nth image of a task (default: 1)",
    )
    parser.add_argument(
        "--work-dir",
        help="folder for logs and metrics (default: ./work_dirs/<config name>)",
    )
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, help=DICT_ACTION_HELP
    )
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="what started the processes (default: none)",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    with kind_errors():
        cfg = load_config(args.config, args.cfg_options)
        require_stage(cfg, "test")
        cfg.launcher = args.launcher
        set_work_dir(cfg, args.config, args.work_dir)
        select_tasks(cfg, args.task)
        metrics_files = dump_predictions(cfg, args.out)
        draw_predictions(cfg, args.show_dir, args.interval)
        content = read_checkpoint(args.checkpoint)
        order_tasks(cfg, content["state_dict"])
        cfg.load_from, cfg.resume = args.checkpoint, False
        with name_missing_data(cfg, ["test"]):
            runner = RUNNERS.build(cfg)
            check_checkpoint(unwrap(runner.model), cfg, content, args.checkpoint)
            del content
            metrics = runner.test()
        write_metrics(metrics, metrics_files)


if __name__ == "__main__":
    main()
