"""Open a large set's annotations from the store, in fresh processes.

The samples are generated: an annotation file as mmpretrain.CustomDataset reads it, and
an entry of the store as it would be made from that file, written as a stream since the
stock classes need some 10 GB of memory for 15 million samples. Each process opens the
set with nothing of it in the disk cache and then reads samples at random. Pages of the
files that no other process has mapped count as private memory.
"""

import argparse
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.registry import DATASETS
from rich.console import Console
from rich.table import Table

from gppf_mm.datasets import AnnotationStore
from gppf_mm.datasets.annotation_store.entry import Attributes, write_entry
from gppf_mm.datasets.annotation_store.index import Record
from gppf_mm.datasets.annotation_store.key import config_key
from gppf_mm.datasets.annotation_store.sources import Source, combined, digest, stamp

CHUNK, CHECKED, READ = 100_000, 1000, 1000
GOAL_SAMPLES, GOAL_S, GOAL_MIB = 15_000_000, 2, 200


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=GOAL_SAMPLES)
    parser.add_argument("--processes", type=int, default=3, help="(default: 3)")
    parser.add_argument("--folder", help="where to write some GB, removed afterwards")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    parser.add_argument("--open", help=argparse.SUPPRESS)
    return parser.parse_args()


def sample(index: int) -> tuple[str, int]:
    """Return the image and the label of a sample."""
    label = index % 21841
    return f"n{label:08d}/n{label:08d}_{index}.JPEG", label


def dataset_cfg(root: Path, lines: str = "train.txt") -> dict[str, Any]:
    return dict(
        type="mmpretrain.CustomDataset",
        data_root=str(root),
        ann_file=lines,
        data_prefix="train",
    )


def write_lines(path: Path, samples: int) -> None:
    with open(path, "w") as file:
        file.writelines(
            f"{name} {label}\n" for name, label in map(sample, range(samples))
        )


def chunks(root: Path, samples: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the samples as MMEngine serialises them."""
    prefix = f"{root}/train/"
    for start in range(0, samples, CHUNK):
        data = [
            pickle.dumps(dict(img_path=prefix + name, gt_label=label), protocol=4)
            for name, label in map(sample, range(start, min(start + CHUNK, samples)))
        ]
        ends = np.cumsum([len(item) for item in data], dtype=np.int64)
        yield np.frombuffer(b"".join(data), dtype=np.uint8), ends


def check(root: Path, samples: int) -> None:
    """Require that the stock class makes the same of the first lines."""
    count = min(CHECKED, samples)
    write_lines(root / "few.txt", count)
    stock = DATASETS.build(dataset_cfg(root, "few.txt"))
    made, ends = next(chunks(root, count))
    if not (
        np.array_equal(stock.data_bytes, made) and stock.data_address[-1] == ends[-1]
    ):
        raise RuntimeError("mmpretrain.CustomDataset gives other samples than this one")


def generate(root: Path, samples: int) -> float:
    """Write the set and its entry; return the seconds."""
    started = time.perf_counter()
    check(root, samples)
    write_lines(root / "train.txt", samples)
    cfg = dataset_cfg(root)
    index = AnnotationStore(root / "store").index
    key = config_key(DATASETS.build(dict(cfg, lazy_init=True)), cfg)
    lines = str(root / "train.txt")
    source = Source(lines, stamp(lines), digest(lines))
    name = f"CustomDataset-{combined(key, [source])}"
    with index.locked(key):
        write_entry(index.entries / name, chunks(root, samples), Attributes({}))
        index.write(key, Record(name, None, [source]))
    return time.perf_counter() - started


def private_mib() -> float:
    """Return the memory that this process shares with no other, in MiB."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    kib = [int(line.split()[1]) for line in lines if line.startswith("Private_")]
    return sum(kib) / 1024


def measure(root: Path, samples: int) -> dict[str, float]:
    """Open the set and read some of it."""
    DATASETS.get("mmpretrain.CustomDataset")  # Imports the library.
    before, started = private_mib(), time.perf_counter()
    dataset = AnnotationStore(root / "store").build(dataset_cfg(root))
    length = len(dataset)
    opened, open_mib = time.perf_counter(), private_mib() - before
    for index in random.sample(range(samples), min(READ, samples)):
        name, label = sample(index)
        found = dataset.get_data_info(index)
        if (found["gt_label"], found["img_path"]) != (label, f"{root}/train/{name}"):
            raise RuntimeError(f"sample {index} is {found}")
    if length != samples:
        raise RuntimeError(f"the set has {length} samples instead of {samples}")
    return dict(
        open_s=opened - started,
        open_mib=open_mib,
        read_ms=1000 * (time.perf_counter() - opened) / min(READ, samples),
        read_mib=private_mib() - before,
    )


def evict(root: Path) -> None:
    """Take the store out of the disk cache."""
    for path in (root / "store").rglob("*.bin"):
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run(samples: int, processes: int, folder: str | None) -> dict[str, Any]:
    """Return all figures; those of the slowest process for what each one measures."""
    root = Path(tempfile.mkdtemp(prefix="annotation_store_", dir=folder))
    command = [sys.executable, __file__, "--samples", str(samples), "--open", str(root)]
    runs = []
    try:
        seconds = generate(root, samples)
        size = sum(path.stat().st_size for path in (root / "store").rglob("*.bin"))
        for _ in range(processes):
            evict(root)
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    finally:
        shutil.rmtree(root)
    worst = {name: max(item[name] for item in runs) for name in runs[0]}
    return dict(samples=samples, gib=size / 2**30, generate_s=seconds, **worst)


def main() -> None:
    args = parse_args()
    if args.open:
        print(json.dumps(measure(Path(args.open), args.samples)))
        return
    found = run(args.samples, args.processes, args.folder)
    table = Table(
        "slowest of the processes", "found", f"goal, {GOAL_SAMPLES:,} samples"
    )
    table.add_row("opened, s", f"{found['open_s']:.3f}", f"< {GOAL_S}")
    table.add_row("private memory, MiB", f"{found['open_mib']:.2f}", f"< {GOAL_MIB}")
    table.add_row(f"the same after {READ} samples", f"{found['read_mib']:.1f}", "")
    table.add_row("read a sample, ms", f"{found['read_ms']:.2f}", "")
    table.title = f"{args.samples:,} samples, {found['gib']:.2f} GiB"
    Console().print(table)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
