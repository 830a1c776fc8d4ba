from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from gppf_mm.visualization import mixing_weights, plot_routing_map
from tests.stand_ins import TASKS, build_gppf

ROUTERS = dict(
    one_hot=dict(type="FixedRouter", routes=dict(det=[0], seg=[1], cls=[2])),
    topk=dict(type="TopKRouter", k=2, group="stage", init_std=1.0),
    gumbel=dict(type="GumbelTopKRouter", k=2, anneal_iters=100, init_std=1.0),
)


@pytest.mark.parametrize("router", ROUTERS)
@pytest.mark.parametrize("task", TASKS)
def test_table_assembles_the_evaluation_weights(router: str, task: str):
    """Mixing the units by the table gives the weights that evaluation runs with."""
    model = build_gppf(ROUTERS[router], lego=dict(init=dict(perturbation=0.5)))
    groups, table = mixing_weights(model.train(), task)
    assert model.network.training
    network = model.eval().network
    with torch.no_grad():
        for name, expected in network.weights(task).items():
            row = torch.from_numpy(np.nan_to_num(table))[
                groups.index(network.groups[name])
            ]
            mixed = sum(
                weight.float() * unit
                for weight, unit in zip(row, network.bank.units(name), strict=True)
            )
            torch.testing.assert_close(mixed, expected, rtol=1e-5, atol=1e-6)


def test_inactive_units_are_marked_and_the_others_sum_to_one():
    _, table = mixing_weights(build_gppf(ROUTERS["topk"]), "det")
    assert (np.isnan(table).sum(axis=1) == 2).all()
    assert np.nansum(table, axis=1) == pytest.approx(1)


def test_map_shows_inactive_units_in_grey(tmp_path: Path):
    """One unit of four is active in each task: three quarters of the cells are grey."""
    model = build_gppf(ROUTERS["one_hot"])
    plot_routing_map(model, tmp_path / "map.png")
    picture = cv2.imread(str(tmp_path / "map.png"))
    active = cv2.inRange(picture, (36, 231, 253), (37, 231, 253)).sum()  # BGR
    grey = cv2.inRange(picture, (224, 224, 224), (225, 225, 225)).sum()
    assert grey / active == pytest.approx(3, rel=0.1)
