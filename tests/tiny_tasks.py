"""Tasks of a few parameters, for tests that need many steps or exact references."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from gppf_mm.models import GPPF
from gppf_mm.registry import MODELS

NAMES = ("one", "two", "three")
# Unit 1 is trained by one and two, unit 2 by two and three, units 0 and 3 by one task.
OVERLAPPING = dict(
    type="FixedRouter", routes=dict(one=[0, 1], two=[1, 2], three=[2, 3])
)
HARD = dict(type="FixedRouter")
TOP2 = dict(type="TopKRouter", k=2, init_std=1.0)


@MODELS.register_module()
class TinyTask(BaseModel):
    """A regression whose batches are tuples; two layers are shared."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Tanh(), nn.Conv2d(4, 5, 1))
        self.head = nn.Linear(5, outputs)

    def forward(self, images: Tensor, targets: Tensor, mode: str) -> dict[str, Tensor]:
        found = self.head(self.backbone(images).mean((2, 3)))
        return dict(loss_fit=(found - targets).square().mean())


@MODELS.register_module()
class TinyNeckTask(TinyTask):
    """The same with a neck that tasks may share, and a norm in the backbone."""

    def __init__(self, outputs: int) -> None:
        super().__init__(outputs)
        self.backbone.insert(1, nn.BatchNorm2d(4))
        self.neck = nn.Linear(5, 5)

    def forward(self, images: Tensor, targets: Tensor, mode: str) -> dict[str, Tensor]:
        found = self.head(self.neck(self.backbone(images).mean((2, 3))))
        return dict(loss_fit=(found - targets).square().mean())


def build_tiny(router: Mapping[str, Any], num_units: int = 4, **others: Any) -> GPPF:
    """Build a GPPF over three tiny tasks, the same at every call."""
    torch.manual_seed(0)
    tasks = {
        task: dict(type="TinyTask", outputs=index + 1)
        for index, task in enumerate(NAMES)
    }
    lego = dict(num_units=num_units, router=dict(router), init=dict(perturbation=0.5))
    lego.update(others.pop("lego", {}))
    model = MODELS.build(dict(type="GPPF", tasks=tasks, lego=lego, **others))
    torch.manual_seed(1)
    model.init_weights()
    return model.train()


def tiny_batches(seed: int = 0, size: int = 4) -> dict[str, tuple[Tensor, Tensor]]:
    """Return a batch of each task; their gradients conflict."""
    generator = torch.Generator().manual_seed(seed)
    return {
        task: (
            torch.randn(size, 3, 4, 4, generator=generator),
            torch.randn(size, index + 1, generator=generator) * (index + 1),
        )
        for index, task in enumerate(NAMES)
    }


class KeepGradients(torch.optim.SGD):
    """Notes the gradients that a step would use, and takes no step."""

    def step(self, closure: None = None) -> None:
        self.seen = [
            None if item.grad is None else item.grad.clone()
            for item in self.param_groups[0]["params"]
        ]


def step_gradients(
    model: nn.Module,
    *steps: Mapping[str, Any],
    wrapper: type[OptimWrapper] = OptimWrapper,
    **options: Any,
) -> tuple[dict[str, Tensor | None], dict[str, Tensor]]:
    """Return the gradients with which the optimizer would step, and the last log."""
    optimizer = KeepGradients(model.parameters(), lr=1.0)
    wrapped = wrapper(optimizer=optimizer, accumulative_counts=len(steps), **options)
    for data in steps:
        log = model.train_step(data, wrapped)
    names = [name.removeprefix("module.") for name, _ in model.named_parameters()]
    return dict(zip(names, optimizer.seen, strict=True)), log


def task_loss(model: GPPF, task: str, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return a task's weighted loss, with its graph."""
    with model.activate(task) as stock:
        loss = stock.parse_losses(stock(*batch, mode="loss"))[0]
    return model.loss_weights[task] * loss


def own_gradients(
    model: GPPF, data: Mapping[str, tuple[Tensor, Tensor]]
) -> dict[str, dict[str, Tensor]]:
    """Return the gradients of each task alone, by the parameter's name."""
    found = {}
    for task, batch in data.items():
        model.zero_grad()
        task_loss(model, task, batch).backward()
        found[task] = {
            name: item.grad.clone()
            for name, item in model.named_parameters()
            if item.grad is not None
        }
    model.zero_grad()
    return found
