"""What a method remembers is in the checkpoint, which holds no code."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.runner.checkpoint import (
    get_state_dict,
    load_state_dict,
    weights_to_cpu,
)
from torchjd import Stateful, aggregation, scalarization

from gppf_mm.models import GPPF
from tests.tiny_tasks import OVERLAPPING, build_tiny, tiny_batches

METHODS: dict[str, dict[str, Any]] = dict(
    UW={},
    IMTLL={},
    DWA=dict(epoch_length=2),
    FAMO=dict(lr=0.1),
    GradVac={},
    PCD=dict(beta=0.5),
    ExcessMTL=dict(n_warmup_steps=2),
    NashMTL=dict(update_weights_every=2),
)
SAVED_AT, END = 5, 9


def test_every_method_with_a_memory_is_tried() -> None:
    stateful = {
        name
        for module in (aggregation, scalarization)
        for name in module.__all__
        if issubclass(getattr(module, name), Stateful)
        and not name.endswith("Weighting")
    }
    assert set(METHODS) == stateful


def build(name: str) -> tuple[GPPF, OptimWrapper]:
    model = build_tiny(OVERLAPPING, weighting=dict(type=name, **METHODS[name]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    return model, OptimWrapper(optimizer)


def train(model: GPPF, optim: OptimWrapper, begin: int, end: int) -> list[float]:
    weights = []
    for iteration in range(begin, end):
        model.network.set_step(iteration)
        log = model.train_step(tiny_batches(iteration), optim)
        weights.append(log["two/weight"].item())
    return weights


@pytest.mark.parametrize("name", METHODS)
def test_a_resumed_run_continues_bit_by_bit(name: str, tmp_path: Path) -> None:
    model, optim = build(name)
    train(model, optim, 0, SAVED_AT)
    # As MMEngine's runner saves and loads.
    state = weights_to_cpu(get_state_dict(model))
    torch.save(dict(model=state, optim=optim.state_dict()), tmp_path / "saved.pth")
    expected = train(model, optim, SAVED_AT, END)
    assert len(set(expected)) > 1

    resumed, other = build(name)
    saved = torch.load(tmp_path / "saved.pth", weights_only=True)
    load_state_dict(resumed, saved["model"], strict=True)
    other.load_state_dict(saved["optim"])
    # A second save before the first step must not forget.
    again = get_state_dict(resumed)["weighting._extra_state"]
    assert str(again) == str(saved["model"]["weighting._extra_state"])
    assert train(resumed, other, SAVED_AT, END) == expected
    for key, value in model.state_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(resumed.state_dict()[key], value), key
    states = (model.state_dict(), resumed.state_dict())
    one, two = (str(item["weighting._extra_state"]) for item in states)
    assert one == two
