"""Strict loading of stock models that leave out a part of their own state."""

from collections.abc import Mapping

from torch import Tensor, nn


def load_whole(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a state dict that must fit.

    It is ``load_state_dict`` with ``strict=True``, but for what a stock model takes out
    of the state in a hook of its own because it computes it anew, as Swin V2 does with
    the tables of its windows: a state that has it is not refused.

    Args:
        model: The model, changed in place.
        state: The values, by name.

    Raises:
        RuntimeError: If a name is missing or unknown, or a shape differs.
    """
    found = model.load_state_dict(state, strict=False)
    missing = [name for name in found.missing_keys if name not in state]
    if missing or found.unexpected_keys:
        raise RuntimeError(
            f"Error(s) in loading state_dict for {type(model).__name__}: missing "
            f"key(s) {missing}, unexpected key(s) {found.unexpected_keys}."
        )
