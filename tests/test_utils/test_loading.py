"""Strict loading, but for what a model takes out of its own state."""

import pytest
import torch
from torch import Tensor, nn

from gppf_mm.utils.loading import load_whole


class Table(nn.Linear):
    """Makes its table anew and takes it out of what it loads, as Swin V2 does."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.register_buffer("table", torch.arange(2))
        self._register_load_state_dict_pre_hook(self._drop)

    def _drop(self, state: dict[str, Tensor], prefix: str, *args: object) -> None:
        state.pop(f"{prefix}table", None)


def test_a_models_own_state_fits_it() -> None:
    model, other = (nn.Sequential(Table()) for _ in range(2))
    with pytest.raises(RuntimeError, match="table"):
        model.load_state_dict(other.state_dict())
    load_whole(model, other.state_dict())
    assert torch.equal(model[0].weight, other[0].weight)


@pytest.mark.parametrize("name", ["0.bias", "0.table"])
def test_what_is_not_there_is_missed(name: str) -> None:
    model = nn.Sequential(Table())
    state = model.state_dict()
    del state[name]
    with pytest.raises(RuntimeError, match=rf"Sequential: missing.*{name}"):
        load_whole(model, state)


def test_unknown_names_and_other_shapes_are_refused() -> None:
    model = nn.Sequential(Table())
    state = model.state_dict()
    with pytest.raises(RuntimeError, match=r"unexpected key\(s\) \['1.bias'\]"):
        load_whole(model, {**state, "1.bias": torch.zeros(2)})
    with pytest.raises(RuntimeError, match=r"size mismatch for 0\.bias"):
        load_whole(model, {**state, "0.bias": torch.zeros(3)})
