"""The runner and its loops with stock hooks, on the toy recipe."""

import errno
import signal
from pathlib import Path

import pytest
import torch
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import HOOKS, OPTIMIZERS, RUNNERS
from mmengine.runner import Runner
from torch import nn
from torch._dynamo.utils import counters

from gppf_mm.engine.runner import building
from gppf_mm.engine.runner.building import check_loader_cfgs
from gppf_mm.engine.runner.checkpoints import find_latest_checkpoint
from tests.runs import make_tiny_toy, tiny_config


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_toy(tmp_path_factory.mktemp("runner"))


@pytest.fixture(autouse=True)
def in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def build(work_dir: Path, options: dict | None = None) -> Runner:
    return RUNNERS.build(tiny_config(work_dir, options))


@HOOKS.register_module(force=True)
class Recorder(Hook):
    """Notes what the loops hand to hooks."""

    def __init__(self) -> None:
        self.logged: list[dict] = []
        self.metrics: list[dict] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.logged.append(outputs)

    def after_val_epoch(self, runner, metrics=None):
        self.metrics.append(metrics)


def recorder(runner: Runner) -> Recorder:
    return next(hook for hook in runner.hooks if isinstance(hook, Recorder))


def test_a_run_with_stock_hooks(tmp_path: Path):
    options = {
        "custom_hooks": [
            dict(type="Recorder"),
            dict(type="EMAHook", momentum=0.5),
            dict(
                type="EarlyStoppingHook",
                monitor="mean",
                rule="greater",
                patience=1,
                min_delta=1000.0,
            ),
        ],
        "default_hooks.checkpoint.save_best": ["mean", "seg/mIoU"],
        "default_hooks.checkpoint.rule": ["greater", "greater"],
        "train_cfg.max_iters": 6,
        "train_cfg.val_interval": 2,
        "vis_backends": [dict(type="TensorboardVisBackend")],
        "visualizer.vis_backends": [dict(type="TensorboardVisBackend")],
        "auto_scale_lr": dict(enable=True, base_batch_size=16),
    }
    runner = build(tmp_path, options)
    runner.train()
    seen = recorder(runner)
    # The second validation cannot improve by 1000 points, so training stops there.
    assert runner.iter == 4
    assert {"det/loss_cls", "seg/decode.loss_ce", "cls/loss", "loss"} <= set(
        seen.logged[0]
    )
    parts = sum(float(seen.logged[0][f"{task}/loss"]) for task in ("det", "seg", "cls"))
    assert float(seen.logged[0]["loss"]) == pytest.approx(parts)
    metrics = seen.metrics[-1]
    expected = (
        100 * metrics.get("det/coco/bbox_mAP_50", 0)
        + metrics["seg/mIoU"]
        + metrics["cls/accuracy/top1"]
    ) / 3
    assert metrics["mean"] == pytest.approx(expected)
    names = {path.name for path in tmp_path.iterdir()}
    assert any(name.startswith("best_mean") for name in names)
    assert any(name.startswith("best_seg_mIoU") for name in names)
    assert not any(name.endswith(".partial") for name in names)
    assert list(tmp_path.rglob("events.out.tfevents*"))
    # 2 + 2 + 4 images a step against a base of 16.
    base = tiny_config(tmp_path).optim_wrapper.optimizer.lr
    assert runner.optim_wrapper.optimizer.defaults["lr"] == base
    assert runner.param_schedulers[0].base_values[0] == pytest.approx(base / 2)


def test_validation_uses_the_ema_weights(tmp_path: Path):
    """Assembled weights are not kept over EMA's exchange of parameters."""
    seen = {}

    @HOOKS.register_module(force=True)
    class Weights(Hook):
        priority = "LOWEST"

        def _note(self, runner: Runner, when: str) -> None:
            with torch.no_grad(), runner.model.activate("cls") as model:
                seen[when] = model.backbone.conv1.weight.clone()

        def before_val_iter(self, runner, batch_idx, data_batch=None):
            if "during" not in seen:
                self._note(runner, "during")

        def after_val(self, runner):
            runner.model.eval()
            self._note(runner, "after")

    options = {
        "custom_hooks": [dict(type="EMAHook", momentum=0.1), dict(type="Weights")]
    }
    build(tmp_path, options).train()
    assert not torch.equal(seen["during"], seen["after"])


