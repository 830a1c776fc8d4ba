"""FLOPs and parameters of each task, beside its stock model."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from gppf_mm.export import export_state_dict
from gppf_mm.models import GPPF
from gppf_mm.registry import MODELS
from gppf_mm.utils.from_scratch import without_weights
from gppf_mm.utils.loading import load_whole
from gppf_mm.utils.seeding import seed_everything

from .flops import count_flops, image_input
from .image_shape import find_image_shape
from .parameters import ParameterCount, assembly_flops, count_parameters

Shape = tuple[int, int]


@dataclass(frozen=True)
class Complexity:
    """What one task costs.

    Attributes:
        shape: Height and width of the image, before padding.
        flops: FLOPs of one image through the task's assembled network.
        stock_flops: Those of the task's stock model.
        assembly_flops: FLOPs of assembling the weights, once for each step.
        active: Parameters that the task's plan activates.
        total: Parameters that are stored for the task.
        stock: Parameters of the stock model.
    """

    shape: Shape
    flops: int
    stock_flops: int
    assembly_flops: int
    active: int
    total: int
    stock: int


@dataclass(frozen=True)
class ModelComplexity:
    """What a multi-task model costs.

    Attributes:
        tasks: What each task costs.
        active: Parameters that some task's plan activates.
        total: Parameters that are stored.
        stock: Parameters of all stock models together.
    """

    tasks: Mapping[str, Complexity]
    active: int
    total: int
    stock: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return asdict(self)


def measure_tasks(
    cfg: Config,
    shape: Shape | None = None,
    seed: int = 0,
    on_task: Callable[[str], None] | None = None,
) -> ModelComplexity:
    """Measure each task of a config with random weights, on the CPU.

    The routers' schedules stand at the last iteration of ``train_cfg``.

    The stock model gets the assembled weights, so that both see the same proposals
    where these decide how much is computed. Pretrained weights are left out, so that
    nothing is downloaded, and no data set is needed.

    Args:
        cfg: A multi-task config; see `gppf_mm.apis.load_config`.
        shape: Height and width of the image. Defaults to None, each recipe's own test
            size, see `find_image_shape`.
        seed: Seed of the weights. Defaults to 0.
        on_task: Called with the name of each task before it is measured. Defaults to
            None.

    Returns:
        The FLOPs and the parameters.

    Raises:
        ValueError: If a recipe sets no image size and ``shape`` is None, or it is no
            size.
    """
    if shape is not None and min(shape) < 1:
        raise ValueError(f"--shape is {shape}; expected height and width from 1.")
    tasks = cfg.model.tasks
    shapes = {task: shape or find_image_shape(cfg, task) for task in tasks}
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "gppf_mm")):
        model = _build(cfg, seed)
        counts, whole = count_parameters(model)
        found = {}
        for task in tasks:
            if on_task is not None:
                on_task(task)
            found[task] = _measure(model, task, shapes[task], counts[task], seed)
    return ModelComplexity(
        found, whole.active, whole.total, sum(item.stock for item in found.values())
    )


def _build(cfg: Config, seed: int) -> GPPF:
    model_cfg = deepcopy(cfg.model)
    for task, stock in model_cfg.tasks.items():
        model_cfg.tasks[task] = without_weights(stock)
    seed_everything(seed)
    model: GPPF = MODELS.build(model_cfg).eval()
    # Tasks that a transfer keeps stand where their run has ended, which is not known
    # before it is read: they are measured where the others are.
    model.network.origins = None
    # What is trained for: `k` may fall until then.
    last = (cfg.get("train_cfg") or {}).get("max_iters", 1)
    model.network.set_step(last - 1)
    return model


def _measure(
    model: GPPF, task: str, shape: Shape, count: ParameterCount, seed: int
) -> Complexity:
    stock = MODELS.build(deepcopy(model._task_cfgs[task]))
    load_whole(stock, export_state_dict(model, task))
    channels = _channels(stock)
    with model.activate(task) as own:
        flops = _flops(own, shape, channels, seed)
    stock_flops = _flops(stock, shape, channels, seed)
    return Complexity(
        shape=shape,
        flops=flops,
        stock_flops=stock_flops,
        assembly_flops=assembly_flops(model, task),
        active=count.active,
        total=count.total,
        stock=sum(value.numel() for value in stock.parameters()),
    )


def _flops(model: nn.Module, shape: Shape, channels: int, seed: int) -> int:
    seed_everything(seed)  # Some stock models draw masks.
    return count_flops(model, image_input(model, shape, channels, seed))


def _channels(model: nn.Module) -> int:
    mean = getattr(model.data_preprocessor, "mean", None)
    return 3 if mean is None else len(mean)
