"""Routes of a run under another router."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from torch import Tensor

from gppf_mm.models import GPPF
from gppf_mm.registry import MODELS
from tests.tiny_tasks import tiny_batches

OLD = dict(one=1, two=2)
NEW = OLD | dict(four=2)
LEARNED = dict(
    type="gppf_mm.TopKRouter", k=2, init_std=1.0, temperature=[(0, 1.0), (10, 0.5)]
)
FIXED = dict(type="gppf_mm.FixedRouter", routes=dict(one=[0, 1], two=[0, 2]))


def settings(
    tasks: Mapping[str, int], router: Mapping[str, Any], **lego: Any
) -> dict[str, Any]:
    models = {task: dict(type="TinyTask", outputs=n) for task, n in tasks.items()}
    lego = dict(num_units=4, router=dict(router), init=dict(perturbation=0.5), **lego)
    return dict(type="GPPF", tasks=models, lego=lego)


def built(cfg: Mapping[str, Any]) -> GPPF:
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg))
    model.init_weights()
    return model.eval()


def checkpoint(folder: Path, router: Mapping[str, Any]) -> tuple[GPPF, str]:
    """Return a model in the midst of its schedule, and its checkpoint."""
    cfg = settings(OLD, router)
    model = built(cfg)
    model.network.set_step(7)
    path = folder / "run.pth"
    text = Config(dict(model=cfg)).pretty_text
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=text)), path)
    return model, str(path)


def features(model: GPPF, task: str) -> Tensor:
    images = tiny_batches(3)["one"][0]
    with torch.no_grad(), model.activate(task) as stock:
        return stock.backbone(images)


OTHER = [
    (LEARNED, dict(k=1), "router.k"),
    (LEARNED, dict(temperature=1.0), "router.temperature"),
    (LEARNED, dict(type="gppf_mm.SoftRouter", k=None), "router.type"),
    (LEARNED, dict(shared_units=1), "router.shared_units"),
    (FIXED, dict(routes=dict(one=[0, 1], two=[0, 3], four=[0])), "router.routes.two"),
]


@pytest.mark.parametrize(("router", "other", "key"), OTHER)
def test_kept_tasks_need_the_router_that_they_were_trained_with(
    tmp_path: Path, router: dict, other: dict, key: str
):
    path = checkpoint(tmp_path, router)[1]
    present = {k: v for k, v in {**router, **other}.items() if v is not None}
    transfer = dict(checkpoint=path, new=dict(four=None), freeze="units")
    with pytest.raises(ValueError, match=rf"`{key}` .* 'one', 'two' would not predict"):
        built(settings(NEW, present, transfer=transfer))


def test_a_route_that_is_copied_for_good_needs_its_router(tmp_path: Path):
    path = checkpoint(tmp_path, LEARNED)[1]
    new = dict(four=dict(route="two"))
    transfer = dict(checkpoint=path, new=new, freeze="routes")
    with pytest.raises(ValueError, match=r"`router.k` 2, .*'routes' out of"):
        built(settings(dict(four=2), LEARNED | dict(k=1), transfer=transfer))


def test_a_route_that_learns_on_may_have_another_with_a_warning(
    tmp_path: Path, monkeypatch
):
    said: list[str] = []
    monkeypatch.setattr(
        "gppf_mm.models.transfer.comparing.print_log",
        lambda text, **_: said.append(text),
    )
    path = checkpoint(tmp_path, LEARNED)[1]
    cfg = settings(dict(four=2), LEARNED | dict(k=1))
    for route in ("two", None):
        new = dict(four=dict(route=route, norms="two"))
        cfg["lego"]["transfer"] = dict(checkpoint=path, new=new)
        built(cfg)
    assert len(said) == 1
    assert "`router.k` 2, and the model has 1" in said[0]


@pytest.mark.parametrize("route", ["two", None])
def test_a_route_over_other_groups_is_refused(tmp_path: Path, route: str | None):
    path = checkpoint(tmp_path, LEARNED | dict(group="layer"))[1]
    transfer = dict(checkpoint=path, new=dict(four=dict(route=route, norms="two")))
    cfg = settings(dict(four=2), LEARNED | dict(group="stage"), transfer=transfer)
    if route is None:  # A route that is learned may be over any groups.
        built(cfg)
        return
    with pytest.raises(ValueError, match=r"run\.pth.*`router\.group` 'layer'.*'stage'"):
        built(cfg)


def test_what_only_a_training_knows_may_differ(tmp_path: Path):
    """So that a frozen run's tasks can be trained on, and are what they were."""
    trained, path = checkpoint(tmp_path, LEARNED | dict(freeze_at=20, noise=0.5))
    present = LEARNED | dict(k=2.0, gradient="masked_softmax", shared_units=0, seed=3)
    transfer = dict(checkpoint=path, new=dict(four=None), freeze="units")
    model = built(settings(NEW, present, transfer=transfer))
    for task in OLD:
        assert torch.equal(features(model, task), features(trained, task))
