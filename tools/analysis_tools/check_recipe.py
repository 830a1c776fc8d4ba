"""Check that stock recipes work as tasks: build, learn, predict, export, compare."""

import argparse
import json
import sys
import warnings
from pathlib import Path

from gppf_mm.apis import kind_errors
from gppf_mm.testing import check_recipe


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "recipes",
        nargs="+",
        metavar="RECIPE",
        help="stock config, as mmdet::retinanet/retinanet_r50_fpn_1x_coco.py or a path",
    )
    parser.add_argument(
        "--units", type=int, default=2, help="units per layer (default: 2)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of weights and images (default: 0)"
    )
    parser.add_argument(
        "--json", metavar="FILE", help="write the outcomes here as well"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    warnings.simplefilter("ignore")
    results = []
    with kind_errors():
        for recipe in args.recipes:
            result = check_recipe(recipe, args.units, args.seed)
            results.append(result)
            print(f"{recipe}: {result.line()}", flush=True)
    if args.json:
        Path(args.json).parent.mkdir(parents=True, exist_ok=True)
        outcomes = [result.to_dict() for result in results]
        Path(args.json).write_text(json.dumps(outcomes, indent=2) + "\n")
    sys.exit(any(result.status == "failed" for result in results))


if __name__ == "__main__":
    main()
