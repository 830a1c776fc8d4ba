"""Every variant's configs are built, and differ in what they should alone."""

import itertools
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from gppf_mm.registry import MODELS
from gppf_mm.testing.frugal import no_random_fill
from gppf_mm.testing.mini8 import Bench, sections
from gppf_mm.testing.mini8.run import Run
from gppf_mm.testing.mini8.tasks import TASKS
from gppf_mm.testing.mini8.transfer import TransferVariant
from gppf_mm.testing.mini8.variants import Variant

CONFIGS = Path(__file__).parents[3] / "configs/mini8"
VARIANTS = {
    name: variant
    for variants in sections().values()
    for name, variant in variants.items()
    if not isinstance(variant, TransferVariant)
}
SEPARATE = [name for name, variant in VARIANTS.items() if variant.is_stock]
TOGETHER = [name for name in VARIANTS if name not in SEPARATE]


def run_of(variant: Variant, tmp_path: Path, lr: float = 1e-3, **rest) -> Run:
    bench = Bench(CONFIGS, tmp_path, iterations=rest.pop("iterations", 40))
    return bench.run_of(variant, rest.pop("split", "test"), 0, lr)


@pytest.mark.parametrize("name", TOGETHER)
def test_lego_variants_are_built(name: str, tmp_path: Path):
    variant = VARIANTS[name]
    cfg = run_of(variant, tmp_path).parts["all"]
    with no_random_fill():
        model = MODELS.build(cfg.model)
    assert model.task_names == TASKS
    assert model.network.bank.num_units == variant.lego["num_units"]


def test_nested_routes_part_what_the_kinds_of_images_join():
    kinds = VARIANTS["lego5_fixed"].lego["router"]["routes"]
    nested = VARIANTS["lego8_nested"].lego["router"]["routes"]
    assert {unit for units in nested.values() for unit in units} == set(range(8))
    for a, b in itertools.combinations(TASKS, 2):
        apart = kinds[a] != kinds[b]
        assert not apart or set(nested[a]) & set(nested[b]) == {0}


def test_found_routes_are_those_of_groups_that_part_all_tasks():
    routes = VARIANTS["lego6_found"].lego["router"]["routes"]
    assert set(routes) == set(TASKS)
    assert {unit for pair in routes.values() for unit in pair} == set(range(6))


@pytest.mark.parametrize(
    ("config", "variant"),
    [("5u-fixed", "lego5_fixed"), ("10u-sharpened", "lego10_sharpened")],
)
def test_the_config_of_a_sparse_lego_is_that_of_its_variant(
    config: str, variant: str, tmp_path: Path
):
    found = Config.fromfile(CONFIGS / f"lego-r18w8-{config}_mini8.py").model.to_dict()
    expected = run_of(VARIANTS[variant], tmp_path).parts["all"].model.to_dict()
    expected["lego"]["router"].pop("seed", None)  # 0 by itself, in a run of seed 0.
    assert found == expected


@pytest.mark.parametrize("name", SEPARATE)
def test_single_tasks_are_stock_configs(name: str, tmp_path: Path):
    run = run_of(VARIANTS[name], tmp_path)
    assert tuple(run.parts) == TASKS
    for task, cfg in run.parts.items():
        assert "gppf_mm" not in cfg.pretty_text
        assert cfg.train_cfg.type == "IterBasedTrainLoop"
        assert cfg.randomness.seed == 0
        with no_random_fill():
            MODELS.build(dict(cfg.model, _scope_=cfg.default_scope))
        assert task in str(cfg.train_dataloader.dataset.values()) or task == "tags"


@pytest.mark.parametrize("prefix", ["swin_", "narrow_", "wide_"])
@pytest.mark.parametrize("task", ["cells", "scene", "objects"])
def test_heads_fit_the_other_networks(prefix: str, task: str, tmp_path: Path):
    cfg = run_of(VARIANTS[f"{prefix}single"], tmp_path).parts[task]
    model = MODELS.build(dict(cfg.model, _scope_=cfg.default_scope)).eval()
    model(torch.zeros(1, 3, 64, 64), mode="tensor")


def test_the_widths_are_half_and_twice(tmp_path: Path):
    def channels(prefix: str) -> list[int]:
        cfg = run_of(VARIANTS[f"{prefix}single"], tmp_path).parts["objects"]
        model = MODELS.build(dict(cfg.model, _scope_=cfg.default_scope))
        return [len(p) for p in model.backbone.parameters()]

    usual = channels("")
    assert channels("narrow_") == [count // 2 for count in usual]
    assert channels("wide_") == [2 * count for count in usual]


def training(cfg: Config, task: str) -> tuple:
    loader = cfg.train_dataloader
    loader = loader.get(task, loader)
    return (
        loader.batch_size,
        cfg.train_cfg.max_iters,
        [item.to_dict() for item in cfg.param_scheduler],
        dict(cfg.optim_wrapper.optimizer),
        dict(cfg.optim_wrapper.clip_grad),
    )


def test_all_see_the_same_images_under_the_same_schedule(tmp_path: Path):
    strong = run_of(VARIANTS["shared_private"], tmp_path).parts["all"]
    for task, cfg in run_of(VARIANTS["single"], tmp_path).parts.items():
        assert training(cfg, task) == training(strong, task)
    for name in ("lego4_soft", "lego9_fixed"):
        other = run_of(VARIANTS[name], tmp_path).parts["all"]
        for task in TASKS:
            assert training(other, task) == training(strong, task)


def test_one_task_a_step_takes_eight_times_the_steps(tmp_path: Path):
    simt = run_of(VARIANTS["lego4_soft"], tmp_path).parts["all"]
    other = run_of(VARIANTS["lego4_soft@round_robin"], tmp_path).parts["all"]
    assert other.train_cfg.max_iters == 8 * simt.train_cfg.max_iters
    for ours, theirs in zip(other.param_scheduler, simt.param_scheduler, strict=True):
        assert (ours.begin, ours.end) == (8 * theirs.begin, 8 * theirs.end)


def test_eight_random_tasks_to_a_step_are_as_many_steps_as_simt(tmp_path: Path):
    simt = run_of(VARIANTS["lego4_soft"], tmp_path).parts["all"]
    other = run_of(VARIANTS["lego4_soft@random_x8"], tmp_path).parts["all"]
    counts = other.optim_wrapper.accumulative_counts
    assert other.train_cfg.max_iters == counts * simt.train_cfg.max_iters


def test_tuning_does_not_see_the_test_split(tmp_path: Path):
    run = run_of(VARIANTS["lego4_soft"], tmp_path, split="tune")
    text = str(run.parts["all"].to_dict())
    assert "test.json" not in text
    assert "img/test" not in text
    assert "'test'" not in text
    single = run_of(VARIANTS["single"], tmp_path, split="tune")
    for cfg in single.parts.values():
        assert "img/test" not in str(cfg.to_dict())
        assert "test.json" not in str(cfg.to_dict())


def test_the_digest_follows_the_settings_and_not_the_place(tmp_path: Path):
    variant = VARIANTS["lego4_soft"]
    run = run_of(variant, tmp_path)
    assert run.digest == run_of(variant, tmp_path / "elsewhere").digest
    others = [
        run_of(variant, tmp_path, lr=2e-3),
        run_of(variant, tmp_path, iterations=41),
        run_of(variant, tmp_path, split="tune"),
        run_of(VARIANTS["lego8_soft"], tmp_path),
    ]
    assert len({run.digest, *(item.digest for item in others)}) == 5
