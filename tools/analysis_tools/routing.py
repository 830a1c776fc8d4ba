"""Show how the tasks of a checkpoint share units: pictures and one HTML page.

The config is the one that the run wrote beside the checkpoint, unless --config names
another. How the routes moved is read from the run's routes.jsonl, which a RoutingHook
writes; without it that part is left out.
"""

import argparse
from pathlib import Path

from mmengine.config import DictAction

from gppf_mm.analysis import ROUTE_FILE, routes_of_groups
from gppf_mm.apis import (
    DICT_ACTION_HELP,
    find_config,
    find_task_groups,
    kind_errors,
    load_config,
    write_routing,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", help="checkpoint of a run")
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder to write to"
    )
    parser.add_argument("--config", metavar="FILE", help="the run's config")
    parser.add_argument(
        "--task",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="show these tasks alone (default: all)",
    )
    parser.add_argument(
        "--groups",
        type=int,
        metavar="N",
        help="part the tasks into N groups by their routes, and print sparse routes "
        "made of these",
    )
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, help=DICT_ACTION_HELP
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with kind_errors():
        path = args.config or find_config(args.checkpoint)
        cfg = load_config(path, args.cfg_options)
        groups = []
        if args.groups is not None:
            groups = find_task_groups(cfg, args.checkpoint, args.groups, args.task)
        page = write_routing(cfg, args.checkpoint, args.out, args.task)
    print(f"Written: {page}, with its pictures beside it")
    if not (Path(args.checkpoint).parent / ROUTE_FILE).is_file():
        print(
            f"The run has no {ROUTE_FILE}, so how its routes moved is left out; "
            "default_hooks=dict(routing=dict(type='gppf_mm.RoutingHook')) writes it."
        )
    if groups:
        print("Groups:", " | ".join(", ".join(members) for members in groups))
        router = dict(type="gppf_mm.FixedRouter", routes=routes_of_groups(groups))
        print(f"lego = dict(num_units={len(groups) + 1}, router={router})")


if __name__ == "__main__":
    main()
