"""What a run does when, written where another process can read it."""

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from gppf_mm.registry import HOOKS

from .digest import state_digests

TRACE_NAME = "trace.jsonl"


@dataclass(frozen=True)
class Event:
    """One line of a trace.

    Attributes:
        name: What begins: ``build`` (the model is built), ``begin`` (training),
            ``step``, ``save``, ``save best``, ``stepped`` (a step with its checkpoint
            is done), ``validate``, ``validated`` or ``end``.
        iteration: The step, from 1; at ``begin`` the one resumed from.
        time: Seconds of the machine's monotonic clock.
        rank: The rank of the process.
        pid: The process.
        digests: At ``end``, the digests of what the run ends with.
    """

    name: str
    iteration: int
    time: float
    rank: int
    pid: int
    digests: dict[str, str] = field(default_factory=dict)


@HOOKS.register_module()
class TraceHook(Hook):
    """Appends an `Event` to ``trace.jsonl`` in the work dir at each turn of a run."""

    # After the checkpoint hook: what follows `stepped` is not saving any more.
    priority = "LOWEST"

    def _note(self, runner: Runner, name: str, iteration: int, **more: Any) -> None:
        line = dict(name=name, iteration=iteration, time=time.monotonic())
        line.update(rank=get_rank(), pid=os.getpid(), **more)
        with Path(runner.work_dir, TRACE_NAME).open("a") as file:
            file.write(json.dumps(line) + "\n")

    def before_run(self, runner: Runner) -> None:
        """Note that the model is built."""
        self._note(runner, "build", 0)

    def before_train(self, runner: Runner) -> None:
        """Note the iteration that is resumed from."""
        self._note(runner, "begin", runner.iter)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Note a step."""
        self._note(runner, "step", runner.iter + 1)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note that a checkpoint is about to be written."""
        validating = runner.message_hub.get_info("loop_stage") == "val"
        name = "save best" if validating else "save"
        self._note(runner, name, checkpoint["meta"]["iter"])

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Note that a step and its checkpoint are done."""
        self._note(runner, "stepped", runner.iter + 1)

    def before_val(self, runner: Runner) -> None:
        """Note a validation."""
        self._note(runner, "validate", runner.iter)

    def after_val(self, runner: Runner) -> None:
        """Note that a validation is done."""
        self._note(runner, "validated", runner.iter)

    def after_train(self, runner: Runner) -> None:
        """Note what the run ends with."""
        self._note(runner, "end", runner.iter, digests=state_digests(runner))


class TraceReader:
    """Reads a trace while it is written.

    Args:
        path: The file; it need not exist yet, and may hold earlier runs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[Event] = []
        self._position = path.stat().st_size if path.is_file() else 0

    def read(self) -> list[Event]:
        """Read the lines that are new and whole.

        Returns:
            All events since the reader was made.
        """
        if self.path.is_file():
            with self.path.open("rb") as file:
                file.seek(self._position)
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._position += len(whole)
            self.events += [Event(**json.loads(line)) for line in whole.splitlines()]
        return self.events
