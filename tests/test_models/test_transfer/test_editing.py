"""Tasks added to checkpoints, removed, and kept in small files."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from gppf_mm.apis import check_checkpoint
from gppf_mm.engine.runner.resuming import check_resumable
from gppf_mm.export import export_state_dict
from gppf_mm.models import GPPF
from gppf_mm.models.transfer import (
    add_task,
    extract_tasks,
    insert_tasks,
    remove_tasks,
    task_names,
)
from gppf_mm.registry import MODELS
from gppf_mm.utils.loading import load_whole, order_tasks
from tests.tiny_tasks import NAMES, TOP2, build_tiny, tiny_batches

GUMBEL = dict(type="GumbelTopKRouter", k=2, anneal_iters=10, init_std=1.0)


def build(outputs: dict[str, int], **lego: object) -> GPPF:
    tasks = {task: dict(type="TinyTask", outputs=n) for task, n in outputs.items()}
    lego = dict(num_units=4, router=GUMBEL, **lego)
    return MODELS.build(dict(type="GPPF", tasks=tasks, lego=lego)).eval()


def predictions(model: GPPF, task: str) -> torch.Tensor:
    images = tiny_batches(3)["one"][0]
    with torch.no_grad(), model.eval().activate(task) as stock:
        return stock.head(stock.backbone(images).mean((2, 3)))


@pytest.fixture
def trained() -> GPPF:
    model = build_tiny(GUMBEL)
    model.network.set_step(4)
    return model.eval()


def content_of(model: GPPF) -> dict:
    meta = dict(iter=4, dataset_meta={task: dict(classes=(task,)) for task in NAMES})
    return dict(
        state_dict=model.state_dict(), meta=meta, optimizer=dict(param_groups=[])
    )


def test_the_rest_predicts_what_it_did(trained: GPPF) -> None:
    content = remove_tasks(content_of(trained), ["two"])
    assert task_names(content) == ("one", "three")
    assert set(content["meta"]["dataset_meta"]) == {"one", "three"}
    assert "optimizer" not in content
    model = build(dict(one=1, three=3))
    model.load_state_dict(content["state_dict"])
    for task in ("one", "three"):
        assert torch.equal(predictions(model, task), predictions(trained, task))


def test_an_added_task_is_the_one_that_it_copies(trained: GPPF) -> None:
    content = add_task(content_of(trained), "four", like="two")
    assert content["meta"]["dataset_meta"]["four"] == dict(classes=("two",))
    model = build(dict(one=1, two=2, three=3, four=2))
    model.load_state_dict(content["state_dict"])
    assert torch.equal(predictions(model, "four"), predictions(trained, "two"))
    again = remove_tasks(content, ["four"])
    assert again["state_dict"].keys() == trained.state_dict().keys()


def test_training_goes_on_from_an_edited_file(trained: GPPF, tmp_path: Path) -> None:
    path = str(tmp_path / "more.pth")
    torch.save(add_task(content_of(trained), "four", like="two"), path)
    model = build(dict(one=1, two=2, three=3, four=2), transfer=dict(checkpoint=path))
    with pytest.raises(ValueError, match="cannot be resumed from"):
        check_resumable(path, model)
    model.init_weights()
    assert model.trained_tasks == (*NAMES, "four")
    for task, like in dict(one="one", three="three", four="two").items():
        assert torch.equal(predictions(model, task), predictions(trained, like))
    model.network.set_step(3)
    assert {model.network.step_of(task) for task in model.task_names} == {4 + 3}


def test_a_small_file_makes_the_task_whole_again(trained: GPPF, tmp_path: Path) -> None:
    path = str(tmp_path / "trained.pth")
    torch.save(content_of(trained), path)
    transfer = dict(checkpoint=path, new=dict(four=dict(route="one")), freeze="units")
    everything = dict(one=1, two=2, three=3, four=5)
    new = build(everything, transfer=transfer)
    new.init_weights()
    new.network.set_step(3)
    new.network.router.logits["four"].data.normal_()
    small = extract_tasks(dict(state_dict=new.state_dict(), meta={}), ["four"])
    assert not any("bank" in name for name in small["state_dict"])
    whole = insert_tasks(content_of(trained), small)
    model = build(everything, transfer=transfer)
    model.load_state_dict(whole["state_dict"])
    assert torch.equal(predictions(model, "four"), predictions(new, "four"))
    for task in NAMES:
        assert torch.equal(predictions(model, task), predictions(trained, task))
    with pytest.raises(ValueError, match=r"the task 'four'.* already"):
        insert_tasks(whole, small)
    # Over other units the route means nothing.
    trained.network.bank.units("backbone.0.weight")[0].data += 1
    with pytest.raises(ValueError, match="trained over other units"):
        insert_tasks(content_of(trained), small)


def test_a_part_of_a_small_file_belongs_to_the_same_units(trained: GPPF) -> None:
    content = content_of(trained)
    small = extract_tasks(content, ["two", "three"])
    again = insert_tasks(
        remove_tasks(content, ["three"]), extract_tasks(small, ["three"])
    )
    assert task_names(again) == ("one", "two", "three")


def test_an_edited_file_has_no_state_of_a_weighting() -> None:
    """It is of as many tasks as there were."""
    content = content_of(build_tiny(GUMBEL, weighting=dict(type="UW")))
    assert any(name.startswith("weighting.") for name in content["state_dict"])
    small = extract_tasks(content, ["two"])
    rest = dict(remove_tasks(content, ["two"]))
    weighted = {k: v for k, v in content["state_dict"].items() if "weighting" in k}
    rest["state_dict"] = {**rest["state_dict"], **weighted}
    for edited in (small, insert_tasks(rest, small), add_task(content, "four", "two")):
        assert not any(name.startswith("weighting.") for name in edited["state_dict"])


def test_an_edited_file_fits_a_config_with_a_weighting() -> None:
    """What trains is another matter; the tools that test and export need none."""
    content = content_of(build_tiny(GUMBEL, weighting=dict(type="UW")))
    edited = remove_tasks(add_task(content, "four", like="two"), ["four"])
    model = build_tiny(GUMBEL, weighting=dict(type="UW"))
    check_checkpoint(model, Config(), edited, "edited.pth")
    load_whole(model, edited["state_dict"])


def build_shared(kinds: dict[str, str], **options: object) -> GPPF:
    """Build tasks that may share all they have."""
    tasks = {task: dict(type=kind, outputs=2) for task, kind in kinds.items()}
    router = dict(TOP2, k=1, group="layer")
    lego = dict(num_units=3, router=router, norm="unit", init=dict(perturbation=0.5))
    lego.update(options.pop("lego", {}))
    options = dict(dict(share=("backbone", "neck", "head")), **options)
    model = MODELS.build(dict(type="GPPF", tasks=tasks, lego=lego, **options))
    model.init_weights()
    return model.eval()


def test_a_task_that_leaves_renumbers_no_groups() -> None:
    """It is the first, and has no neck: the others' routes go by the parts' order."""
    kinds = dict(plain="TinyTask", one="TinyNeckTask", two="TinyNeckTask")
    options = dict(lego=dict(placement=[("backbone.*", "private")]))
    model = build_shared(kinds, **options)
    content = remove_tasks(dict(state_dict=model.state_dict(), meta={}), ["plain"])
    rest = build_shared(dict(list(kinds.items())[1:]), **options)
    assert rest.network.router.groups == model.network.router.groups
    check_checkpoint(rest, Config(), content, "rest.pth")
    load_whole(rest, content["state_dict"])
    for task in ("one", "two"):
        expected = export_state_dict(model, task)
        for name, value in export_state_dict(rest, task).items():
            assert torch.equal(value, expected[name])


@pytest.fixture
def alike() -> GPPF:
    """Tasks that have nothing of their own but routes."""
    return build_shared(dict(night="TinyNeckTask", day="TinyNeckTask"))


def test_a_task_without_values_of_its_own_is_known(alike: GPPF, tmp_path: Path) -> None:
    content = dict(state_dict=alike.state_dict(), meta={})
    assert not any(name.startswith("tasks.") for name in content["state_dict"])
    assert task_names(content) == ("night", "day")
    cfg = dict(model=dict(tasks=dict(day=1, night=2)))
    order_tasks(cfg, content["state_dict"])
    assert list(cfg["model"]["tasks"]) == ["night", "day"]
    torch.save(add_task(content, "dusk", like="day"), tmp_path / "more.pth")
    kinds = dict.fromkeys(("night", "day", "dusk"), "TinyNeckTask")
    transfer = dict(checkpoint=str(tmp_path / "more.pth"))
    more = build_shared(kinds, lego=dict(transfer=transfer))
    logits = {**alike.network.router.logits, "dusk": alike.network.router.logits["day"]}
    for task, expected in logits.items():
        assert torch.equal(more.network.router.logits[task], expected)


def test_parts_in_another_order_are_refused(alike: GPPF, tmp_path: Path) -> None:
    """Names and shapes would all fit, and routes be taken for those of other layers."""
    content = dict(state_dict=alike.state_dict(), meta={}, message_hub={}, optimizer={})
    torch.save(content, tmp_path / "x.pth")
    kinds = dict.fromkeys(("night", "day"), "TinyNeckTask")
    other = build_shared(kinds, share=("neck", "backbone", "head"))
    with pytest.raises(ValueError, match=r"in another order, as of another `model\.sh"):
        check_checkpoint(other, Config(), content, "x.pth")
    with pytest.raises(ValueError, match="shared layers are in another order"):
        check_resumable(str(tmp_path / "x.pth"), other)
    check_resumable(str(tmp_path / "x.pth"), alike)


@pytest.mark.parametrize("name", ["router", "network", "tasks", "weight"])
def test_a_task_may_have_the_name_of_a_module(name: str) -> None:
    kinds = {name: "TinyNeckTask", "det": "TinyNeckTask"}
    content = dict(state_dict=build_shared(kinds).state_dict(), meta={})
    logits = "network.router.logits"
    for task, other in ((name, "det"), ("det", name)):
        left = remove_tasks(content, [task])["state_dict"]
        assert [key for key in left if logits in key] == [f"{logits}.{other}"]
    more = add_task(content, "new", like=name)["state_dict"]
    assert set(more) - set(content["state_dict"]) == {f"{logits}.new"}


def test_wrong_names(trained: GPPF) -> None:
    content = content_of(trained)
    with pytest.raises(ValueError, match="Did you mean 'three'"):
        remove_tasks(content, ["tree"])
    with pytest.raises(ValueError, match="at least one to"):
        remove_tasks(content, NAMES)
    with pytest.raises(ValueError, match="which the checkpoint has already"):
        add_task(content, "two", like="one")
    with pytest.raises(ValueError, match="use letters, digits"):
        add_task(content, "a.b", like="one")
