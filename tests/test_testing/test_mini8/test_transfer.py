"""Fine-tuning starts from a run of the main section, whatever its router."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope
from torch import nn

from gppf_mm.registry import MODELS
from gppf_mm.testing.mini8 import Bench, sections

CONFIGS = Path(__file__).parents[3] / "configs/mini8"
LEGOS = ("lego4_soft", "lego9_soft", "lego12_soft", "lego5_fixed")


def trained(bench: Bench, name: str) -> dict[str, torch.Tensor]:
    """Write what a finished run of the main section would leave."""
    run = bench.run_of(sections()["main"][name], "test", 0, bench.rates[name])
    run.prepare()
    model = MODELS.build(run.parts["all"].model)
    model.init_weights()
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    path = run.folder / "all" / f"iter_{run.iterations}.pth"
    path.parent.mkdir()
    torch.save(dict(meta={}, state_dict=model.state_dict()), path)
    (run.folder / "result.json").write_text(json.dumps(dict(metrics={})))
    return model.network.eval().weights("objects")


def build(bench: Bench, best: str, way: str) -> nn.Module:
    variant = sections(best)["transfer"][f"{best}:{way}~10%"]
    cfg = bench.run_of(variant, "tune", 0, 1e-3).parts["heldout"]
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = MODELS.build(cfg.model)
    model.init_weights()
    return model


@pytest.mark.parametrize("best", LEGOS)
def test_every_way_starts_from_the_route_of_objects(best: str, tmp_path: Path):
    bench = Bench(CONFIGS, tmp_path, iterations=20)
    wanted = trained(bench, best)
    learns = {}
    for way in ("copy", "route_only", "both"):
        network = build(bench, best, way).backbone.network
        found = network.eval().weights("task")
        for name, value in found.items():
            assert torch.equal(value, wanted[name])
        learns[way] = [
            any(item.requires_grad for item in part.parameters())
            for part in (network.bank, network.router)
        ]
    assert learns == dict(
        copy=[True, False], route_only=[False, True], both=[True, True]
    )