def test_accumulation_and_clipping(tmp_path: Path):
    steps = []

    @OPTIMIZERS.register_module(force=True)
    class Counting(torch.optim.AdamW):
        def step(self, closure=None):
            parameters = [p for group in self.param_groups for p in group["params"]]
            gradients = [p.grad for p in parameters if p.grad is not None]
            steps.append(nn.utils.get_total_norm(gradients).item())
            return super().step(closure)

    options = {
        "train_cfg.max_iters": 5,
        "optim_wrapper": dict(
            type="OptimWrapper",
            optimizer=dict(type="Counting", lr=1e-3),
            accumulative_counts=2,
            clip_grad=dict(max_norm=0.5),
        ),
    }
    cfg = tiny_config(tmp_path, options)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.pop("save_best")
    cfg.default_hooks.checkpoint.pop("rule")
    cfg.default_hooks.checkpoint.interval = 3
    RUNNERS.build(cfg).train()
    log = next(tmp_path.rglob("*.log")).read_text()
    assert "A checkpoint every 3 iterations" in log
    # Five iterations: two steps of two, and the remainder.
    assert len(steps) == 3
    assert all(norm == pytest.approx(0.5, rel=1e-3) for norm in steps)


@pytest.mark.slow
def test_compiling_and_checkpointing_activations_change_no_loss(tmp_path: Path):
    """MMEngine's two keys, with names of the multi-task model."""
    losses, states = [], []
    for name, options in dict(
        plain={},
        both=dict(
            compile=dict(backend="eager"),
            activation_checkpointing=["tasks.det.backbone.layer1"],
        ),
    ).items():
        options |= {"custom_hooks": [dict(type="Recorder")], "train_cfg.max_iters": 2}
        torch._dynamo.reset()
        counters.clear()
        cfg = tiny_config(tmp_path / name, options)
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.default_hooks.checkpoint.pop("save_best")
        cfg.default_hooks.checkpoint.pop("rule")
        runner = RUNNERS.build(cfg)
        runner.train()
        losses.append([item["loss"].item() for item in recorder(runner).logged])
        states.append(torch.load(tmp_path / name / "iter_2.pth", weights_only=True))
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert states[1]["state_dict"].keys() == states[0]["state_dict"].keys()
    # Three backbones and a pyramid.
    assert counters["stats"]["unique_graphs"] == 4


