"""Print a config with everything that its bases and options make of it."""

import argparse
from pathlib import Path

from mmengine.config import DictAction

from gppf_mm.apis import DICT_ACTION_HELP, kind_errors, load_config


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="multi-task config file")
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, help=DICT_ACTION_HELP
    )
    parser.add_argument("--save-path", metavar="FILE.py", help="write it here as well")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with kind_errors():
        if args.save_path and Path(args.save_path).suffix != ".py":
            raise ValueError(
                f"--save-path is {args.save_path!r}; expected the name of a Python "
                "file, which ends in .py."
            )
        cfg = load_config(args.config, args.cfg_options)
        print(cfg.pretty_text)
        if args.save_path:
            Path(args.save_path).parent.mkdir(parents=True, exist_ok=True)
            cfg.dump(args.save_path)


if __name__ == "__main__":
    main()
