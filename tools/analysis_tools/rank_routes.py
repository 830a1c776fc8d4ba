"""Rank the routes of a trained run for a new data set, before any training."""

import argparse
import json
from pathlib import Path

from mmengine.config import Config, DictAction
from rich.console import Console
from rich.table import Table

from gppf_mm.apis import DICT_ACTION_HELP, kind_errors, load_config, read_config
from gppf_mm.ranking import Ranking, rank_routes


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "config",
        help="config of the new task: a stock config with a gppf_mm.LegoBackbone, or a "
        "multi-task config with model.lego.transfer",
    )
    parser.add_argument("checkpoint", help="checkpoint of the trained run")
    parser.add_argument(
        "--task",
        metavar="NAME",
        help="the new task, if a multi-task config has several",
    )
    parser.add_argument(
        "--images", type=int, default=200, help="training images to look at (200)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the images (0)")
    parser.add_argument("--out", metavar="FILE.json", help="also write the scores here")
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, help=DICT_ACTION_HELP
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with kind_errors():
        cfg = read(args.config, args.cfg_options)
        ranking = rank_routes(cfg, args.checkpoint, args.images, args.task, args.seed)
    Console().print(table(ranking))
    best = ranking.routes[0].task
    print(f"Start the new task from it: transfer=dict(..., route={best!r})")
    if args.out:
        write(ranking, Path(args.out))


def read(path: str, options: dict | None) -> Config:
    cfg = read_config(path)
    if "tasks" in cfg or "tasks" in (cfg.get("model") or {}):
        return load_config(path, options)
    return read_config(path, options)


def table(ranking: Ranking) -> Table:
    title = (
        f"{ranking.rows} rows of {ranking.classes} classes from {ranking.images} images"
    )
    shown = Table(title=title)
    shown.add_column("rank", justify="right")
    shown.add_column("route of")
    shown.add_column("balanced accuracy", justify="right")
    for place, item in enumerate(ranking.routes, 1):
        shown.add_row(str(place), item.task, f"{100 * item.score:.1f}")
    return shown


def write(ranking: Ranking, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    content = dict(
        images=ranking.images,
        rows=ranking.rows,
        classes=ranking.classes,
        routes=[dict(task=item.task, score=item.score) for item in ranking.routes],
    )
    out.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