def test_a_full_disk_leaves_the_checkpoints_before(tmp_path: Path, monkeypatch):
    """The disk is a stand-in, which is full after half of the second file."""
    options = {
        "train_cfg.max_iters": 2,
        "default_hooks.checkpoint.interval": 1,
        "default_hooks.checkpoint.max_keep_ckpts": 1,
    }
    runner = build(tmp_path, options)
    put = LocalBackend.put

    def full(self, content: bytes, path: str) -> None:
        put(self, content[: len(content) // (1 + runner.iter)], path)
        if runner.iter:
            raise OSError(errno.ENOSPC, "No space left on device", path)

    monkeypatch.setattr(LocalBackend, "put", full)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(OSError, match=r"iter_2\.pth' cannot be written.*--resume"):
        runner.train()
    # A notebook's Ctrl-C is its own again after a run that failed.
    assert handlers == [
        signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)
    ]
    assert [path.name for path in tmp_path.glob("*iter*")] == ["iter_1.pth"]
    assert find_latest_checkpoint(tmp_path) == str(tmp_path / "iter_1.pth")
    torch.load(tmp_path / "iter_1.pth", weights_only=True)


def test_outdated_checkpoints_go_when_the_new_one_is_there(tmp_path: Path):
    options = {
        "train_cfg.max_iters": 4,
        "default_hooks.checkpoint.interval": 1,
        "default_hooks.checkpoint.max_keep_ckpts": 2,
    }
    runner = build(tmp_path, options)
    runner.train()
    assert {path.name for path in tmp_path.glob("iter*")} == {
        "iter_3.pth",
        "iter_4.pth",
    }
    # Another run over the same folder, kept to fewer.
    options["default_hooks.checkpoint.max_keep_ckpts"] = 1
    options["train_cfg.max_iters"] = 5
    again = build(tmp_path, options | {"resume": True})
    again.train()
    assert [path.name for path in tmp_path.glob("iter*")] == ["iter_5.pth"]


def test_checkpoint_is_the_old_or_the_new_one(tmp_path: Path, monkeypatch):
    """A kill while a checkpoint is written leaves the one of the same name whole."""
    import gppf_mm.engine.runner.writing as module

    runner = build(tmp_path, {"train_cfg.max_iters": 2})
    runner.train()
    before = (tmp_path / "iter_2.pth").read_bytes()

    def die(source: str, target: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "replace_file", die)
    with pytest.raises(KeyboardInterrupt):
        runner.save_checkpoint(str(tmp_path), "iter_2.pth", by_epoch=False)
    assert (tmp_path / "iter_2.pth").read_bytes() == before
    assert isinstance(runner.hooks[-1], Hook)
    assert any(isinstance(hook, CheckpointHook) for hook in runner.hooks)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda cfg: cfg.train_dataloader.pop("seg"),
            r"`train_dataloader` has no entry for task 'seg'",
        ),
        (
            lambda cfg: cfg.train_dataloader.update(sek=cfg.train_dataloader.seg),
            r"`train_dataloader` has an unknown key 'sek'.*Did you mean 'seg'",
        ),
        (
            lambda cfg: cfg.model.loss_weights.update(dte=1.0),
            r"`model\.loss_weights` has an unknown key 'dte'.*Did you mean 'det'",
        ),
        (
            lambda cfg: cfg.train_cfg.update(max_iters=0),
            r"`train_cfg\.max_iters` is 0",
        ),
        (
            lambda cfg: cfg.train_cfg.update(val_begin="never"),
            r"`train_cfg\.val_begin` is 'never'",
        ),
        (
            lambda cfg: cfg.train_cfg.update(val_interval=0),
            r"`train_cfg\.val_interval` is 0.*val_cfg, val_dataloader",
        ),
        (
            lambda cfg: cfg.train_dataloader.update(seg=3),
            r"`train_dataloader\.seg` is 3",
        ),
        (
            lambda cfg: cfg.train_dataloader.seg.update(batch_sizes=3),
            r"`train_dataloader\.seg` has an unknown key.*Did you mean 'batch_size'",
        ),
        (
            lambda cfg: cfg.train_dataloader.seg.pop("dataset"),
            r"`train_dataloader\.seg\.dataset` is missing",
        ),
        (
            lambda cfg: cfg.train_dataloader.det.dataset.metainfo.update(
                classes=("nowhere",)
            ),
            r"`train_dataloader\.det\.dataset` has no sample.*metainfo\.classes",
        ),
        (
            lambda cfg: cfg.train_cfg.update(type="IterBasedTrainLoop"),
            r"`train_cfg\.type` is 'IterBasedTrainLoop'.*gppf_mm\.SIMTTrainLoop",
        ),
        (
            lambda cfg: cfg.train_cfg.update(by_epoch=True),
            r"`train_cfg\.by_epoch` is True.*`max_iters`",
        ),
        (
            lambda cfg: cfg.train_cfg.update(max_epochs=3),
            r"`train_cfg\.max_epochs` is 3.*`max_iters`",
        ),
        (
            lambda cfg: cfg.log_processor.update(by_epoch=True),
            r"`log_processor\.by_epoch` is True",
        ),
        (
            lambda cfg: cfg.optim_wrapper.update(type="OptimWrapperDict"),
            r"`optim_wrapper` has several optimizers.*`paramwise_cfg`",
        ),
        (
            lambda cfg: cfg.optim_wrapper.update(paramwise_cfg=dict(router=dict(lr=1))),
            r"`optim_wrapper\.paramwise_cfg` has the key 'router'.*MultiTaskOptimWrap",
        ),
        (
            lambda cfg: cfg.default_hooks.update(
                visualization=dict(type="mmdet.DetVisualizationHook", draw=True)
            ),
            r"'mmdet\.DetVisualizationHook'.*gppf_mm\.MultiTaskVisualizationHook",
        ),
        (
            lambda cfg: cfg.update(
                custom_hooks=[dict(type="mmpretrain.VisualizationHook", enable=True)]
            ),
            r"'mmpretrain\.VisualizationHook'.*gppf_mm\.MultiTaskVisualizationHook",
        ),
        (
            lambda cfg: cfg.update(
                custom_hooks=[
                    dict(
                        type="gppf_mm.TaskHook",
                        task="det",
                        hook=dict(type="mmdet.YOLOXModeSwitchHook"),
                    )
                ]
            ),
            r"'mmdet\.YOLOXModeSwitchHook'.*not supported",
        ),
        (
            lambda cfg: cfg.param_scheduler[0].pop("by_epoch"),
            r"`param_scheduler` has a LinearLR that counts epochs",
        ),
        (
            lambda cfg: cfg.default_hooks.checkpoint.update(by_epoch=True),
            r"`default_hooks\.checkpoint\.by_epoch` is True",
        ),
        (
            lambda cfg: cfg.update(
                custom_hooks=[dict(type="EMAHook", begin_iter=2)],
                model=dict(cfg.model, weighting=dict(type="UW")),
            ),
            r"`custom_hooks` has an EMAHook.*`model\.weighting`",
        ),
        (
            lambda cfg: (
                cfg.update(custom_hooks=[dict(type="EMAHook", update_buffers=True)]),
                cfg.model.lego.router.update(temperature=[(0, 2.0), (9, 1.0)]),
            ),
            r"EMAHook with `update_buffers`.*`model\.lego\.router\.temperature`",
        ),
        (
            lambda cfg: (
                cfg.optim_wrapper.update(paramwise_cfg=dict(norm_decay_mult=0.0)),
                cfg.model.lego.update(norm="unit"),
            ),
            r"'norm_decay_mult'.*`model\.lego\.norm` 'unit'.*MultiTaskOptimWrapperCons",
        ),
        (
            lambda cfg: cfg.update(activation_checkpointing="tasks.det.backbon.layer1"),
            r"`activation_checkpointing`.*`backbon`.*'tasks\.det\.backbone\.layer1'",
        ),
        (
            lambda cfg: cfg.update(efficient_conv_bn_eval=["tasks.dog.backbone"]),
            r"`efficient_conv_bn_eval`.*`dog`.*mean 'tasks\.seg\.backbone'",
        ),
    ],
)
def test_mistakes_in_the_training_config(tmp_path: Path, edit, message: str):
    cfg = tiny_config(tmp_path)
    edit(cfg)
    with pytest.raises((ValueError, TypeError), match=message):
        RUNNERS.build(cfg).train()
    assert not list(tmp_path.glob("*.pth"))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda cfg: cfg.val_evaluator.pop("cls"),
            r"`val_evaluator` has no entry for task 'cls'",
        ),
        (
            lambda cfg: cfg.val_cfg.mean.update(clf=dict(metric="top1")),
            r"`val_cfg\.mean` has an unknown key 'clf'.*Did you mean 'cls'",
        ),
        (
            lambda cfg: cfg.val_cfg.update(type="ValLoop"),
            r"`val_cfg\.type` is 'ValLoop'.*'gppf_mm\.MultiTaskValLoop'",
        ),
        (
            lambda cfg: cfg.update(
                visualizers=dict(clf=dict(type="mmpretrain.UniversalVisualizer")),
                custom_hooks=[dict(type="gppf_mm.MultiTaskVisualizationHook")],
            ),
            r"`visualizers` has an unknown key 'clf'.*Did you mean 'cls'",
        ),
    ],
)
def test_mistakes_in_the_evaluation_config(tmp_path: Path, edit, message: str):
    cfg = tiny_config(tmp_path)
    edit(cfg)
    with pytest.raises(ValueError, match=message):
        RUNNERS.build(cfg).val()


