"""One run: a variant, a seed, a learning rate; its configs and its folder."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from mmengine.config import Config

from gppf_mm.export.config import export_config

from .tasks import TASKS
from .variants import Variant

ITERATIONS, WARM_UP = 1200, 100
QUICK_ITERATIONS = 20
# Exit code of a run that another process has; BSD's EX_TEMPFAIL.
BUSY = 75
Split = Literal["tune", "test"]


@dataclass(frozen=True)
class Run:
    """A run to do, or one that is done.

    Attributes:
        variant: What is trained.
        seed: Seed of all random numbers.
        lr: The learning rate.
        split: What is evaluated on at the end.
        iterations: Batches of each task.
        configs: The folder ``configs/mini8``.
        work_dir: The folder of all runs.
    """

    variant: Variant
    seed: int
    lr: float
    split: Split
    iterations: int
    configs: Path
    work_dir: Path

    @cached_property
    def parts(self) -> dict[str, Config]:
        """The configs to run in turn, by task; one under ``'all'`` for a lego run."""
        cfg = Config.fromfile(self.configs / self.variant.config)
        self._set(cfg)
        if not self.variant.is_stock:
            return dict(all=cfg)
        parts = {task: export_config(cfg, task) for task in TASKS}
        for part in parts.values():
            part.randomness = cfg.randomness  # An export has no seed of its own.
        return parts

    @cached_property
    def digest(self) -> str:
        """A hash of the configs: other settings are another run."""
        content = {name: cfg.to_dict() for name, cfg in self.parts.items()}
        text = json.dumps(content, sort_keys=True, default=str)
        # A work dir that is moved keeps its runs.
        text = text.replace(str(self.work_dir), "")
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    @cached_property
    def folder(self) -> Path:
        """Where the run writes."""
        name = f"{self.variant.name}_lr{self.lr:g}_seed{self.seed}_{self.split}"
        return self.work_dir / "runs" / f"{name}_{self.digest}"

    def result(self) -> dict[str, Any] | None:
        """Return what the run wrote at its end, None before it."""
        path = self.folder / "result.json"
        return json.loads(path.read_text()) if path.is_file() else None

    def prepare(self) -> None:
        """Write the configs and what the run is into its folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, cfg in self.parts.items():
            cfg.dump(self.folder / f"{name}.py")
        facts = dict(
            variant=self.variant.name,
            seed=self.seed,
            lr=self.lr,
            split=self.split,
            iterations=self.iterations,
            digest=self.digest,
            parts=list(self.parts),
        )
        (self.folder / "run.json").write_text(json.dumps(facts, indent=2) + "\n")

    def _set(self, cfg: Config) -> None:
        if self.variant.is_stock:
            # What this package adds; stock runs have nothing that it would concern.
            cfg.optim_wrapper.pop("constructor", None)
        else:
            cfg.model.lego = dict(self.variant.lego)
            if cfg.model.lego.router.type != "gppf_mm.FixedRouter":
                # Routes begin alike in all seeds, as in the runs that were reported.
                cfg.model.lego.router.seed = 0
        cfg.merge_from_dict(dict(self.variant.changes))
        steps = len(TASKS) if self.variant.spread_steps else 1
        self._set_common(cfg, steps * self.iterations, steps)

    def _set_common(self, cfg: Config, last: int, steps: int) -> None:
        """Set length, learning rate, seed and split.

        Args:
            cfg: The config, changed in place.
            last: Its iterations.
            steps: Iterations in which each task has one batch.
        """
        # A tenth at most, for quick runs.
        warm_up = max(1, min(steps * WARM_UP, last // 10))
        linear, cosine = cfg.param_scheduler
        linear.end = cosine.begin = warm_up
        cosine.end, cosine.T_max = last, last - warm_up
        cfg.train_cfg.max_iters = last
        cfg.optim_wrapper.optimizer.lr = self.lr
        cfg.randomness = dict(seed=self.seed)
        if self.split == "tune":
            cfg.test_dataloader = cfg.val_dataloader
            cfg.test_evaluator = cfg.val_evaluator
        # Tested once, at the end.
        for key in ("val_dataloader", "val_evaluator", "val_cfg"):
            cfg.pop(key)
        cfg.train_cfg.val_interval = 10**9
        cfg.default_hooks.checkpoint = dict(
            type="CheckpointHook",
            by_epoch=False,
            interval=max(1, last // 4),
            max_keep_ckpts=1,
        )
        cfg.default_hooks.logger.interval = 100
