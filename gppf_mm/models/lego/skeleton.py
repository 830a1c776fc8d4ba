"""A task's skeleton: a stock network whose shared parameters live in a bank."""

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from .placement import Placement


class Skeleton:
    """Takes the bank's parameters out of a stock network and lays weights into it.

    The network's class, geometry and private parameters stay; its forward pass is
    stock code. Between two passes the emptied places hold shapes without values, so
    that stock code which looks at shapes works and a pass without weights fails.

    Attributes:
        names: Names of the parameters that live in the bank, tied ones by the first.
        frozen: Names of the parameters that the stock network does not train (frozen
            stages); no gradient flows from this task to their units.
        aliases: Further names of tied parameters, which stand in several places, and
            for each its first name, the one that the bank knows.

    Args:
        network: The stock network. It is changed in place.
        placement: The placement of each of its parameters, by (first) name, and of the
            buffers that are to leave it, running statistics.

    Raises:
        ValueError: If a parameter is to leave a recurrent layer.
    """

    def __init__(self, network: nn.Module, placement: Mapping[str, Placement]) -> None:
        # Stock networks freeze stages in `train`, some only there.
        network.train(network.training)
        self._slots: dict[str, tuple[nn.Module, str]] = {}
        self._idle: dict[str, Tensor] = {}
        self.aliases: dict[str, str] = {}
        firsts: dict[int, str] = {}
        frozen = set()
        names = []
        tensors = chain(
            network.named_parameters(remove_duplicate=False),
            network.named_buffers(remove_duplicate=False),
        )
        for name, tensor in list(tensors):
            first = firsts.setdefault(id(tensor), name)
            if placement.get(first, "private") == "private":
                continue
            path, _, leaf = name.rpartition(".")
            owner = network.get_submodule(path)
            _check_owner(owner, name)
            if isinstance(tensor, nn.Parameter):
                names.append(first)
                if not tensor.requires_grad:
                    frozen.add(name)
            elif name == first:
                owner.register_load_state_dict_pre_hook(_ask_for_no_counter)
            # A module in two places, unlike a parameter, is emptied once.
            owner._parameters.pop(leaf, None)
            owner._buffers.pop(leaf, None)
            self._slots[name] = (owner, leaf)
            if name != first:
                self.aliases[name] = first
            shape = torch.empty_like(tensor, device="meta")
            self._idle[first] = shape.as_subclass(_Absent)
        self.names = tuple(dict.fromkeys(names))
        self.frozen = frozenset(frozen)
        # Some modules derive a tensor from their weights on the way to evaluation:
        # attention biases of LeViT and EfficientFormer. It is theirs to renew.
        owners = dict.fromkeys(owner for owner, _ in self._slots.values())
        self._deriving = [
            owner for owner in owners if type(owner).train is not nn.Module.train
        ]
        self.clear()

    def lay(self, weights: Mapping[str, Tensor]) -> None:
        """Put weights in place; they stay, for recomputation too, until `clear`.

        Args:
            weights: One tensor for each of `names` and of the buffers.
        """
        self._place(weights)
        for owner in self._deriving:
            if not any(module.training for module in owner.modules()):
                owner.train(False)

    def _place(self, weights: Mapping[str, Tensor]) -> None:
        for name, (owner, leaf) in self._slots.items():
            # Not `setattr`: it would register a unit as the skeleton's parameter.
            owner.__dict__[leaf] = weights[self.aliases.get(name, name)]

    def clear(self) -> None:
        """Take the weights out, so that nothing keeps a step's tensors alive."""
        self._place(self._idle)


def _ask_for_no_counter(
    module: nn.Module, state: dict[str, Any], prefix: str, *others: Any
) -> None:
    """Take out the counter that a batch norm adds to states without versions."""
    state.pop(f"{prefix}num_batches_tracked", None)


def _check_owner(owner: nn.Module, name: str) -> None:
    if isinstance(owner, nn.RNNBase):
        raise ValueError(
            f"{name!r} cannot live in the bank: a {type(owner).__name__} keeps a list "
            "of its weights beside them and would run with the old ones. Leave it "
            "private, as it is by default: take it out of `model.lego.placement`."
        )


_HARMLESS = (
    "__get__",
    "__getitem__",
    "__repr__",
    "__set__",
    "dim",
    "numel",
    "requires_grad_",
    "size",
)


class _Absent(Tensor):
    """A weight that is not there: it can be looked at, but not computed with.

    A plain meta tensor is not enough: PyTorch's CPU convolution takes one beside a real
    input without complaint and returns what happens to lie in memory.
    """

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        # `__get__` reads an attribute such as the shape; `__set__` is `requires_grad`,
        # which stock code clears on what it freezes, each time it is set to training. A
        # selection, which some make then too, is no less absent.
        if func.__name__ in _HARMLESS:
            return super().__torch_function__(func, types, args, kwargs or {})
        raise RuntimeError(
            "A shared network ran without its weights, which live in the bank between "
            "two passes. Run it, and the backward pass of a checkpointed block, inside "
            "`with model.activate(task):`."
        )

    def __deepcopy__(self, memo: dict) -> "_Absent":
        return self