def test_a_mistake_in_the_test_config_names_its_own_key(tmp_path: Path):
    cfg = tiny_config(tmp_path)
    cfg.test_cfg.mean = dict(clf=dict(metric="top1"))
    with pytest.raises(ValueError, match=r"`test_cfg\.mean` has an unknown key 'clf'"):
        RUNNERS.build(cfg).test()


def test_ranks_without_a_sampler_would_read_the_same(monkeypatch: pytest.MonkeyPatch):
    shuffled = {"seg": dict(batch_size=2, shuffle=True, dataset=dict(type="X"))}
    check_loader_cfgs("train_dataloader", shuffled)
    monkeypatch.setattr(building, "get_world_size", lambda: 2)
    with pytest.raises(ValueError, match=r"`train_dataloader\.seg\.sampler` is.* 2 "):
        check_loader_cfgs("train_dataloader", shuffled)
    shuffled["seg"]["sampler"] = dict(type="DefaultSampler")
    check_loader_cfgs("train_dataloader", shuffled)


def test_a_checkpoint_of_which_nothing_would_be_loaded_is_refused(tmp_path: Path):
    """A pretrained backbone, say; what fits in part is loaded as MMEngine does."""
    torch.save({"conv1.weight": torch.zeros(2)}, tmp_path / "x.pth")
    runner = build(tmp_path)
    with pytest.raises(ValueError, match=r"'conv1\.weight'.*`model\.lego\.init\.check"):
        runner.load_checkpoint(str(tmp_path / "x.pth"))
    name, value = next(iter(runner.model.state_dict().items()))
    state = {f"module.{name}": value + 1, "other": value}
    torch.save({"state_dict": state}, tmp_path / "x.pth")
    expected = value + 1
    runner.load_checkpoint(str(tmp_path / "x.pth"))
    assert torch.equal(runner.model.state_dict()[name], expected)


def test_routes_of_other_layers_are_not_loaded(tmp_path: Path):
    """The rows of logits are numbered by the bank's order, which names do not show."""
    runner = build(tmp_path)
    state = runner.model.state_dict()
    torch.save(dict(state_dict=state), tmp_path / "x.pth")
    runner.load_checkpoint(str(tmp_path / "x.pth"))
    torch.save(dict(state_dict=dict(reversed(state.items()))), tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"`load_from` is .*routes would be taken"):
        runner.load_checkpoint(str(tmp_path / "x.pth"))
    others = {name: v for name, v in reversed(state.items()) if "logits" not in name}
    torch.save(dict(state_dict=others), tmp_path / "x.pth")
    runner.load_checkpoint(str(tmp_path / "x.pth"))


def test_a_batch_without_labels_is_refused_before_training(tmp_path: Path):
    cfg = tiny_config(tmp_path)
    pipeline = cfg.train_dataloader.seg.dataset.pipeline
    cfg.train_dataloader.seg.dataset.pipeline = [
        step for step in pipeline if step["type"] != "LoadAnnotations"
    ]
    with pytest.raises(ValueError, match=r"Task 'seg' got a training batch without"):
        RUNNERS.build(cfg).train()
