"""How long a resumed run waits for its first batch."""

import statistics
import time

from mmengine.dataset import DefaultSampler
from torch.utils.data import DataLoader, Dataset

from gppf_mm.datasets import SIMTDataLoader

from .figure import Figure, Goal
from .options import Options
from .timing import interleave, milliseconds

_POSITION = 10**6
# At that position the one has seen many epochs, and the other is within its first.
_SAMPLES = (5_000, 2_500_000)
_BATCH_SIZE = 2


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


def resume_ms(options: Options) -> list[Figure]:
    """Compare the time to the first step at iteration 10^6 with that at 0."""
    position = options.pick(_POSITION, 100)
    samples = options.pick(_SAMPLES, (20, 300))

    def first_step(start: int) -> float:
        begin = time.perf_counter()
        loaders = {
            f"task{number}": DataLoader(
                dataset, _BATCH_SIZE, sampler=DefaultSampler(dataset, seed=0)
            )
            for number, dataset in enumerate(map(Numbers, samples))
        }
        next(SIMTDataLoader(loaders, 0).iterate(start, options.seed))
        return time.perf_counter() - begin

    calls = {
        f"at {start}": lambda start=start: first_step(start) for start in (position, 0)
    }
    times = interleave(calls, options)
    resumed, fresh = (statistics.median(part) for part in times.values())
    return [
        Figure(
            "resume_ms",
            "first batch after a resume at 10^6 minus first batch of a run",
            (resumed - fresh) * 1000,
            Goal("<=", 50),
            unit="ms",
            sides={
                name: milliseconds(statistics.median(part))
                for name, part in times.items()
            },
            note=f"sets of {' and '.join(f'{count:,}' for count in samples)} samples",
        )
    ]
