"""Checkpoints whose tasks were edited, and configs of the tasks that they have."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from torch import Tensor

from gppf_mm.apis import init_model
from gppf_mm.models import GPPF
from gppf_mm.models.transfer import add_task, remove_tasks
from tests.tiny_tasks import tiny_batches

OLD = dict(one=1, two=2, three=3)
FIXED = dict(
    type="gppf_mm.FixedRouter",
    routes=dict(one=[0, 1], two=[0, 2], three=[3], four=[0, 2]),
)
FALLING = dict(
    type="gppf_mm.TopKRouter", k=2, init_std=1.0, temperature=[(0, 1.0), (10, 0.1)]
)
STARTED = dict(FALLING, initial_routes=dict(one=[0, 1], two=[0, 2]))


def config(router: Mapping[str, Any], tasks: Mapping[str, int], **lego: Any) -> Config:
    """Return a config whose router names no other tasks."""
    own = {
        key: {task: units for task, units in value.items() if task in tasks}
        if isinstance(value, dict)
        else value
        for key, value in router.items()
    }
    models = {task: dict(type="TinyTask", outputs=n) for task, n in tasks.items()}
    init = dict(perturbation=0.5)
    lego = dict(num_units=4, router=own, init=init) | lego
    return Config(dict(model=dict(type="GPPF", tasks=models, lego=lego)))


def predictions(model: GPPF, task: str) -> Tensor:
    images = tiny_batches(3)["one"][0]
    with torch.no_grad(), model.eval().activate(task) as stock:
        return stock.head(stock.backbone(images).mean((2, 3)))


def run_of(cfg: Config, step: int = 4) -> tuple[GPPF, dict[str, Any]]:
    """Return a model in the midst of its schedule, and its checkpoint."""
    model = init_model(cfg)
    model.init_weights()
    model.network.set_step(step)
    return model, dict(state_dict=model.state_dict(), meta=dict(cfg=cfg.pretty_text))


@pytest.mark.parametrize("router", [FIXED, FALLING, STARTED])
def test_an_edited_checkpoint_fits_the_config_of_its_tasks(
    tmp_path: Path, router: dict[str, Any]
) -> None:
    trained, content = run_of(config(router, OLD))
    path = tmp_path / "edited.pth"

    torch.save(remove_tasks(content, ["two"]), path)
    model = init_model(config(router, dict(one=1, three=3)), path)
    for task in ("one", "three"):
        assert torch.equal(predictions(model, task), predictions(trained, task))

    torch.save(add_task(content, "four", like="two"), path)
    model = init_model(config(router, OLD | dict(four=2)), path)
    assert torch.equal(predictions(model, "four"), predictions(trained, "two"))


def test_without_its_new_task_a_transfer_is_the_run_that_it_came_from(
    tmp_path: Path,
) -> None:
    cfg = config(FALLING, OLD)
    trained, content = run_of(cfg)
    path = tmp_path / "run.pth"
    torch.save(content, path)
    transfer = dict(checkpoint=str(path), new=dict(four=None), freeze="units")
    _, content = run_of(config(FALLING, OLD | dict(four=4), transfer=transfer), step=7)
    torch.save(remove_tasks(content, ["four"]), path)
    model = init_model(cfg, path)
    for task in OLD:
        assert torch.equal(predictions(model, task), predictions(trained, task))


@pytest.mark.parametrize(
    ("router", "lego"),
    [
        (FALLING, dict(placement=[])),
        (dict(FALLING, group="block", shared_units=0), {}),
        (dict(FALLING, type="TopKRouter"), {}),
        (dict(FALLING, k=[(0, 2)]), {}),
        (dict(FALLING, k=[(0, 2), (3, 2)]), {}),
        (FALLING, dict(num_units=[4, 4])),
        (FALLING, dict(num_units=[("*.0", 4), ("*", 4)])),
    ],
)
def test_the_same_routing_may_be_written_otherwise(
    tmp_path: Path, router: dict[str, Any], lego: dict[str, Any]
) -> None:
    trained, content = run_of(config(FALLING, OLD))
    path = tmp_path / "run.pth"
    torch.save(content, path)
    model = init_model(config(router, OLD, **lego), path)
    assert torch.equal(predictions(model, "one"), predictions(trained, "one"))


@pytest.mark.parametrize(
    ("trained", "other", "key"),
    [
        (FIXED, dict(routes=FIXED["routes"] | dict(two=[0, 3])), "routes.two"),
        (FALLING, dict(temperature=0.5), "temperature"),
        (FALLING, dict(shared_units=1), "shared_units"),
        (FALLING, dict(k=3), "k"),
        (FALLING, dict(k=[(0, 2), (3, 3)]), "k"),
        (FALLING, dict(temperature=[(0, 1.0), (10, 0.2)]), "temperature"),
        (FALLING, dict(type="gppf_mm.SoftRouter", k=None), "type"),
    ],
)
def test_other_routing_is_refused(
    tmp_path: Path, trained: dict[str, Any], other: dict[str, Any], key: str
) -> None:
    path = tmp_path / "run.pth"
    torch.save(run_of(config(trained, OLD))[1], path)
    router = {k: v for k, v in {**trained, **other}.items() if v is not None}
    with pytest.raises(ValueError, match=f"with `model.lego.router.{key}`"):
        init_model(config(router, OLD), path)
    init_model(config(dict(trained, seed=7), OLD), path)


def test_what_changes_no_prediction_may_differ(tmp_path: Path) -> None:
    """A default that is written out, and what concerns a training alone."""
    path = tmp_path / "run.pth"
    trained, content = run_of(config(FALLING | dict(freeze_at=20, noise=0.5), OLD))
    torch.save(content, path)
    present = FALLING | dict(k=2.0, shared_units=0, gradient="masked_softmax")
    model = init_model(config(present, OLD), path)
    assert torch.equal(predictions(model, "one"), predictions(trained, "one"))
