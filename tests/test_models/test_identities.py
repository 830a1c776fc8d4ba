"""The identities that the whole construction rests on, each against a naive reference.

A ResNet-18 of standard width under RetinaNet, FCN and ImageClassifier, in float32.
"""

from collections.abc import Callable, Mapping

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.func import functional_call

from gppf_mm.export import export_state_dict
from gppf_mm.models import GPPF
from tests.stand_ins import (
    TASKS,
    batches,
    build_gppf,
    build_stock,
    loss_of,
    predictions,
    relative_error,
    task_configs,
)

WIDTH = 64
STEPS = 3
LOSS_WEIGHTS = dict(det=1.0, seg=0.5, cls=2.0)
OPTIMIZERS = dict(
    sgd=lambda parameters: torch.optim.SGD(
        parameters, lr=0.01, momentum=0.9, weight_decay=1e-4
    ),
    adamw=lambda parameters: torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.05),
)
MakeOptimizer = Callable[..., torch.optim.Optimizer]

checkpointing = pytest.mark.parametrize(
    "with_cp", [False, True], ids=["stored", "checkpointed"]
)
optimizers = pytest.mark.parametrize(
    "make_optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS.keys()
)


def stock_model(model: GPPF, task: str, unit: int, with_cp: bool) -> nn.Module:
    """Build a task's stock model with one unit's values in place of the mix."""
    stock = build_stock(task, WIDTH, with_cp)
    stock.load_state_dict(state_of(model, task, unit))
    return stock


def state_of(model: GPPF, task: str, unit: int) -> dict[str, Tensor]:
    """Return a task's own state and one unit of every layer, under stock names."""
    bank = model.network.bank
    state = {name: bank.units(name)[unit] for name in bank.lego_names}
    state.update(model.tasks[task].state_dict())
    return {name: value.detach().clone() for name, value in state.items()}


@checkpointing
@optimizers
def test_one_unit_is_hard_sharing(
    with_cp: bool, make_optimizer: MakeOptimizer, check_identity: Callable
) -> None:
    model = build_gppf(
        dict(type="FixedRouter"),
        num_units=1,
        tasks=task_configs(WIDTH, with_cp),
        loss_weights=LOSS_WEIGHTS,
    )
    naive = nn.ModuleDict(
        {task: stock_model(model, task, 0, with_cp) for task in TASKS}
    )
    tie_convolutions([naive[task].backbone for task in TASKS])

    ours = OptimWrapper(make_optimizer(model.parameters()))
    theirs = make_optimizer(naive.parameters())
    for step in range(STEPS):
        model.train_step(batches(step), ours)
        theirs.zero_grad()
        joint_loss(naive, batches(step)).backward()
        theirs.step()

    error = max(
        relative_error(state_of(model, task, 0), naive[task].state_dict())
        for task in TASKS
    )
    check_identity("1  one unit is the hard-shared network", with_cp, error)


def tie_convolutions(backbones: list[nn.Module]) -> None:
    """Let every backbone use the first one's convolution weights."""
    first, *others = backbones
    for name, layer in first.named_modules():
        if isinstance(layer, nn.Conv2d):
            for other in others:
                other.get_submodule(name).weight = layer.weight


def joint_loss(models: Mapping[str, nn.Module], data: Mapping[str, dict]) -> Tensor:
    """Return the weighted sum of all losses, in one graph.

    Autograd sums a parameter's gradients from the last use back to the first. The last
    task comes first here, so that the sum is taken in the order of the tasks: in
    another one it differs by 1e-7, which ReLUs and AdamW blow up to 1e-2 in two steps.
    """
    return sum(
        LOSS_WEIGHTS[task] * loss_of(models[task], data[task])
        for task in reversed(TASKS)
    )


@checkpointing
@optimizers
def test_one_unit_per_task_is_independent_training(
    with_cp: bool, make_optimizer: MakeOptimizer, check_identity: Callable
) -> None:
    units = {task: index for index, task in enumerate(TASKS)}
    model = build_gppf(
        dict(type="FixedRouter", routes={task: [units[task]] for task in TASKS}),
        num_units=len(TASKS),
        tasks=task_configs(WIDTH, with_cp),
    )
    stock = {task: stock_model(model, task, units[task], with_cp) for task in TASKS}

    ours = OptimWrapper(make_optimizer(model.parameters()))
    theirs = {
        task: OptimWrapper(make_optimizer(stock[task].parameters())) for task in TASKS
    }
    error = 0.0
    for step in range(STEPS):
        model.train_step(batches(step), ours)
        data = batches(step)
        for task in TASKS:
            stock[task].train_step(data[task], theirs[task])
            found = state_of(model, task, units[task])
            error = max(error, relative_error(found, stock[task].state_dict()))
    check_identity("2  one unit per task is independent training", with_cp, error)


ROUTERS = dict(
    fixed=dict(
        type="FixedRouter", group="block", routes=dict(det=[0, 1], seg=[0, 2], cls=[3])
    ),
    soft=dict(type="SoftRouter", group="layer", init_std=1.0),
    topk=dict(type="TopKRouter", group="block", k=2, init_std=1.0),
    topk_masked=dict(
        type="TopKRouter", group="stage", k=3, gradient="masked_softmax", init_std=1.0
    ),
    gumbel=dict(
        type="GumbelTopKRouter",
        group="block",
        k=2,
        anneal_iters=10,
        temperature=2.0,
        shared_units=1,
        init_std=1.0,
    ),
)


