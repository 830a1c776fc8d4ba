"""Show how the tasks of a checkpoint share units: pictures and one HTML page.

The config is the one that the run wrote beside the checkpoint, unless --config names
another. How the routes moved is read from the run's routes.jsonl, which a RoutingHook
writes; without it that part is left out.
"""

import argparse

from mmengine.config import DictAction

from gppf_mm.apis import (
    DICT_ACTION_HELP,
    find_config,
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
        "--cfg-options", nargs="+", action=DictAction, help=DICT_ACTION_HELP
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with kind_errors():
        path = args.config or find_config(args.checkpoint)
        cfg = load_config(path, args.cfg_options)
        page = write_routing(cfg, args.checkpoint, args.out, args.task)
    print(f"Written: {page}, with its pictures beside it")


if __name__ == "__main__":
    main()
