from collections.abc import Callable

import pytest
import torch
from mmengine.config import Config
from mmseg.datasets.transforms import RandomCrop
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gppf_mm.complexity import (
    assembly_flops,
    count_flops,
    count_parameters,
    find_image_shape,
    measure_tasks,
)
from tests.stand_ins import TASKS, build_gppf, task_configs

COMMON_AND_OWN = dict(
    type="FixedRouter", routes=dict(det=[0, 1], seg=[0, 2], cls=[0, 3])
)
TOP2 = dict(type="TopKRouter", k=2, init_std=1.0)


def swin_configs() -> dict[str, dict]:
    """Return the stand-in tasks over a tiny Swin transformer."""
    swin = dict(
        _scope_="mmpretrain",
        type="SwinTransformer",
        arch=dict(embed_dims=8, depths=[1, 1, 2, 1], num_heads=[1, 1, 2, 2]),
        window_size=4,
        pad_small_map=True,
    )
    configs = task_configs(width=8)
    for task, config in configs.items():
        config["backbone"] = dict(
            swin, out_indices=(0, 1, 2, 3) if task == "det" else (3,)
        )
    configs["seg"]["decode_head"]["in_index"] = 0
    return configs


@pytest.mark.parametrize(
    "make", [task_configs, swin_configs], ids=lambda make: make.__name__
)
def test_a_task_costs_what_its_stock_model_costs(make: Callable[[], dict]):
    lego = dict(num_units=4, router=TOP2)
    cfg = Config(dict(model=dict(type="GPPF", tasks=make(), lego=lego)))
    found = measure_tasks(cfg, shape=(64, 96))
    for task in TASKS:
        item = found.tasks[task]
        assert item.flops == item.stock_flops > 1e6
        assert item.stock < item.active < item.total
        # Mixing costs little beside one image.
        assert 0 < item.assembly_flops < item.flops
    assert found.tasks["det"].flops > found.tasks["cls"].flops


def test_as_many_units_are_active_as_at_the_end_of_the_training():
    def active(k: object, lego: dict | None = None, **rest: object) -> int:
        lego = dict(num_units=4, router=dict(TOP2, k=k), **(lego or {}))
        model = dict(type="GPPF", tasks=task_configs(), lego=lego)
        found = measure_tasks(Config(dict(model=model, **rest)), shape=(32, 32))
        return found.tasks["cls"].active

    falling = [(0, 4), (5, 1)]
    assert active(falling, train_cfg=dict(max_iters=6)) == active(1) < active(4)
    assert active(falling, train_cfg=dict(max_iters=5)) == active(4)
    # One that a transfer keeps too, whose run is not read.
    transfer = dict(checkpoint="run.pth", new=dict(det=None), freeze="units")
    kept = active(falling, dict(transfer=transfer), train_cfg=dict(max_iters=6))
    assert kept == active(1)


