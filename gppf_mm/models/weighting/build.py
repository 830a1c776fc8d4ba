"""From ``model.weighting`` to a weighting."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from gppf_mm.registry import MODELS
from gppf_mm.utils.messages import (
    check_arguments,
    check_names,
    check_tasks,
    is_number,
)

from .aggregation import GradientAggregation
from .base import Weighting
from .catalogue import find_methods
from .losses import LossWeighting

_WHERE = "model.weighting"
# Arguments of torchjd that follow from the tasks.
_SIZES = ("shape", "n_tasks")


def build_weighting(cfg: Mapping[str, Any], tasks: Sequence[str]) -> Weighting:
    """Build a task weighting.

    Args:
        cfg: ``type``, the name of a scalarizer or aggregator of torchjd or of a
            registered `Weighting`, and its arguments. What torchjd wants as a vector
            over the tasks (``weights``, ``pref_vector``, ...) is a dict by task.
            Besides: ``seed`` of random methods (default: 0), and for DWA
            ``epoch_length`` in optimizer steps (default: 1000, our choice).
        tasks: The tasks.

    Raises:
        ImportError: If the method needs a package that is not there.
        ValueError: If the type or an argument is unknown or refused.
    """
    if not isinstance(cfg, Mapping) or "type" not in cfg:
        raise ValueError(
            f"`{_WHERE}` is {cfg!r}; expected a dict with the key `type`, such as "
            "dict(type='UW'), or None for fixed `loss_weights`."
        )
    args = dict(cfg)
    name = args.pop("type")
    own = name if inspect.isclass(name) else MODELS.get(name)
    if inspect.isclass(own) and issubclass(own, Weighting):
        check_arguments(_WHERE, cfg, own, ("tasks",))
        # Not by name: another library's default scope would look for it there.
        return MODELS.build(dict(cfg, type=own, tasks=tasks))
    scalarizers, aggregators = find_methods(name)
    if name not in scalarizers and name not in aggregators:
        raise ValueError(_unknown(name, [*scalarizers], [*aggregators]))
    options = {"seed": 0} | ({"epoch_length": 1000} if name == "DWA" else {})
    options |= {key: args.pop(key) for key in list(args) if key in options}
    method = _Method({**scalarizers, **aggregators}[name], args)
    method.check(tasks, options)
    made = method(tuple(tasks), torch.device("cpu"))
    if name in aggregators:
        return GradientAggregation(tasks, method, **options)
    return LossWeighting(tasks, made, **options)


@dataclass(frozen=True)
class _Method:
    """A class of torchjd and its arguments, to be made for any of the tasks."""

    cls: type[nn.Module]
    args: dict[str, Any]

    def check(self, tasks: Sequence[str], options: Iterable[str]) -> None:
        """Require arguments that the class has, of all tasks where they are by task.

        Args:
            tasks: The tasks.
            options: What may stand beside them, for the error.
        """
        known = [name for name in self._names() if name not in _SIZES]
        check_names(_WHERE, self.args, [*known, *options])
        for name, value in self.args.items():
            if isinstance(value, Mapping):
                check_tasks(f"{_WHERE}.{name}", value, tasks)
                for task, number in value.items():
                    if not is_number(number):
                        raise ValueError(
                            f"`{_WHERE}.{name}.{task}` is {number!r}; expected a "
                            "number."
                        )
            elif isinstance(value, (list, tuple)):
                raise ValueError(
                    f"`{_WHERE}.{name}` is {value!r}; expected a number for each task, "
                    f"as in {name}=dict({tasks[0]}=1.0, ...)."
                )

    def __call__(self, tasks: tuple[str, ...], device: torch.device) -> nn.Module:
        args = {name: _value(value, tasks, device) for name, value in self.args.items()}
        args |= {name: len(tasks) for name in _SIZES if name in self._names()}
        try:
            return self.cls(**args)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"`{_WHERE}` is refused by torchjd's {self.cls.__name__}: {error}"
            ) from error

    def _names(self) -> list[str]:
        return list(inspect.signature(self.cls).parameters)


def _value(value: Any, tasks: tuple[str, ...], device: torch.device) -> Any | Tensor:
    if isinstance(value, Mapping):
        return torch.tensor([float(value[task]) for task in tasks], device=device)
    return value


def _unknown(name: str, scalarizers: list[str], aggregators: list[str]) -> str:
    close = get_close_matches(str(name), [*scalarizers, *aggregators], n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return (
        f"`{_WHERE}.type` is {name!r}; expected 'ScheduledWeighting', one of torchjd's "
        f"scalarizers, {', '.join(scalarizers)}, or one of its aggregators, "
        f"{', '.join(aggregators)}.{hint}"
    )
