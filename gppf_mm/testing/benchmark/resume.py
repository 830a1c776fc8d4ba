"""How long a resumed run waits for its first batch."""

import statistics
import time
from collections.abc import Callable

from mmengine.dataset import BaseDataset, DefaultSampler
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import DataLoader, Dataset

from gppf_mm.datasets import SIMTDataLoader

from .figure import Figure, Goal
from .options import Options
from .timing import interleave, milliseconds

_POSITION = 10**6
# At that position the one has seen many epochs, and the other is within its first.
_SAMPLES = (5_000, 2_500_000)
_BATCH_SIZE = 2
# As many images as COCO's training set, with as many objects each.
_IMAGES, _OBJECTS, _CLASSES = 118_000, 7, 80


class Numbers(Dataset):
    """A set of numbers, which costs nothing to read.

    Args:
        length: How many there are.
    """

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> int:
        return index


class Images(BaseDataset):
    """A set of images that are never read, in both orientations.

    Args:
        length: How many there are.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        super().__init__(metainfo=dict(classes=list(map(str, range(_CLASSES)))))

    def get_cat_ids(self, index: int) -> list[int]:
        """Return the classes in an image, as mmdet's data sets do."""
        return [index % _CLASSES, index * 7 % _CLASSES]

    def load_data_list(self) -> list[dict]:
        """Return what an annotation file would give."""
        objects = [dict(bbox=[1.0, 2.0, 30.0, 40.0], bbox_label=3, ignore_flag=0)]
        return [
            dict(
                img_path=f"{index:012d}.jpg",
                width=640 if index % 4 else 480,
                height=480 if index % 4 else 640,
                instances=objects * _OBJECTS,
            )
            for index in range(self.length)
        ]


def resume_ms(options: Options) -> list[Figure]:
    """Compare the time to the first step of a resumed run with that of a new one."""
    position = options.pick(_POSITION, 100)
    samples = options.pick(_SAMPLES, (20, 300))

    def plain() -> dict[str, DataLoader]:
        return {
            f"task{number}": DataLoader(
                dataset, _BATCH_SIZE, sampler=DefaultSampler(dataset, seed=0)
            )
            for number, dataset in enumerate(map(Numbers, samples))
        }

    images = Images(options.pick(_IMAGES, 300))

    def grouped() -> dict[str, DataLoader]:
        order = DefaultSampler(images, seed=0)
        batches = dict(type="mmdet.AspectRatioBatchSampler", batch_size=_BATCH_SIZE)
        sampler = DATA_SAMPLERS.build(batches, default_args=dict(sampler=order))
        return dict(task=DataLoader(images, batch_sampler=sampler))

    balanced_order = DATA_SAMPLERS.build(
        dict(type="mmdet.ClassAwareSampler", seed=0), default_args=dict(dataset=images)
    )

    def balanced() -> dict[str, DataLoader]:
        return dict(task=DataLoader(images, _BATCH_SIZE, sampler=balanced_order))

    what = "first batch after a resume at 10^6 minus first batch of a run"
    note = f"sets of {' and '.join(f'{count:,}' for count in samples)} samples"
    size = f"a set of {len(images):,} samples"
    last, goal = len(images) // _BATCH_SIZE - 1, Goal("<=", 50)
    end = "the same for {}, at the end of an epoch"
    grouping, balancing = (
        end.format(kind) for kind in ("batches by aspect ratio", "ClassAwareSampler")
    )
    return [
        _figure("resume_ms", what, plain, position, goal, note, options),
        _figure("resume_grouped_ms", grouping, grouped, last, goal, size, options),
        _figure("resume_balanced_ms", balancing, balanced, last, goal, size, options),
    ]


def _figure(
    key: str,
    what: str,
    make: Callable[[], dict[str, DataLoader]],
    position: int,
    goal: Goal | None,
    note: str,
    options: Options,
) -> Figure:
    def first_step(start: int) -> float:
        begin = time.perf_counter()
        next(SIMTDataLoader(make(), 0).iterate(start, options.seed))
        return time.perf_counter() - begin

    calls = {
        f"at {start}": lambda start=start: first_step(start) for start in (position, 0)
    }
    times = interleave(calls, options)
    resumed, fresh = (statistics.median(part) for part in times.values())
    sides = {
        name: milliseconds(statistics.median(part)) for name, part in times.items()
    }
    value = (resumed - fresh) * 1000
    return Figure(key, what, value, goal, unit="ms", sides=sides, note=note)
