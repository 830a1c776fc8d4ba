"""Functions run on several ranks over gloo, for the tests of distributed training."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing

RANKS = 2
# No default of PyTorch.
TIMEOUT = timedelta(minutes=7)


def on_ranks(function: Callable[..., Any], folder: Path, *args: Any) -> list[Any]:
    """Call ``function(rank, *args)`` on two ranks and return what each returned."""
    multiprocessing.spawn(_run, (folder, function, args), nprocs=RANKS)
    return [
        torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(RANKS)
    ]


def _run(rank: int, folder: Path, function: Callable[..., Any], args: tuple) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
    store = f"file://{folder}/store"
    distributed.init_process_group(
        "gloo",
        init_method=store,
        rank=rank,
        world_size=RANKS,
        timeout=TIMEOUT,
    )
    torch.manual_seed(0)
    result = function(rank, *args)
    torch.save(result, folder / f"{rank}.pt")
    distributed.destroy_process_group()
