"""Resuming from files that have to be refused, and along notes that lead nowhere."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

from mmengine.config import Config

from .attempts import Attempt, Starter
from .cases import FILE_CASES, FileCase, trace_of
from .result import Reference
from .subject import ITERATIONS
from .trace import TRACE_NAME, TraceReader

_SECONDS = 120.0


@dataclass(frozen=True)
class Refusal:
    """What came of one attempt to resume.

    Attributes:
        name: The case's name.
        code: The exit code.
        message: The first words of the error, or what happened.
        wrong: What was not as it has to be, empty if nothing.
    """

    name: str
    code: int | None
    message: str
    wrong: tuple[str, ...]


def refuse_files(
    starter: Starter, config: Path, whole: Path, folder: Path
) -> Iterator[Refusal]:
    """Give ``--resume`` each file of `FILE_CASES`.

    Args:
        starter: Starts the runs.
        config: The run's config.
        whole: A checkpoint of that run.
        folder: Where to write; it must not exist.

    Yields:
        What came of each.
    """
    folder.mkdir()
    cfg = Config.fromfile(config)
    for number, case in enumerate(FILE_CASES):
        path = folder / f"file_{number}.pth"
        case.make(whole, path, cfg)
        work_dir = folder / f"run_{number}"
        work_dir.mkdir()
        args: list[str | Path] = [config, "--work-dir", work_dir, f"--resume={path}"]
        run = starter.start("fork", args, work_dir / "run.log")
        run.wait(_SECONDS)
        run.is_left(10)
        yield _judge(case, path, run)


def _judge(case: FileCase, path: Path, run: Attempt) -> Refusal:
    output = run.output()
    error = output.rpartition("error: ")[2].replace(str(path.parent), "").strip()
    wrong = []
    if run.code() != 2:
        wrong.append(f"ends with code {run.code()}")
    if str(path) not in output or "Traceback" in output:
        wrong.append("is not named")
    if case.message not in error:
        wrong.append("does not say why")
    if trace_of(path).exists():
        wrong.append("its code was run")
    message = shorten(error, 130, placeholder=" ...")
    return Refusal(case.name, run.code(), message, tuple(wrong))


def follow_notes(
    starter: Starter, config: Path, reference: Reference, work_dir: Path, folder: Path
) -> Iterator[Refusal]:
    """Resume where ``last_checkpoint`` is empty or names a file that is gone.

    Args:
        starter: Starts the runs.
        config: The run's config.
        reference: The uninterrupted run.
        work_dir: Its work dir.
        folder: Where to write; it must not exist.

    Yields:
        What came of each.
    """
    folder.mkdir()
    for number, note in enumerate(("", "/gone/iter_99.pth")):
        copy = folder / f"run_{number}"
        shutil.copytree(work_dir, copy)
        (copy / "last_checkpoint").write_text(note)
        (copy / f"iter_{ITERATIONS}.pth").unlink()
        trace = TraceReader(copy / TRACE_NAME)
        args: list[str | Path] = [config, "--work-dir", copy, "--resume"]
        run = starter.start("fork", args, copy / "run.log")
        run.wait(_SECONDS)
        run.is_left(10)
        events = trace.read()
        begun = next((e.iteration for e in events if e.name == "begin"), None)
        equal = bool(events) and events[-1].digests == reference.digests
        wrong = () if equal else ("does not end as the uninterrupted run",)
        name = f"`last_checkpoint` {'names a missing file' if note else 'is empty'}"
        message = f"resumed from step {begun}, bit-equal: {'yes' if equal else 'no'}"
        yield Refusal(name, run.code(), message, wrong)
