"""What a model has to offer to be a task."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Protocol, runtime_checkable

from mmengine.model import BaseAveragedModel
from torch import Tensor, nn

from gppf_mm.registry import MODELS
from gppf_mm.utils.messages import describe

# A file that is not found may be the config of another model, as of a teacher.
_REFUSALS = (
    AssertionError,
    AttributeError,
    FileNotFoundError,
    KeyError,
    TypeError,
    ValueError,
)


@runtime_checkable
class TaskModel(Protocol):
    """What the SIMT step and evaluation ask of a task's model.

    Every ``mmengine.model.BaseModel`` has it, hence every model of mmdet, mmseg,
    mmpretrain and their siblings. Anything else can be made a task by a thin class of
    these methods around it.

    Attributes:
        data_preprocessor: Called with a batch and whether it is for training; makes
            the arguments of ``forward``.
    """

    data_preprocessor: nn.Module

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = "") -> Any:
        """Return the losses by name for ``mode='loss'``."""

    def parse_losses(self, losses: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss to differentiate, and values to log."""

    def test_step(self, data: Any) -> list:
        """Return the predictions for a batch, as the task's metrics take them."""


def build_task_model(task: str, cfg: Mapping[str, Any]) -> nn.Module:
    """Build a task's stock model.

    Args:
        task: The task, for the error.
        cfg: The stock config of its model.

    Raises:
        ValueError: If the stock classes do not take the config, or do not find a file
            that it names.
    """
    try:
        return MODELS.build(deepcopy(cfg))
    except _REFUSALS as error:
        raise ValueError(
            f"`model.tasks.{task}` cannot be built: {describe(error)}. Mend the "
            "recipe's `model`, or what the task's `cfg_options` or a common "
            "`backbone` change in it."
        ) from error


def check_task_model(task: str, model: nn.Module) -> None:
    """Require that a model can be a task.

    Args:
        task: The task, for the error.
        model: Its model.

    Raises:
        TypeError: If it lacks a part of `TaskModel`.
        ValueError: If it keeps a moving average of its own weights, or leaves weights
            out of its state dict.
    """
    if not isinstance(model, TaskModel):
        wanted = ("data_preprocessor", "forward", "parse_losses", "test_step")
        missing = [name for name in wanted if not hasattr(model, name)]
        raise TypeError(
            f"`model.tasks.{task}` is a {type(model).__name__}, which has no "
            f"{', '.join(missing)}; expected a model of mmdet, mmseg, mmpretrain or "
            "another mmengine.model.BaseModel. Put the module into one."
        )
    _check_no_average(task, model)
    _check_whole_state(task, model)


def _check_no_average(task: str, model: nn.Module) -> None:
    """Refuse a momentum encoder, whose source has its weights in the bank.

    It would have to follow the weights that the plan assembles, and these are not there
    when the stock model updates it.
    """
    for name, module in model.named_modules():
        if isinstance(module, BaseAveragedModel):
            raise ValueError(
                f"`model.tasks.{task}` ({type(model).__name__}) keeps a moving average "
                f"of its own weights in {name!r} ({type(module).__name__}), which "
                "cannot follow weights that live in the bank. Use a task without a "
                "momentum encoder."
            )


def _check_whole_state(task: str, model: nn.Module) -> None:
    """Refuse a model whose checkpoint is a part of it, as that of a LoRA adapter.

    Its export would lose what the bank has of the rest.
    """
    state = model.state_dict()
    missing = [name for name, _ in model.named_parameters() if name not in state]
    if missing:
        raise ValueError(
            f"`model.tasks.{task}` ({type(model).__name__}) leaves {len(missing)} of "
            f"its weights out of its state dict, {missing[0]!r} first, as adapters "
            "such as LoRA do; an export would lose what it has learnt of them. Use the "
            "model without the adapter."
        )
