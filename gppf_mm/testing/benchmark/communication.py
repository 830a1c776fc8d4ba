"""What a distributed step sends against the gradients that it has."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gppf_mm.registry import MODEL_WRAPPERS

from .figure import Figure, Goal
from .memory import MIB
from .options import Options
from .ranks import run_ranks
from .steps import Step
from .tasks import RECIPES, TOP2, build_gppf, set_up

_UNITS = 4


def comm_over_grad(options: Options) -> list[Figure]:
    """Count the bytes of all collectives of one step, and of its gradients."""
    found = run_ranks(count_bytes, options)
    total = sum(found["sent"].values())
    names = ", ".join(
        f"{name} {size / MIB:.2f} MiB" for name, size in sorted(found["sent"].items())
    )
    return [
        Figure(
            "comm_over_grad",
            "bytes reduced in a step / bytes of active gradients; 3 tasks, 2 ranks",
            total / found["gradients"],
            Goal("=", 1.00),
            sides={
                "reduced": f"{total / MIB:.2f} MiB",
                "gradients": f"{found['gradients'] / MIB:.2f} MiB",
            },
            note=names,
        )
    ]


def count_bytes(options: Options) -> dict[str, Any]:
    """Count in one of the ranks; the second step, once all is set up."""
    cfg, batches = set_up(RECIPES, options, size=128)
    model = build_gppf(cfg, _UNITS, TOP2, options)
    wrapper = MODEL_WRAPPERS.build(dict(type="SIMTDataParallel", module=model))
    step = Step(wrapper, batches)
    gradients = 0

    def count(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        nonlocal gradients
        gradients = sum(
            item.grad.nbytes
            for group in optimizer.param_groups
            for item in group["params"]
            if item.grad is not None
        )

    step.optimizer.optimizer.register_step_pre_hook(count)
    step()
    with Collectives() as collectives:
        step()
    return dict(sent=collectives.sizes, gradients=gradients)


class Collectives(TorchDispatchMode):
    """Counts the bytes of the tensors that collectives work on.

    Of what a collective gathers or scatters the whole counts, not a rank's part.

    Attributes:
        sizes: The bytes by the collective's name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sizes: Counter[str] = Counter()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operator and count what a collective gets first, its tensors."""
        space, _, name = str(func).rpartition("::")[2].partition(".")
        if space in ("c10d", "_c10d_functional") and args:
            self.sizes[name.partition(".")[0]] += max(map(_bytes, args[:2]))
        return func(*args, **(kwargs or {}))


def _bytes(value: Any) -> int:
    return sum(leaf.nbytes for leaf in tree_leaves(value) if isinstance(leaf, Tensor))
