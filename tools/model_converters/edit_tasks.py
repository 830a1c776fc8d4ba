"""Add tasks to a checkpoint of several tasks, remove, extract or insert them."""

import argparse
from pathlib import Path

import torch

from gppf_mm.apis import kind_errors, read_checkpoint
from gppf_mm.engine.runner.checkpoints import replace_file
from gppf_mm.models.transfer import (
    add_task,
    extract_tasks,
    insert_tasks,
    remove_tasks,
    task_names,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="checkpoint of the run")
    parser.add_argument("out", metavar="OUT.pth", help="checkpoint to write")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--add",
        nargs="+",
        metavar="NAME=LIKE",
        help="add a task as a copy of another: route, norms and head",
    )
    what.add_argument("--remove", nargs="+", metavar="NAME", help="remove these tasks")
    what.add_argument(
        "--extract",
        nargs="+",
        metavar="NAME",
        help="write these tasks alone, without the units: a small file",
    )
    what.add_argument(
        "--insert", metavar="FILE", help="add the tasks of a file that --extract wrote"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    out = Path(args.out)
    with kind_errors():
        if out.is_dir():
            raise ValueError(f"OUT.pth is {args.out!r}, a folder; expected a file.")
        content = read_checkpoint(args.checkpoint)
        if not task_names(content):
            raise ValueError(
                f"The checkpoint {args.checkpoint!r} has no tasks; expected one that "
                "tools/train.py wrote."
            )
        write(edit(content, args), out)


def edit(content: dict, args: argparse.Namespace) -> dict:
    if args.remove:
        return remove_tasks(content, args.remove)
    if args.extract:
        return extract_tasks(content, args.extract)
    if args.insert:
        return insert_tasks(content, read_checkpoint(args.insert))
    for pair in args.add:
        task, equals, like = pair.partition("=")
        if not equals:
            raise ValueError(
                f"--add has {pair!r}; expected NAME=LIKE, the new task and the one "
                "that it copies. A task that starts otherwise is one of "
                "`model.lego.transfer.new`."
            )
        content = add_task(content, task, like)
    return content


def write(content: dict, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    new = out.with_name(f"{out.name}.partial")
    try:
        torch.save(content, new)
        replace_file(str(new), str(out))
    finally:
        new.unlink(missing_ok=True)
    tasks = ", ".join(task_names(content))
    print(f"{out}  {out.stat().st_size / 2**20:.2f} MiB, tasks: {tasks}")


if __name__ == "__main__":
    main()
