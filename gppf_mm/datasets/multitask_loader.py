"""The evaluation loader: the tasks' stock loaders, one after the other."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch.utils.data import DataLoader

from gppf_mm.utils.signals import held


class MultiTaskDataLoader:
    """Runs through the stock loader of each task in turn.

    Args:
        loaders: The stock loader of each task.
    """

    def __init__(self, loaders: Mapping[str, DataLoader]) -> None:
        self.loaders = dict(loaders)

    def __len__(self) -> int:
        """Return the batches of all tasks together."""
        return sum(len(loader) for loader in self.loaders.values())

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Yield each batch with the name of its task."""
        for task, loader in self.loaders.items():
            with held():
                batches = iter(loader)
            for batch in batches:
                yield task, batch

    def sizes(self) -> dict[str, int]:
        """Return the number of samples of each task's set."""
        return {task: len(loader.dataset) for task, loader in self.loaders.items()}

    def metainfo(self) -> dict[str, Any]:
        """Return the ``metainfo`` of each task's dataset, None where it has none."""
        return {
            task: getattr(loader.dataset, "metainfo", None)
            for task, loader in self.loaders.items()
        }
