"""Train several stock tasks over one lego bank."""

import argparse
import os
import sys

from mmengine.config import DictAction

from gppf_mm.apis import (
    DICT_ACTION_HELP,
    enable_amp,
    enable_auto_scale_lr,
    enable_resume,
    kind_errors,
    load_config,
    name_missing_data,
    require_checkpoint,
    require_stage,
    resume_hint,
    set_work_dir,
)
from gppf_mm.registry import RUNNERS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="multi-task config file")
    parser.add_argument(
        "--work-dir",
        help="folder for logs and checkpoints (default: ./work_dirs/<config name>)",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="resume from this checkpoint, or from the last one in the work dir",
    )
    parser.add_argument(
        "--amp",
        action="store_true",
        help="automatic mixed precision; needs a CUDA device",
    )
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate by the batch size of all tasks and processes",
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
        require_stage(cfg, "train")
        cfg.launcher = args.launcher
        set_work_dir(cfg, args.config, args.work_dir)
        if args.amp:
            enable_amp(cfg)
        if args.auto_scale_lr:
            enable_auto_scale_lr(cfg)
        enable_resume(cfg, args.resume)
        if cfg.get("load_from"):
            require_checkpoint(cfg.load_from)
    command = ["python", *sys.argv]
    hint = resume_hint(command, cfg, args.resume)
    with kind_errors(hint), name_missing_data(cfg, ["train", "val"]):
        runner = RUNNERS.build(cfg)
        runner.train()


if __name__ == "__main__":
    main()
