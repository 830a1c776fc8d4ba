"""Write the procedural toy set in the formats that the stock dataset classes read.

Example:
    python tools/dataset_converters/toy.py --out data/toy
"""

import argparse
import time
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from gppf_mm.datasets.toy import make_toy

# Detection, segmentation and classification.
NUM_TASKS = 3


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Write the procedural toy set: detection, segmentation, "
        "classification"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("data/toy"),
        help="folder to write (default: data/toy)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed (default: 0)")
    parser.add_argument(
        "--train",
        type=int,
        default=600,
        help="training images per task (default: 600)",
    )
    parser.add_argument(
        "--val",
        type=int,
        default=150,
        help="validation images per task (default: 150)",
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    console = Console()
    total = NUM_TASKS * (args.train + args.val)
    start, written = time.perf_counter(), 0
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        bar = progress.add_task("Drawing images", total=total)

        def on_image() -> None:
            nonlocal written
            written += 1
            progress.advance(bar)

        try:
            make_toy(args.out, args.seed, args.train, args.val, on_image)
        except (ValueError, FileExistsError) as error:
            raise SystemExit(str(error)) from error
        progress.update(bar, completed=total)
    seconds = time.perf_counter() - start
    if not written:
        console.print(f"{args.out} holds this set already: nothing to do.")
        return
    console.print(
        f"{args.out}: {written} images in {seconds:.1f} s, "
        f"{100 * seconds / written:.2f} s per 100 images."
    )


if __name__ == "__main__":
    main()