@checkpointing
@pytest.mark.parametrize("router", ROUTERS.values(), ids=ROUTERS.keys())
def test_gradient_is_the_weighted_sum_over_tasks(
    with_cp: bool, router: dict, check_identity: Callable
) -> None:
    model = build_gppf(
        router,
        tasks=task_configs(WIDTH, with_cp),
        lego=dict(init=dict(perturbation=0.5)),
        loss_weights=LOSS_WEIGHTS,
    )
    step = 4
    model.network.set_step(step)
    sgd = torch.optim.SGD(model.parameters(), lr=0.0)
    model.backward(batches(), OptimWrapper(sgd))
    found = {name: value.grad for name, value in model.named_parameters()}

    expected = naive_gradients(model, step)
    inactive = {name for name, gradient in found.items() if gradient is None}
    assert inactive == {name for name, value in expected.items() if value is None}
    assert all(expected[name].any() for name in found.keys() - inactive)
    error = max(
        relative_error({name: found[name]}, {name: expected[name]})
        for name in found.keys() - inactive
    )
    check_identity("3  a step's gradient is the tasks' weighted sum", with_cp, error)


def naive_gradients(model: GPPF, step: int) -> dict[str, Tensor | None]:
    """Differentiate the weighted sum of all losses in one graph, without a GPPF.

    The mixing weights are leaves of that graph; from there to the routers' logits the
    softmax's derivative is written out.
    """
    leaves = {
        name: value.detach().clone().requires_grad_()
        for name, value in model.named_parameters()
        if not name.startswith("network.router.")
    }
    mixes = {task: expected_mix(model, task, step) for task in TASKS}
    data = batches()
    total = 0.0
    for task in TASKS:
        stock = build_stock(task, WIDTH)
        prefix = f"tasks.{task}."
        weights = {
            name.removeprefix(prefix): leaf
            for name, leaf in leaves.items()
            if name.startswith(prefix)
        }
        for name, group in model.network.groups.items():
            if name in model.network.bank.lego_names:
                weights[name] = mixed_weight(leaves, name, *mixes[task][group][:2])
        inputs = stock.data_preprocessor(data[task], True)
        losses = functional_call(stock, weights, kwargs=dict(inputs, mode="loss"))
        total = total + LOSS_WEIGHTS[task] * stock.parse_losses(losses)[0]
    total.backward()
    gradients = {name: leaf.grad for name, leaf in leaves.items()}
    for task, mix in mixes.items():
        if hasattr(model.network.router, "logits"):
            gradients[f"network.router.logits.{task}"] = torch.stack(
                [weights.grad @ jacobian for _, weights, jacobian in mix.values()]
            )
    return gradients


def mixed_weight(
    leaves: Mapping[str, Tensor], name: str, units: list[int], weights: Tensor
) -> Tensor:
    path, _, leaf = name.rpartition(".")
    return sum(
        leaves[f"network.bank.lego.{path}.units.{unit}.{leaf}"] * weight
        for unit, weight in zip(units, weights, strict=True)
    )


def expected_mix(
    model: GPPF, task: str, step: int
) -> dict[str, tuple[list[int], Tensor, Tensor | None]]:
    """Return units, mixing weights and their derivative by the logits, by group."""
    router, kind = model.network.router, type(model.network.router).__name__
    if kind == "FixedRouter":
        units = router.routes[task]
        weights = torch.full((len(units),), 1 / len(units))
        return {group: (units, weights.clone(), None) for group in router.groups}
    logits, temperature = router.logits[task].detach(), 1.0
    if kind == "GumbelTopKRouter":
        progress = step / router.anneal_iters
        temperature = 2.0 ** (1 - progress) * 0.1**progress
        uniform = torch.rand(logits.shape, generator=router.generator(task, step))
        logits = logits - (1 - progress) * (-uniform.log()).log()
    mixes = {}
    for group, row in zip(router.groups, logits / temperature, strict=True):
        shared = getattr(router, "shared_units", 0)
        ranked = sorted(range(len(row)), key=lambda unit: -row[unit])
        chosen = [unit for unit in ranked if unit >= shared]
        k = getattr(router, "k", len(row))
        units = sorted([*range(shared), *chosen[: k - shared]])
        weights = row[units].softmax(0).requires_grad_()
        # Straight-through differentiates the softmax over all units.
        over = units if getattr(router, "gradient", "") == "masked_softmax" else ranked
        share = torch.zeros(len(row))
        share[over] = row[over].softmax(0)
        jacobian = torch.diag(share) - share.outer(share)
        mixes[group] = units, weights, jacobian[units] / temperature
    return mixes


@checkpointing
def test_exported_task_predicts_the_same(
    with_cp: bool, check_identity: Callable
) -> None:
    model = build_gppf(
        ROUTERS["gumbel"],
        tasks=task_configs(WIDTH, with_cp),
        lego=dict(init=dict(perturbation=0.5)),
    )
    # Two steps in, where training still draws noise and is not what is exported.
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for step in range(2):
        model.network.set_step(step)
        model.train_step(batches(step), OptimWrapper(optimizer))
    error = 0.0
    for task in TASKS:
        stock = build_stock(task, WIDTH, with_cp)
        stock.load_state_dict(export_state_dict(model, task))
        with torch.no_grad():
            expected = model.eval().predict(task, batches(9)[task])
            found = stock.eval().test_step(batches(9)[task])
        model.train()
        error = max(
            error, relative_error(predictions(task, found), predictions(task, expected))
        )
    check_identity("4  an exported task predicts what it did inside", with_cp, error)
