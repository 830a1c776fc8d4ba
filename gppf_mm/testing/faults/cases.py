"""Checkpoint files that nobody should resume from, and notes that lead nowhere."""

import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from gppf_mm.registry import MODELS

MakeFile = Callable[[Path, Path, Config], None]


@dataclass(frozen=True)
class FileCase:
    """A file that ``--resume`` has to refuse.

    Attributes:
        name: Its name in tables.
        make: Writes it; gets a whole checkpoint, the file to write, and the config.
        message: What the error says besides the file's name.
    """

    name: str
    make: MakeFile
    message: str


class Code:
    """Writes a file when it is unpickled without protection.

    Args:
        trace: The file.
    """

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def trace_of(path: Path) -> Path:
    """Return the file that a checkpoint with code would write."""
    return path.with_suffix(".ran")


def _cut(share: float, less: int = 0) -> MakeFile:
    def make(whole: Path, path: Path, cfg: Config) -> None:
        shutil.copyfile(whole, path)
        os.truncate(path, int(share * whole.stat().st_size) - less)

    return make


def _load(whole: Path) -> dict[str, Any]:
    return torch.load(whole, map_location="cpu", weights_only=True)


def _stock(whole: Path, path: Path, cfg: Config) -> None:
    """Write a checkpoint of the same age of mmdet's own detector."""
    content = _load(whole)
    detector = MODELS.build(cfg.model.tasks.det.copy())
    torch.save({**content, "state_dict": detector.state_dict()}, path)


def _other_tasks(whole: Path, path: Path, cfg: Config) -> None:
    content = _load(whole)
    state = content["state_dict"]
    for name in [name for name in state if name.startswith("tasks.cls.")]:
        del state[name]
    torch.save(content, path)


def _weights(whole: Path, path: Path, cfg: Config) -> None:
    torch.save(_load(whole)["state_dict"], path)


def _tensors(whole: Path, path: Path, cfg: Config) -> None:
    torch.save([torch.zeros(3)], path)


def _pickle(whole: Path, path: Path, cfg: Config) -> None:
    path.write_bytes(pickle.dumps({"state_dict": {}}))


def _code(whole: Path, path: Path, cfg: Config) -> None:
    torch.save({**_load(whole), "extra": Code(trace_of(path))}, path)


def _code_alone(whole: Path, path: Path, cfg: Config) -> None:
    path.write_bytes(pickle.dumps(Code(trace_of(path))))


FILE_CASES = (
    FileCase("empty file", _cut(0), "cut off"),
    FileCase("first half", _cut(0.5), "cut off"),
    FileCase("all but the last byte", _cut(1, less=1), "cut off"),
    FileCase("checkpoint of mmdet's own detector", _stock, "of another model"),
    FileCase("checkpoint of a run without one of the tasks", _other_tasks, "missing"),
    FileCase("weights alone", _weights, "without 'state_dict'"),
    FileCase("list of tensors", _tensors, "holds a list"),
    FileCase("pickle of a dict", _pickle, "no file of torch.save"),
    FileCase("checkpoint with code in it", _code, "more than weights"),
    FileCase("pickle of code", _code_alone, "no file of torch.save"),
)