class Attention(nn.Module):
    """A stock model of one linear layer and an attention over its values."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 12)

    def forward(self, inputs: Tensor, data_samples: None, mode: str) -> Tensor:
        values = self.linear(inputs).reshape(2, 5, 3, 4).transpose(1, 2)
        return nn.functional.scaled_dot_product_attention(values, values, values)


def test_a_multiply_add_counts_two_in_linear_layers_and_attention():
    data = dict(inputs=torch.randn(2, 5, 8), data_samples=None)
    linear = 2 * 5 * 8 * 12
    scores, mixed = 2 * 3 * 5 * 5 * 4, 2 * 3 * 5 * 5 * 4
    assert count_flops(Attention(), data) == 2 * (linear + scores + mixed)


class CountElements(TorchFunctionMode):
    """Counts the values that additions and multiplications make."""

    count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if func.__name__ in ("add", "mul") and found.dim():
            self.count += found.numel()
        return found


@pytest.mark.parametrize(
    "router",
    [TOP2, COMMON_AND_OWN, dict(type="TopKRouter", k=1), dict(type="SoftRouter")],
    ids=["top2", "fixed", "top1", "soft"],
)
def test_assembly_costs_what_mixing_computes(router: dict):
    network = build_gppf(router).eval().network
    plan = network.draw("det")
    with torch.no_grad(), CountElements() as counter:
        network.weights("det", plan)
    model = build_gppf(router).eval()
    assert assembly_flops(model, "det") == counter.count
    assert (counter.count == 0) == (router.get("k") == 1)


def test_parameters_by_hand():
    """Two convolutions of 3 x 4 and 4 x 5, with biases, in K = 4 units; one head."""
    from tests.tiny_tasks import NAMES, OVERLAPPING, build_tiny

    tasks, whole = count_parameters(build_tiny(OVERLAPPING).eval())
    unit = (3 * 4 + 4) + (4 * 5 + 5)
    heads = {task: 5 * (index + 1) + index + 1 for index, task in enumerate(NAMES)}
    for task in NAMES:
        assert tasks[task].private == heads[task]
        assert tasks[task].active == 2 * unit + heads[task]
        assert tasks[task].total == 4 * unit + heads[task]
    # Each of the four units is active in some task.
    assert whole.active == whole.total == 4 * unit + sum(heads.values())


def test_the_total_is_what_a_checkpoint_holds_and_unused_units_are_not_active():
    model = build_gppf(
        dict(type="FixedRouter", routes={task: [1, 3] for task in TASKS})
    )
    tasks, whole = count_parameters(model.eval())
    assert whole.total == sum(value.numel() for value in model.parameters())
    units = sum(
        unit.numel()
        for name in model.network.bank.lego_names
        for unit in model.network.bank.units(name)
    )
    assert whole.total - whole.active == units // 2
    for count in tasks.values():
        assert count.total - count.active == units // 2


PIPELINES = {
    "kept ratio": (
        [dict(type="Resize", scale=(1333, 800), keep_ratio=True)],
        (800, 1333),
    ),
    "tall scale": (
        [dict(type="Resize", scale=(600, 1000), keep_ratio=True)],
        (600, 1000),
    ),
    "exact": ([dict(type="Resize", scale=(300, 200))], (200, 300)),
    "crop": (
        [dict(type="ResizeEdge", scale=256), dict(type="CenterCrop", crop_size=224)],
        (224, 224),
    ),
    "padded": (
        [
            dict(type="mmdet.Resize", scale=(640, 320), keep_ratio=True),
            dict(type="mmdet.Pad", size=(640, 640)),
            dict(type="Pad", size_divisor=32),
        ],
        (640, 640),
    ),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_the_image_size_is_the_test_pipelines(name: str):
    pipeline, shape = PIPELINES[name]
    dataset = dict(type="RepeatDataset", dataset=dict(type="X", pipeline=pipeline))
    other = dict(pipeline=[dict(type="Resize", scale=7)])
    cfg = Config(
        dict(
            test_dataloader=dict(det=dict(dataset=dataset)),
            train_dataloader=dict(det=dict(dataset=other)),
        )
    )
    assert find_image_shape(cfg, "det") == shape


@pytest.mark.parametrize("error", [FileNotFoundError, AssertionError])
def test_images_of_one_size_have_it_from_the_training_crop(error: type[Exception]):
    lost = dict(type=lost_data, error=error, pipeline=[])
    train = [dict(type="RandomCrop", crop_size=32, padding=4)]
    cfg = Config(
        dict(
            test_dataloader=dict(cls=dict(dataset=lost)),
            train_dataloader=dict(cls=dict(dataset=dict(pipeline=train))),
        )
    )
    assert find_image_shape(cfg, "cls") == (32, 32)
    cfg.train_dataloader.cls.dataset.pipeline = []
    with pytest.raises(ValueError, match=r"'cls' set no image size.*data/.*--shape"):
        find_image_shape(cfg, "cls")


@pytest.mark.parametrize(
    ("scope", "kind", "shape"),
    [
        ("mmseg", "RandomCrop", (48, 96)),
        ("gppf_mm", "mmpretrain.RandomCrop", (48, 96)),
        ("gppf_mm", RandomCrop, (48, 96)),
        ("mmdet", "RandomCrop", (96, 48)),
        ("mmseg", "mmdet.RandomCrop", (96, 48)),
        ("mmseg", "Resize", (96, 48)),
    ],
)
def test_a_crop_has_height_and_width_in_its_librarys_order(
    scope: str, kind: str | type, shape: tuple[int, int]
):
    size = dict(scale=(48, 96)) if kind == "Resize" else dict(crop_size=(48, 96))
    loader = dict(_scope_=scope, dataset=dict(pipeline=[dict(type=kind, **size)]))
    cfg = Config(dict(train_dataloader=dict(seg=loader)))
    assert find_image_shape(cfg, "seg") == shape


def lost_data(error: type[Exception], pipeline: list) -> None:
    raise error("data/val.json")


def test_images_that_nothing_resizes_have_the_size_of_the_test_sets_first():
    images = [dict(inputs=torch.zeros(3, 24, 40)), dict(inputs=torch.zeros(3, 9, 9))]
    dataset = dict(type=lambda pipeline: images, pipeline=[])
    crop = dict(pipeline=[dict(type="RandomCrop", crop_size=16)])
    cfg = Config(
        dict(
            test_dataloader=dict(cls=dict(dataset=dataset)),
            train_dataloader=dict(cls=dict(dataset=crop)),
        )
    )
    assert find_image_shape(cfg, "cls") == (24, 40)
