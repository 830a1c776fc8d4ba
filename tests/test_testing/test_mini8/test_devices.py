import os

import pytest
import torch

from gppf_mm.testing.mini8 import parse_devices


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A process that sees four GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return monkeypatch


def visible(text: str, jobs: int) -> list[str]:
    devices = parse_devices(text, jobs)
    return [devices.environment(job)["CUDA_VISIBLE_DEVICES"] for job in range(jobs)]


def test_devices_are_given_in_turns(gpus: pytest.MonkeyPatch):
    assert visible("cuda,1,3", 4) == ["1", "3", "1", "3"]
    assert visible("cpu", 2) == ["", ""]
    assert parse_devices("cuda,1,3").jobs == 2
    assert parse_devices("cpu").jobs == len(os.sched_getaffinity(0))
    with pytest.raises(ValueError, match="--device"):
        parse_devices("gpu", 1)


@pytest.mark.parametrize(
    ("listed", "expected"),
    [("4,5,6,7", ["4", "7"]), ("GPU-5a, GPU-1b,2,MIG-c", ["GPU-5a", "MIG-c"])],
)
def test_indices_count_the_gpus_that_the_parent_sees(
    gpus: pytest.MonkeyPatch, listed: str, expected: list[str]
):
    gpus.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert visible("cuda,0,3", 2) == expected


def test_a_gpu_that_is_not_there_is_refused(gpus: pytest.MonkeyPatch):
    gpus.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    with pytest.raises(ValueError, match=r"'cuda,0,4'.* 4 GPU.*'4,5,6,7'"):
        parse_devices("cuda,0,4")
    gpus.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"'cuda', but PyTorch sees no GPU"):
        parse_devices("cuda")
    assert parse_devices("cpu", 1).names == ("cpu",)


@pytest.mark.parametrize("jobs", [0, -1])
def test_less_than_one_run_at_a_time_is_refused(jobs: int):
    with pytest.raises(ValueError, match=rf"`--jobs` is {jobs}; .*at least 1"):
        parse_devices("cpu", jobs)
