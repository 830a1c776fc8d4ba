"""torch.compile for the networks of the tasks."""

from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import Any

import torch
from torch import nn

from gppf_mm.utils.messages import check_names

from .gppf import GPPF

# What `torch.compile` takes besides the model.
_OPTIONS = ("fullgraph", "dynamic", "backend", "mode", "options", "disable")


def compile_networks(
    model: GPPF, options: bool | Mapping[str, Any] | None = True
) -> None:
    """Let ``torch.compile`` make each task's shared parts, and its neck, faster.

    Heads and losses stay as they are: stock ones read data samples, which would break
    the graph at every line. A weight that a plan lays into a skeleton is an input of
    the compiled graph, so that new values and other units, step after step, compile
    nothing anew; image sizes, training and evaluation do, once each. The names in
    state dicts stay.

    Args:
        model: The multi-task model. What it computes stays the same.
        options: The arguments of ``torch.compile``, such as ``dict(mode=
            'max-autotune-no-cudagraphs')``; True for its defaults, False or None for
            nothing. Defaults to True.

    Raises:
        TypeError: If the options are neither a bool nor a dict.
        ValueError: If PyTorch does not know one of them.
    """
    if options is None:
        return
    if not isinstance(options, bool | Mapping):
        raise TypeError(
            f"`compile` is {options!r}; expected True, False or a dict of arguments "
            "for torch.compile, such as compile=dict(backend='inductor')."
        )
    if options is False:
        return
    options = {} if options is True else dict(options)
    check_names("compile", options, _OPTIONS)
    for task, name, part in _parts(model):
        # `part.compile()` would do, but for what `_own_frame` says. As there, this is
        # no module, hence no new name in a state dict, and copies do without it.
        part._compiled_call_impl = _compiled(part, f"{name} of task {task!r}", options)


def _parts(model: GPPF) -> Iterator[tuple[str, str, nn.Module]]:
    """Yield the parts that are worth it, with their task and name."""
    for task, stock in model.tasks.items():
        for name in dict.fromkeys((*model.share, "neck")):
            part = model.paths[task].find(stock, name)
            if part is None:
                continue
            # Global pooling is not.
            if name in model.share or next(part.parameters(), None) is not None:
                yield task, name, part


def _compiled(
    part: nn.Module, what: str, options: Mapping[str, Any]
) -> Callable[..., Any]:
    # Not at the top: it takes a second.
    from torch._dynamo.exc import TorchDynamoException

    try:
        run = torch.compile(_own_frame(part), **options)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"`compile` is {dict(options)}, which PyTorch refuses: {error}"
        ) from error

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return run(*args, **kwargs)
        except TorchDynamoException as error:
            raise RuntimeError(
                f"The {what} cannot be compiled ({type(error).__name__}: {error}). "
                "Does it run without? Set `compile=False`. If it does, choose another "
                "backend: 'inductor', the default, needs a C++ compiler, or Triton for "
                "a GPU; compile=dict(backend='aot_eager') needs neither."
            ) from error

    return call


def _own_frame(part: nn.Module) -> Callable[..., Any]:
    """Return a function that calls a module, with byte code of its own.

    PyTorch keeps what it has compiled, learns which sizes vary, and counts up to its
    limit of 8 variants by code object. Tasks of one library have the same ``forward``:
    the fifth one, trained and evaluated, would silently run uncompiled.
    """

    def run(*args: Any, **kwargs: Any) -> Any:
        return part._call_impl(*args, **kwargs)

    return FunctionType(
        run.__code__.replace(), run.__globals__, closure=run.__closure__
    )
