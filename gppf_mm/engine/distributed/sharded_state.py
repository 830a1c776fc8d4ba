"""State dicts of a sharded model and its optimizer, as PyTorch's own hooks see them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from .shard import Shard, is_sharded, shard_of

# How a rank's rows appear in a state dict; None leaves them out.
_Show = Callable[[Tensor, Shard], Tensor | None]


class ShardedState:
    """Lets shards appear in state dicts under the whole tensors' names and shapes.

    A state dict holds them as ``DTensor``, as that of an FSDP2 model does; inside
    `whole` it holds whole tensors on the CPU of rank 0, inside `left_out` nothing of
    them. What is loaded may be either: whole tensors, of a run of any kind, or
    ``DTensor`` of the same ranks.

    Args:
        bank: The module of which all parameters are shards.
        mesh: The ranks.
    """

    def __init__(self, bank: nn.Module, mesh: DeviceMesh) -> None:
        self._bank = bank
        self._mesh = mesh
        self._show: _Show = self.as_dtensor
        # PyTorch marks the hook with an attribute, which a method cannot have.
        bank.register_state_dict_post_hook(partial(self._on_save))
        bank.register_load_state_dict_pre_hook(self._on_load)

    def watch(self, optimizer: Optimizer) -> None:
        """Do the same for an optimizer of these parameters."""
        optimizer.register_state_dict_post_hook(self._on_save_optimizer)
        optimizer.register_load_state_dict_pre_hook(self._on_load_optimizer)

    def as_dtensor(self, rows: Tensor, shard: Shard) -> DTensor:
        """Return a rank's rows as a sharded tensor of the whole shape."""
        return shard.as_dtensor(rows, self._mesh)

    @contextmanager
    def whole(self, optimizer: Optimizer | None) -> Iterator[None]:
        """Let state dicts hold whole tensors; all ranks enter, rank 0 asks.

        Args:
            optimizer: The optimizer whose state is wanted too, or None.
        """
        collected: dict[int, Tensor | None] = {}
        for rows, shard in self._tensors(optimizer):
            collected[id(rows)] = shard.collect(rows)
        with self._showing(lambda rows, shard: collected.get(id(rows))):
            yield

    @contextmanager
    def left_out(self) -> Iterator[None]:
        """Let state dicts hold nothing that is sharded."""
        with self._showing(lambda rows, shard: None):
            yield

    @contextmanager
    def _showing(self, show: _Show) -> Iterator[None]:
        self._show = show
        try:
            yield
        finally:
            self._show = self.as_dtensor

    def _tensors(self, optimizer: Optimizer | None) -> Iterator[tuple[Tensor, Shard]]:
        """Yield all shards, in the same order on all ranks."""
        for parameter in self._bank.parameters():
            yield parameter, shard_of(parameter)
        if optimizer is None:
            return
        for parameter in filter(is_sharded, _parameters(optimizer)):
            for value in optimizer.state.get(parameter, {}).values():
                if _like(value, parameter):
                    yield value, shard_of(parameter)

    def _on_save(self, module: nn.Module, state: dict, prefix: str, meta: dict) -> None:
        for name, parameter in module.named_parameters():
            shown = self._show(parameter, shard_of(parameter))
            if shown is None:
                del state[prefix + name]
            else:
                state[prefix + name] = shown

    def _on_load(
        self, module: nn.Module, state: dict, prefix: str, *others: Any
    ) -> None:
        for name, parameter in module.named_parameters():
            if prefix + name in state:
                value = state[prefix + name]
                state[prefix + name] = _rows(value, shard_of(parameter))

    def _on_save_optimizer(self, optimizer: Optimizer, state: dict) -> dict:
        shown: dict[int, dict[str, Any]] = dict(state["state"])
        for index, parameter in enumerate(_parameters(optimizer)):
            if index in shown and is_sharded(parameter):
                values = {
                    key: self._show(value, shard_of(parameter))
                    if _like(value, parameter)
                    else value
                    for key, value in shown[index].items()
                }
                shown[index] = {k: v for k, v in values.items() if v is not None}
        return {**state, "state": shown}

    def _on_load_optimizer(self, optimizer: Optimizer, state: dict) -> dict:
        loaded = dict(state["state"])
        for index, parameter in enumerate(_parameters(optimizer)):
            if index in loaded and is_sharded(parameter):
                loaded[index] = {
                    # A scalar itself, though the parameter may be one too.
                    key: value if key == "step" else _rows(value, shard_of(parameter))
                    for key, value in loaded[index].items()
                }
        return {**state, "state": loaded}


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    """Return the parameters in the order in which state dicts count them."""
    return [item for group in optimizer.param_groups for item in group["params"]]


def _like(value: Any, parameter: nn.Parameter) -> bool:
    return isinstance(value, Tensor) and value.shape == parameter.shape


def _rows(value: Any, shard: Shard) -> Any:
    """Return this rank's rows of what a state dict holds; else the value itself."""
    if isinstance(value, DTensor):
        return value.to_local()
    if isinstance(value, Tensor) and value.shape in (shard.shape, shard.row_shape):
        return shard.of(value)
    return value
