"""Training steps as calls without arguments."""

from collections.abc import Mapping

from mmengine.config import Config
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from .options import Options
from .tasks import build_stock, held_by, optimizer_for


class Step:
    """A training step that is called again and again.

    Args:
        model: A model with MMEngine's ``train_step``.
        data: Its batch, or batches.
    """

    def __init__(self, model: nn.Module, data: Mapping) -> None:
        self.model = model
        self.data = data
        self.optimizer: OptimWrapper = optimizer_for(model)

    def __call__(self) -> None:
        """Take the step."""
        self.model.train_step(self.data, self.optimizer)

    def held(self) -> list[Tensor]:
        """List what stays in memory between two steps."""
        return held_by(self.model, self.optimizer)


class StockSteps:
    """The steps of the tasks' stock models, one after the other.

    Args:
        cfg: The multi-task config.
        batches: A batch of each task.
        options: Gives the device and the seed.
    """

    def __init__(
        self, cfg: Config, batches: Mapping[str, Mapping], options: Options
    ) -> None:
        self.steps = [
            Step(build_stock(cfg, task, options), batch)
            for task, batch in batches.items()
        ]

    def __call__(self) -> None:
        """Take all steps."""
        for step in self.steps:
            step()
