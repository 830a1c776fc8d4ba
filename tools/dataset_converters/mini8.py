"""Make the eight tasks of mini8 from BCCD, CamVid, CIFAR-10 and the toy set's drawing.

``python tools/dataset_converters/mini8.py --data data --out data/mini8``, once the
three real sets lie in ``data/`` as docs/en/datasets.md says.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from gppf_mm.apis import kind_errors
from gppf_mm.datasets.mini8 import make_mini8


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the eight tasks of mini8")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("data"),
        help="folder with bccd, camvid and cifar10 (default: data)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("data/mini8"),
        help="folder to write (default: data/mini8)",
    )
    args = parser.parse_args()
    with kind_errors(), Progress(transient=True) as progress:
        bar = progress.add_task("mini8", total=None)
        out = make_mini8(args.data, args.out, lambda: progress.advance(bar))
    Console().print(f"mini8 is in {out}.")


if __name__ == "__main__":
    main()
