"""Full and sharded checkpoints of runs on two ranks, and resuming either."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from torch import nn

from gppf_mm.apis import enable_resume, init_model, read_checkpoint
from gppf_mm.engine.runner.checkpoints import find_latest_checkpoint
from gppf_mm.engine.runner.resuming import check_resumable
from gppf_mm.export import export_state_dict
from gppf_mm.utils.sharded_files import read_folder
from tests.ranks import on_ranks
from tests.runs import make_tiny_toy, tiny_config

ROUTER = dict(type="gppf_mm.GumbelTopKRouter", k=2, anneal_iters=100, group="block")


def config(work_dir: Path, **options: Any) -> Config:
    common = {
        "model.lego.router": ROUTER,
        "default_hooks.checkpoint.interval": 1,
        "default_hooks.checkpoint.max_keep_ckpts": 4,
        "optim_wrapper.clip_grad": dict(max_norm=1.0),
    }
    cfg = tiny_config(work_dir, common | options)
    cfg.launcher = "pytorch"
    return cfg


def sharded(checkpoint: str) -> dict[str, str]:
    return dict(type="gppf_mm.SIMTFullyShardedDataParallel", checkpoint=checkpoint)


def run_all(rank: int, folder: Path) -> None:
    os.chdir(folder)
    os.environ["LOCAL_RANK"] = str(rank)
    for name, wrapper, start in (
        ("full", sharded("full"), None),
        # Each from a checkpoint of another kind.
        ("folders", sharded("sharded"), "full/iter_2.pth"),
        ("resumed", sharded("full"), "folders/iter_3.pth"),
        ("unsharded", None, "folders/iter_3.pth"),
    ):
        cfg = config(folder / name)
        cfg.model_wrapper_cfg = wrapper
        if start:
            enable_resume(cfg, str(folder / start))
        if name == "folders":
            cfg.default_hooks.checkpoint.max_keep_ckpts = 2
        if name != "full":
            cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        RUNNERS.build(cfg).train()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_tiny_toy(tmp_path_factory.mktemp("sharded"))
    on_ranks(run_all, folder, folder)
    return folder


def last(folder: Path, name: str) -> dict[str, Any]:
    return read_checkpoint(folder / name / "iter_4.pth")


def differences(one: Any, two: Any, where: str = "") -> dict[str, float]:
    """Return how far apart tensors of one structure are, by where they stand."""
    if isinstance(one, dict):
        assert one.keys() == two.keys(), where
        return {
            name: value
            for key in one
            for name, value in differences(one[key], two[key], f"{where}/{key}").items()
        }
    if isinstance(one, torch.Tensor):
        assert type(one) is type(two), where
        assert (one.shape, one.dtype) == (two.shape, two.dtype), where
        return {where: (one - two).abs().max().item() if one.numel() else 0.0}
    return {}


PARTS = ("state_dict", "optimizer")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["folders", "resumed"])
def test_resumed_from_any_kind_is_bit_equal(folder: Path, name: str):
    expected, found = last(folder, "full"), last(folder, name)
    assert expected["meta"]["iter"] == found["meta"]["iter"] == 4
    for part in PARTS:
        assert not any(differences(expected[part], found[part]).values())


@pytest.mark.slow
def test_a_full_checkpoint_is_that_of_a_run_without_shards(folder: Path):
    expected, found = last(folder, "unsharded"), last(folder, "full")
    assert expected.keys() == found.keys()
    for part in PARTS:
        apart = differences(expected[part], found[part])
        assert len(apart) > 100
        assert max(apart.values()) < 1e-5
    assert expected["optimizer"]["param_groups"] == found["optimizer"]["param_groups"]


@pytest.mark.slow
def test_outdated_folders_are_removed_and_the_last_is_found(folder: Path):
    names = sorted(path.name for path in (folder / "folders").glob("iter_*"))
    assert names == ["iter_3.pth", "iter_4.pth"]
    assert find_latest_checkpoint(folder / "folders").endswith("iter_4.pth")


@pytest.mark.slow
def test_a_task_is_exported_from_either_kind_and_another_model_refused(folder: Path):
    cfg = config(folder / "unused")
    states = [
        export_state_dict(init_model(cfg, folder / name / "iter_4.pth"), "det")
        for name in ("full", "folders")
    ]
    assert not any(differences(dict(states[0]), dict(states[1])).values())
    path = str(folder / "folders/iter_4.pth")
    check_resumable(path, init_model(cfg))
    with pytest.raises(ValueError, match="is of another model"):
        check_resumable(path, nn.Linear(1, 1))


class _Code:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("ran",)


def test_a_folder_from_a_stranger_runs_no_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    torch.save(dict(state_dict={}), "common.pth")
    Path(".metadata").write_bytes(pickle.dumps(_Code()))
    with pytest.raises(pickle.UnpicklingError, match=r"asks for posix\.mkdir"):
        read_folder(tmp_path)
    assert not Path("ran").exists()


def test_a_folder_without_a_checkpoint_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"has no common\.pth"):
        read_folder(tmp_path)
