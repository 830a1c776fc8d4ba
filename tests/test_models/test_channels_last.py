"""Shared networks in ``torch.channels_last``: the same results, contiguous values."""

from collections.abc import Iterator

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from gppf_mm.export import export_state_dict
from gppf_mm.models import GPPF
from tests.stand_ins import (
    TASKS,
    batches,
    build_gppf,
    predictions,
    relative_error,
    task_configs,
)
from tests.test_models.test_families import SIZES, Features

ROUTERS = dict(
    one_unit=(1, dict(type="FixedRouter")),
    two_of_four=(4, dict(type="TopKRouter", k=2, init_std=1.0)),
)


def twins(router: dict, num_units: int, tasks: dict[str, dict]) -> Iterator[GPPF]:
    """Yield a model without and one with the option, otherwise equal."""
    for channels_last in (False, True):
        torch.manual_seed(0)
        init = dict(perturbation=0.1)
        lego = dict(init=init, channels_last=channels_last)
        # In float32 the order of a sum turns some ReLUs.
        model = build_gppf(router, num_units, tasks, lego=lego).double()
        for task in model.tasks.values():
            task.backbone.register_forward_pre_hook(_cast, prepend=True)
        yield model


def _cast(module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
    return (args[0].to(next(module.parameters()).dtype),)


def optimizer_of(model: GPPF) -> OptimWrapper:
    # PyTorch's fused optimizers trust parameter, gradient and state to agree in format.
    return OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True))


def gradients(model: GPPF) -> dict[str, Tensor]:
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


@pytest.mark.parametrize(("num_units", "router"), ROUTERS.values(), ids=ROUTERS)
@pytest.mark.parametrize("with_cp", [False, True], ids=["stored", "checkpointed"])
def test_training_and_prediction_are_the_same(
    num_units: int, router: dict, with_cp: bool
):
    plain, ours = twins(router, num_units, task_configs(with_cp=with_cp))
    optimizers = [optimizer_of(model) for model in (plain, ours)]
    for step in range(2):
        for model, optimizer in zip((plain, ours), optimizers, strict=True):
            model.network.set_step(step)
            model.backward(batches(step), optimizer)
        assert relative_error(gradients(ours), gradients(plain)) < 1e-9
        # Step for step: AdamW makes much of a gradient that is nearly zero.
        for left, right in zip(plain.parameters(), ours.parameters(), strict=True):
            assert right.is_contiguous()
            assert right.grad is None or right.grad.is_contiguous()
            right.grad = None if left.grad is None else left.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        values = dict(ours.named_parameters()), dict(plain.named_parameters())
        assert relative_error(*values) < 1e-9
    plain.float().eval()  # MMCV's suppression of boxes knows no other.
    ours.float().eval()
    with torch.no_grad():
        for task, batch in batches(9).items():
            found, expected = (
                predictions(task, model.predict(task, batch)) for model in (ours, plain)
            )
            assert relative_error(found, expected) < 1e-4


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_convolutions_of_the_shared_part_run_in_the_format(training: bool):
    _, model = twins(*reversed(ROUTERS["two_of_four"]), task_configs())
    model.train(training)
    seen = []

    def note(layer: nn.Conv2d, inputs: tuple, output: Tensor) -> None:
        tensors = (inputs[0], layer.weight, output)
        seen.extend(
            item.is_contiguous(memory_format=torch.channels_last) for item in tensors
        )

    for task in TASKS:
        for layer in model.tasks[task].backbone.modules():
            if isinstance(layer, nn.Conv2d):
                layer.register_forward_hook(note)
        with model.activate(task) as stock, torch.set_grad_enabled(training):
            features = stock.extract_feat(torch.randn(2, 3, 64, 64))
        assert all(item.is_contiguous() for item in features)
    assert seen
    assert all(seen)


def test_checkpoint_and_export_are_contiguous():
    _, model = twins(*reversed(ROUTERS["two_of_four"]), task_configs())
    optimizer = optimizer_of(model)
    model.train_step(batches(), optimizer)
    states = [state.values() for state in optimizer.state_dict()["state"].values()]
    for value in [
        *model.state_dict().values(),
        *export_state_dict(model, "det").values(),
        *(item for values in states for item in values),
    ]:
        assert value.is_contiguous()


# Deformable convolutions, arithmetic on weights, a norm behind a frozen stem.
@pytest.mark.parametrize(
    "family",
    [
        "resnet_v1d_dcn",
        "resnet_dcn",
        "resnet_weight_standardised",
        "detectors_resnet",
        "poolformer",
        "swin",
    ],
)
def test_layers_that_do_not_take_the_format_compute_what_they_did(family: str):
    tasks = {task: dict(type=Features, family=family) for task in ("a", "b")}
    plain, ours = twins(*reversed(ROUTERS["two_of_four"]), tasks)
    size = SIZES.get(family, 64)
    images = torch.randn(2, 3, size, size)
    for model in (plain, ours):
        torch.manual_seed(1)  # Some drop paths.
        model.backward(dict(a=(images,)), optimizer_of(model))
    found, expected = gradients(ours), gradients(plain)
    largest = max(value.abs().max() for value in expected.values())
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-11 * largest)
