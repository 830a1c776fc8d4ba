"""First values: the stock initialisation, pretrained files, and units that can part."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from torch import Tensor

from gppf_mm.models import GPPF
from gppf_mm.models.lego import LegoBank
from gppf_mm.registry import MODELS
from tests.stand_ins import TASKS, build_gppf, build_stock, task_configs

SOFT = dict(type="SoftRouter")
CONV = "backbone.layer2.0.conv1.weight"


def build(num_units: int = 3, tasks: dict | None = None, **init: object) -> GPPF:
    return build_gppf(SOFT, num_units, tasks, lego=dict(init=init))


def stacked(model: GPPF, name: str = CONV) -> Tensor:
    return torch.stack(model.network.bank.units(name)).detach()


def spread(model: GPPF) -> float:
    """Return the noise by which two units differ, relative to their size."""
    first, second, _ = stacked(model)
    return ((first - second).std() / first.std() / 2**0.5).item()


def test_values_are_those_of_the_stock_initialisation() -> None:
    model = MODELS.build(
        dict(
            type="GPPF",
            tasks=task_configs(),
            lego=dict(num_units=2, router=SOFT, init=dict(perturbation=0)),
        )
    )
    torch.manual_seed(7)
    model.init_weights()
    torch.manual_seed(7)
    for index, task in enumerate(TASKS):
        stock = build_stock(task)
        stock.init_weights()
        own = model.tasks[task].state_dict()
        for name, value in stock.state_dict().items():
            if name in own:
                assert torch.equal(own[name], value), f"{task}.{name}"
            elif index == 0:
                units = model.network.bank.units(name)
                assert all(torch.equal(unit, value) for unit in units), name


def test_units_are_equal_but_for_the_perturbation() -> None:
    first, *others = stacked(build(perturbation=0))
    assert all(torch.equal(first, other) for other in others)
    # 4608 values: the deviation of the estimate is 1%.
    assert spread(build()) == pytest.approx(0.01, rel=0.05)
    assert spread(build(perturbation=0.1)) == pytest.approx(0.1, rel=0.05)


def test_a_single_unit_is_the_stock_initialisation() -> None:
    """Hard sharing has nothing to part; its start is that of the stock library."""
    values = {"0.weight": torch.randn(8, 3, 3, 3)}
    bank = LegoBank(values, shared={}, num_units=1)
    bank.fill([values], perturbation=0.5)
    assert torch.equal(bank.units("0.weight")[0], values["0.weight"])


def test_independent_draws_have_nothing_in_common() -> None:
    units = stacked(build(units="independent", perturbation=0)).flatten(1)
    correlation = torch.corrcoef(units) - torch.eye(3)
    # 4608 values: the deviation of the estimate is 0.015.
    assert correlation.abs().max() < 0.06


def detectors_with_necks(
    placement: Sequence[tuple[str, str]] = (), **init: object
) -> GPPF:
    """Build a GPPF whose first task has no neck and whose other two have the same."""
    cfgs = task_configs()
    # As many stock configs say it.
    seg = dict(cfgs["seg"], neck=None)
    tasks = dict(seg=seg, det=cfgs["det"], faces=task_configs()["det"])
    lego = dict(num_units=2, router=SOFT, init=dict(perturbation=0, **init))
    lego["placement"] = placement
    return MODELS.build(
        dict(type="GPPF", tasks=tasks, lego=lego, share=("backbone", "neck"))
    )


NECK = "neck.lateral_convs.0.conv.weight"


def test_a_part_starts_from_the_first_task_that_has_it() -> None:
    model = detectors_with_necks()
    torch.manual_seed(7)
    model.init_weights()
    torch.manual_seed(7)
    states = {}
    for task in ("seg", "det"):
        stock = build_stock(task)
        stock.init_weights()
        states[task] = stock.state_dict()
    units = model.network.bank.units
    assert all(torch.equal(unit, states["seg"][CONV]) for unit in units(CONV))
    assert all(torch.equal(unit, states["det"][NECK]) for unit in units(NECK))


def test_independent_draws_cover_all_parts() -> None:
    model = detectors_with_necks(units="independent")
    model.init_weights()
    for name in (CONV, NECK):
        first, second = model.network.bank.units(name)
        correlation = torch.corrcoef(torch.stack([first, second]).detach().flatten(1))
        assert abs(correlation[0, 1]) < 0.2, name


@pytest.mark.parametrize("units", ["equal", "independent"])
def test_a_backbones_file_leaves_the_neck_to_the_recipe(
    tmp_path: Path, units: str
) -> None:
    state, file = backbone_state(0), tmp_path / "backbone.pth"
    torch.save(state, file)
    model = detectors_with_necks(checkpoint=str(file), units=units)
    model.init_weights()
    pretrained, neck = (model.network.bank.units(name) for name in (CONV, NECK))
    expected = state["layer2.0.conv1.weight"]
    assert all(torch.equal(unit, expected) for unit in pretrained)
    assert torch.equal(*neck) == (units == "equal")
    assert all(0 < unit.std() < 1 for unit in neck)


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_a_backbones_file_is_not_taken_for_a_necks(tmp_path: Path, prefix: str) -> None:
    """Also where the neck alone has units, which the bank names first."""
    state, file = backbone_state(0), tmp_path / "backbone.pth"
    torch.save({f"{prefix}{name}": value for name, value in state.items()}, file)
    model = detectors_with_necks([("backbone.*", "shared")], checkpoint=str(file))
    model.init_weights()
    found = model.network.weights("det")[CONV]
    torch.testing.assert_close(found, state["layer2.0.conv1.weight"])


def test_a_file_may_hold_all_shared_parts_but_not_a_half(tmp_path: Path) -> None:
    file = tmp_path / "detector.pth"
    stock = build_stock("det").state_dict()
    torch.save(dict(state_dict=stock), file)
    model = detectors_with_necks(checkpoint=str(file))
    model.init_weights()
    for name in (CONV, NECK):
        units = model.network.bank.units(name)
        assert all(torch.equal(unit, stock[name]) for unit in units)
    del stock[NECK]
    torch.save(dict(state_dict=stock), file)
    with pytest.raises(ValueError, match=f"holds nothing for '{NECK}'"):
        model.init_weights()


def test_what_tasks_keep_private_starts_as_in_the_recipe() -> None:
    tasks = task_configs()
    tasks["seg"]["backbone"].update(depth=34)
    lego = dict(num_units=2, router=SOFT, mismatch="private")
    model = MODELS.build(dict(type="GPPF", tasks=tasks, lego=lego))
    torch.manual_seed(7)
    model.init_weights()
    torch.manual_seed(7)
    build_stock("det").init_weights()
    stock = MODELS.build(ConfigDict(tasks["seg"]))
    stock.init_weights()
    own = model.tasks.seg.state_dict()
    assert "backbone.layer1.2.conv1.weight" in own
    state = stock.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in own.items())


def backbone_state(seed: int) -> dict[str, Tensor]:
    """Return the state of a narrow ResNet-18 without its prefix, all of it drawn."""
    stock = build_stock("cls").backbone
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(value.shape, generator=generator)
        if value.is_floating_point()
        else torch.full_like(value, 5)
        for name, value in stock.state_dict().items()
    }


def assert_loaded(model: GPPF, state: dict[str, Tensor]) -> None:
    bank = model.network.bank
    reached = set()
    for name, value in state.items():
        full = f"backbone.{name}"
        if full in bank.lego_names:
            reached.add(full)
            assert all(torch.equal(unit, value) for unit in bank.units(full)), full
        else:
            for task in TASKS:
                own = model.tasks[task].state_dict()
                assert torch.equal(own[full], value), f"{task}.{full}"
    assert reached == set(bank.lego_names)


@pytest.mark.parametrize("prefix", ["", "backbone.", "module.backbone."])
@pytest.mark.parametrize("units", ["equal", "independent"])
def test_pretrained_file_reaches_all_units_and_norms(
    tmp_path: Path, prefix: str, units: str
) -> None:
    state = backbone_state(0)
    content = {f"{prefix}{name}": value for name, value in state.items()}
    if prefix:
        # A whole checkpoint, as MMEngine's runner writes it.
        log = HistoryBuffer(np.array([1.0]), np.array([1]))
        hub = dict(log_scalars={"train/loss": log})
        content = dict(meta=dict(iter=3), state_dict=content, message_hub=hub)
    file = tmp_path / "pretrained.pth"
    torch.save(content, file)
    model = build(checkpoint=str(file), units=units, perturbation=0)
    assert_loaded(model, state)


def test_torchvision_file_loads_as_it_is(tmp_path: Path) -> None:
    state = torchvision.models.resnet18(weights=None).state_dict()
    file = tmp_path / "resnet18.pth"
    torch.save(state, file)
    model = build(tasks=task_configs(width=64), checkpoint=str(file), perturbation=0)
    state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    assert_loaded(model, state)


def test_pretrained_file_leaves_heads_and_spares_the_recipes_download(
    tmp_path: Path,
) -> None:
    state = {f"backbone.{name}": value for name, value in backbone_state(0).items()}
    classes = torch.full((5, 128), 9.0)
    file = tmp_path / "classifier.pth"
    torch.save(dict(state_dict=dict(state, **{"head.fc.weight": classes})), file)
    tasks = task_configs()
    for cfg in tasks.values():
        cfg["backbone"]["init_cfg"] = dict(
            type="Pretrained", checkpoint=str(tmp_path / "not_downloaded.pth")
        )
    model = build(tasks=tasks, checkpoint=str(file))
    assert not torch.equal(model.tasks.cls.head.fc.weight, classes)


def test_a_recipes_own_pretrained_weights_are_used(tmp_path: Path) -> None:
    state, file = backbone_state(0), tmp_path / "backbone.pth"
    torch.save(state, file)
    tasks = task_configs()
    tasks["det"]["backbone"]["init_cfg"] = dict(type="Pretrained", checkpoint=str(file))
    model = build(tasks=tasks, perturbation=0)
    assert all(
        torch.equal(unit, state["layer2.0.conv1.weight"])
        for unit in model.network.bank.units(CONV)
    )
    bias = model.tasks.det.backbone.bn1.bias
    assert torch.equal(bias, state["bn1.bias"])


def files(folder: Path, number: int = 2) -> list[str]:
    """Write files of backbones that differ, and return their names."""
    names = [str(folder / f"{index}.pth") for index in range(number)]
    for index, name in enumerate(names):
        torch.save(backbone_state(index), name)
    return names


@pytest.mark.parametrize("norm", ["private", "unit"])
@pytest.mark.parametrize("group", ["layer", "block", "stage"])
def test_a_route_to_one_files_unit_is_that_files_network(
    tmp_path: Path, norm: str, group: str
) -> None:
    router = dict(type="FixedRouter", routes=dict(det=[0], seg=[1], cls=[1]))
    init = dict(checkpoint=files(tmp_path))
    lego = dict(init=init, norm=norm)
    model = build_gppf(dict(router, group=group), 2, lego=lego).eval()
    images = torch.randn(2, 3, 64, 64)
    for task, index in dict(det=0, seg=1, cls=1).items():
        stock = build_stock(task).eval().backbone
        stock.load_state_dict(backbone_state(index))
        with torch.no_grad(), model.activate(task) as inside:
            found, expected = inside.backbone(images), stock(images)
        assert all(map(torch.equal, found, expected)), task


def test_shared_norms_start_from_the_first_file(tmp_path: Path) -> None:
    lego = dict(init=dict(checkpoint=files(tmp_path)), norm="shared")
    network = build_gppf(SOFT, 2, lego=lego).network
    first = backbone_state(0)
    (only,) = network.statistics.backbone.bn1.units
    assert torch.equal(only.running_var, first["bn1.running_var"])
    weight = network.bank.parameter("backbone.bn1.weight")
    assert torch.equal(weight, first["bn1.weight"])


@pytest.mark.parametrize("units", ["equal", "independent"])
def test_units_take_fewer_files_in_turn(tmp_path: Path, units: str) -> None:
    model = build(checkpoint=files(tmp_path), units=units, perturbation=0.1)
    first, second = (backbone_state(i)["layer2.0.conv1.weight"] for i in range(2))
    found = stacked(model)
    # What two units start from, both leave; what is one's alone, stays.
    assert torch.equal(found[1], second)
    for index in (0, 2):
        noise = (found[index] - first) / first.square().mean().sqrt()
        assert noise.std().item() == pytest.approx(0.1, rel=0.05)
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("units", ["equal", "independent"])
def test_units_of_a_file_that_is_listed_twice_can_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, units: str
) -> None:
    first, second = files(tmp_path)
    monkeypatch.chdir(tmp_path)
    model = build(checkpoint=[first, second, "0.pth"], units=units, perturbation=0.1)
    start, other = (backbone_state(i)["layer2.0.conv1.weight"] for i in range(2))
    found = stacked(model)
    assert torch.equal(found[1], other)
    for index in (0, 2):
        noise = (found[index] - start) / start.square().mean().sqrt()
        assert noise.std().item() == pytest.approx(0.1, rel=0.05)
    assert not torch.equal(found[0], found[2])


def test_a_file_among_several_is_named(tmp_path: Path) -> None:
    names = files(tmp_path)
    state = backbone_state(1)
    state["bn1.running_var"] = torch.ones(7)
    torch.save(state, names[1])
    lego = dict(init=dict(checkpoint=names), norm="unit")
    named = r"checkpoint\[1\]` is .*1\.pth.*\(7,\) for 'backbone\.bn1\.running_var'"
    with pytest.raises(ValueError, match=named):
        build_gppf(SOFT, 2, lego=lego)
    with pytest.raises(FileNotFoundError, match=r"checkpoint\[1\]` is 'none\.pth'"):
        build(checkpoint=[names[0], "none.pth"])


def test_more_files_than_units_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lists 4 files .* 3 unit"):
        build(checkpoint=files(tmp_path, 4))


def broken(kind: str) -> object:
    state = backbone_state(0)
    if kind == "missing":
        del state["layer3.1.conv2.weight"]
    elif kind == "shape":
        state["layer3.1.conv2.weight"] = torch.zeros(8, 8, 3, 3)
    return [state] if kind == "list" else state


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("missing", "holds nothing for 'backbone.layer3.1.conv2.weight'"),
        ("shape", r"\(8, 8, 3, 3\) for 'backbone.layer3.1.*shape \(64, 64, 3, 3\)"),
        ("list", "holds nothing for 'backbone.conv1.weight'"),
        ("text", "cannot load"),
        ("empty", "cannot load"),
    ],
)
def test_wrong_file_is_named(tmp_path: Path, kind: str, named: str) -> None:
    file = tmp_path / "broken.pth"
    if kind in ("text", "empty"):
        file.write_text("hello" if kind == "text" else "")
    else:
        torch.save(broken(kind), file)
    with pytest.raises(ValueError, match=rf"init\.checkpoint.*broken\.pth.*{named}"):
        build(checkpoint=str(file))


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"init\.checkpoint.*nowhere\.pth"):
        build(checkpoint=str(tmp_path / "nowhere.pth"))


@pytest.mark.parametrize(
    ("init", "named"),
    [
        (dict(units="same"), r"lego\.init\.units.*'same'.*'equal'"),
        (dict(perturb=0.1), r"lego\.init.*'perturb'.*Did you mean 'perturbation'"),
        (dict(checkpoint=3), r"init\.checkpoint` is 3; expected the path"),
        (dict(checkpoint=[None]), r"init\.checkpoint` is \[None\]; expected the path"),
    ],
)
def test_bad_settings_are_named(init: dict, named: str) -> None:
    with pytest.raises((TypeError, ValueError), match=named):
        build(**init)
