"""Draw which units each task of a trained model activates, and how strongly."""

import argparse

from mmengine.config import DictAction

from gppf_mm.apis import DICT_ACTION_HELP, init_model, kind_errors, load_config
from gppf_mm.utils.messages import check_names
from gppf_mm.visualization import plot_routing_map


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="multi-task config file of the run")
    parser.add_argument("checkpoint", help="checkpoint of the run")
    parser.add_argument(
        "--out", required=True, metavar="FILE.png", help="picture to write"
    )
    parser.add_argument(
        "--task",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="draw these tasks alone (default: all)",
    )
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, help=DICT_ACTION_HELP
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with kind_errors():
        cfg = load_config(args.config, args.cfg_options)
        check_names("--task", args.task, cfg.model.tasks)
        model = init_model(cfg, args.checkpoint)
        plot_routing_map(model, args.out, args.task)
    print(f"Drawn: {args.out}")


if __name__ == "__main__":
    main()
