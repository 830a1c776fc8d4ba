"""The run from which a transfer starts."""

from collections.abc import Iterable
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from mmengine.runner import CheckpointLoader
from torch import Tensor

from gppf_mm.utils.loading import saved_tasks
from gppf_mm.utils.remote import is_remote
from gppf_mm.utils.sharded_files import read_folder

from ..origins import saved_positions
from ..parts import PartPaths
from ..routing_settings import read_model, read_settings


class TrainedRun:
    """A checkpoint of a `GPPF` run.

    Args:
        path: The file, or the folder of a sharded checkpoint.
        where: The config key that names it, for errors.

    Attributes:
        tasks: The tasks of the run.
        network: The values of bank, router and schedule, by name.
        settings: What decides its plans besides, as far as its config tells; see
            `read_settings`.
        paths: Where tasks have the shared parts, if elsewhere and as far as its config
            tells.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it cannot be read, or is none of a `GPPF` run.
    """

    def __init__(self, path: str, where: str) -> None:
        self.where = where
        self.path = path
        content = _read(path, where)
        state = content.get("state_dict", content)
        meta = content.get("meta")
        text = meta.get("cfg") if isinstance(meta, dict) else None
        self.settings = read_settings(text)
        self.paths = _paths(read_model(text).get("parts"))
        self._state = {
            name: value for name, value in state.items() if torch.is_tensor(value)
        }
        self.network = self._below("network.")
        self.tasks = tuple(saved_tasks(state))
        if not self.tasks or not any(name.startswith("bank.") for name in self.network):
            example = next(iter(state), None)
            raise ValueError(
                f"`{where}` is {path!r}, which is no checkpoint of a GPPF run: it has "
                f"no lego bank, and its first entry is {example!r}. A stock checkpoint "
                "may start a training, as `init.checkpoint` beside `transfer`."
            )

    def of_task(self, task: str) -> dict[str, Tensor]:
        """Return a task's own values, by the stock model's names."""
        return self._below(f"tasks.{task}.")

    def position(self, task: str) -> int:
        """Return where a task's routing schedule stood."""
        # In the order of the config, which is that of the modules.
        positions = saved_positions(self.network, self.tasks)
        return positions[self.tasks.index(task)]

    def require(self, key: str, tasks: Iterable[str]) -> None:
        """Require that the run has tasks.

        Raises:
            ValueError: If it has not; the message names the config key.
        """
        for task in tasks:
            if task not in self.tasks:
                raise ValueError(
                    f"`{key}` names the task {task!r}, which {self.path!r} does not "
                    f"have; it has {', '.join(map(repr, self.tasks))}."
                )

    def _below(self, prefix: str) -> dict[str, Tensor]:
        return {
            name[len(prefix) :]: value
            for name, value in self._state.items()
            if name.startswith(prefix)
        }


def _read(path: str, where: str) -> dict[str, Any]:
    if not is_remote(path) and not Path(path).exists():
        raise FileNotFoundError(
            f"`{where}` is {path!r}, and there is no such checkpoint (seen from "
            f"{Path.cwd()}); expected a file that tools/train.py wrote, such as "
            "work_dirs/NAME/iter_N.pth."
        )
    try:
        if Path(path).is_dir():
            content = read_folder(path)
        else:
            content = CheckpointLoader.load_checkpoint(path, map_location="cpu")
    except Exception as error:  # What torch raises depends on the first bytes.
        reason = shorten(f"{type(error).__name__}: {error}", 160, placeholder=" ...")
        raise ValueError(
            f"`{where}` is {path!r}, which cannot be read as a checkpoint ({reason}); "
            "expected a file that tools/train.py wrote."
        ) from error
    return content if isinstance(content, dict) else {}


def _paths(parts: Any) -> dict[str, PartPaths]:
    found = parts.items() if isinstance(parts, dict) else ()
    return {task: PartPaths(own) for task, own in found if isinstance(own, dict)}
