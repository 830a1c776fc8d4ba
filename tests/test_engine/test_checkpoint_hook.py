"""Which checkpoints are kept, and by which scores."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub

from gppf_mm.engine.hooks import CheckpointHook
from gppf_mm.engine.hooks.scores import known_scores


class StandIn(SimpleNamespace):
    """A runner of two tasks, as far as the hook looks at it."""

    def __init__(self, folder: Path, counts: int = 1, dynamic: list | None = None):
        super().__init__(
            work_dir=str(folder),
            logger=logging.getLogger(folder.name),
            message_hub=MessageHub(folder.name),
            optim_wrapper=SimpleNamespace(_accumulative_counts=counts),
            train_loop=SimpleNamespace(dynamic_intervals=dynamic or [4]),
            val_loop=SimpleNamespace(
                evaluator=SimpleNamespace(evaluators=dict(det=None, cls=None))
            ),
            epoch=0,
            iter=0,
            seen=[],
        )

    def save_checkpoint(self, out_dir: str, filename: str, *args, **settings) -> None:
        self.seen = self.best()
        if self.iter == 13:
            raise OSError("No space left on device")
        Path(out_dir, filename).touch()

    def validate(self, hook: CheckpointHook, iteration: int, **metrics: float) -> None:
        self.iter = iteration
        named = {name.replace("_", "/"): value for name, value in metrics.items()}
        hook.after_val_epoch(self, named)

    def best(self) -> list[str]:
        return sorted(path.name for path in Path(self.work_dir).glob("best*"))


def make_hook(runner: StandIn, save_best: str | list[str]) -> CheckpointHook:
    hook = CheckpointHook(by_epoch=False, save_best=save_best, rule="greater")
    hook.before_train(runner)
    return hook


@pytest.mark.parametrize("several", [False, True])
def test_the_best_checkpoint_goes_when_a_better_one_is_there(tmp_path, several: bool):
    runner = StandIn(tmp_path)
    hook = make_hook(runner, ["cls/top1", "det/ap"] if several else "cls/top1")
    runner.validate(hook, 1, cls_top1=1.0, det_ap=9.0)
    runner.validate(hook, 2, cls_top1=2.0, det_ap=8.0)
    assert "best_cls_top1_iter_1.pth" in runner.seen
    others = ["best_det_ap_iter_1.pth"] if several else []
    assert runner.best() == ["best_cls_top1_iter_2.pth", *others]
    runner.validate(hook, 3, cls_top1=0.0, det_ap=0.0)
    assert runner.best() == ["best_cls_top1_iter_2.pth", *others]
    with pytest.raises(OSError, match="No space"):
        runner.validate(hook, 13, cls_top1=3.0, det_ap=0.0)
    assert runner.best() == ["best_cls_top1_iter_2.pth", *others]


def test_a_task_without_detections_has_no_best_checkpoint(tmp_path: Path):
    runner = StandIn(tmp_path)
    hook = make_hook(runner, ["det/ap", "cls/top1"])
    runner.validate(hook, 1, cls_top1=1.0)
    assert runner.best() == ["best_cls_top1_iter_1.pth"]
    runner.validate(hook, 2, det_ap=1.0, cls_top1=1.0)
    assert runner.best() == ["best_cls_top1_iter_1.pth", "best_det_ap_iter_2.pth"]


def test_auto_waits_for_the_first_task(tmp_path: Path):
    runner = StandIn(tmp_path)
    hook = make_hook(runner, "auto")
    runner.validate(hook, 1, cls_top1=1.0)
    assert runner.best() == []
    runner.validate(hook, 2, det_ap=1.0, cls_top1=0.0)
    assert runner.best() == ["best_det_ap_iter_2.pth"]
    runner.validate(hook, 3, cls_top1=2.0)
    runner.validate(hook, 4, det_ap=2.0, cls_top1=0.0)
    assert runner.best() == ["best_det_ap_iter_4.pth"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("cls/top5", r"is 'cls/top5', which no task reports.*'cls/top1'"),
        ("top1", r"is 'top1'.*expected one of 'cls/top1'"),
        ("mean", r"`val_cfg\.mean`"),
    ],
)
def test_a_metric_that_no_task_reports_is_an_error(wanted: str, message: str):
    with pytest.raises(ValueError, match=message):
        known_scores([wanted], {"cls/top1": 1.0}, ["det", "cls"])


def test_a_best_checkpoint_between_optimizer_steps_is_warned_of(tmp_path, caplog):
    make_hook(StandIn(tmp_path, counts=4, dynamic=[4, 8]), "cls/top1")
    assert "accumulative_counts" not in caplog.text
    make_hook(StandIn(tmp_path, counts=4, dynamic=[6, 7]), "cls/top1")
    assert "every 6 iterations (`train_cfg.val_interval`)" in caplog.text
    assert "every 7 iterations (`train_cfg.dynamic_intervals`)" in caplog.text
