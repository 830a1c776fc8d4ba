"""Two processes on this machine, for measurements of distributed training."""

import json
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import MMLogger
from torch import distributed, multiprocessing

from .options import Options

RANKS = 2


def run_ranks(function: Callable[[Options], Any], options: Options) -> Any:
    """Run a function in two CPU processes over gloo, each with half of the cores.

    Args:
        function: A function of a module, so that a new process finds it.
        options: Its argument.

    Returns:
        What rank 0's function returns, by way of JSON.
    """
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(_rank, (function, options, folder), nprocs=RANKS)
        return json.loads(Path(folder, "result.json").read_text())


def _rank(
    rank: int, function: Callable[[Options], Any], options: Options, folder: str
) -> None:
    warnings.simplefilter("ignore")
    MMLogger.get_current_instance().setLevel("ERROR")
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // RANKS))
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=RANKS
    )
    result = function(options)
    if rank == 0:
        Path(folder, "result.json").write_text(json.dumps(result))
    distributed.destroy_process_group()


def agree(go_on: bool) -> bool:
    """Let rank 0 decide for all ranks."""
    decision = torch.tensor(go_on)
    distributed.broadcast(decision, src=0)
    return bool(decision)
