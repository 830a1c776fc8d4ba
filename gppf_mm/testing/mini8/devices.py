"""Where runs go, and how many at a time."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Devices:
    """Where runs go.

    Attributes:
        names: ``'cpu'``, or GPUs as ``CUDA_VISIBLE_DEVICES`` names them.
        jobs: How many runs at a time.
        num_workers: Worker processes of each run that load images.
    """

    names: tuple[str, ...] = ("cpu",)
    jobs: int = 1
    num_workers: int = 0

    def environment(self, job: int) -> dict[str, str]:
        """Return the environment of the job in a place, GPUs in turns."""
        name = self.names[job % len(self.names)]
        threads = {"OMP_NUM_THREADS": "1"} if name == "cpu" else {}
        visible = "" if name == "cpu" else name
        return {**os.environ, **threads, "CUDA_VISIBLE_DEVICES": visible}


def parse_devices(text: str, jobs: int | None = None) -> Devices:
    """Read ``--device``: ``cpu``, ``cuda`` or ``cuda,0,2``.

    Args:
        text: The option. Indices count the GPUs that this process sees.
        jobs: Runs at a time. Defaults to None, one on each core of the CPU or each of
            the GPUs.

    Raises:
        ValueError: If it is none of these, there is no such GPU, or ``jobs`` is not
            from 1.
    """
    kind, _, rest = text.partition(",")
    indices = tuple(rest.split(",")) if rest else ("0",)
    if kind not in ("cpu", "cuda") or not all(item.isdecimal() for item in indices):
        raise ValueError(
            f"`--device` is {text!r}; expected cpu, cuda, or cuda with the indices of "
            "GPUs, such as cuda,0,1."
        )
    if jobs is not None and jobs < 1:
        raise ValueError(
            f"`--jobs` is {jobs}; expected the number of runs at a time, at least 1."
        )
    if kind == "cpu":
        return Devices(("cpu",), jobs or len(os.sched_getaffinity(0)))
    names = _visible(text, [int(item) for item in indices])
    # A GPU is faster than the process that feeds it.
    return Devices(names, jobs or len(names), 2)


def _visible(text: str, indices: Sequence[int]) -> tuple[str, ...]:
    """Name GPUs as a child's ``CUDA_VISIBLE_DEVICES`` has to.

    That counts the machine's GPUs, or has their UUIDs, whatever this process sees.
    """
    # A run without a GPU would train on the CPU, in silence.
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not count or max(indices) >= count:
        seen = f" (CUDA_VISIBLE_DEVICES is {listed!r})" if listed is not None else ""
        there = f"has {count} GPU(s), with indices from 0" if count else "sees no GPU"
        raise ValueError(
            f"`--device` is {text!r}, but PyTorch {there}{seen}. Name GPUs that are "
            "there, or use --device cpu."
        )
    if listed is None:
        return tuple(map(str, indices))
    names = [name.strip() for name in listed.split(",")]
    return tuple(names[index] for index in indices)
