"""MMEngine's runner, for several tasks."""

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_distributed, is_main_process
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, _ParamScheduler
from mmengine.runner import BaseLoop, LogProcessor, Runner
from torch import nn
from torch.optim import Optimizer

from gppf_mm.engine.distributed import SIMTFullyShardedDataParallel
from gppf_mm.engine.distributed.averaging import broadcast_state
from gppf_mm.models.compilation import compile_networks
from gppf_mm.registry import RUNNERS
from gppf_mm.utils.remote import is_remote
from gppf_mm.utils.signals import own_signals

from .building import unwrap
from .checkpoints import bring_back, find_latest_checkpoint
from .checks import (
    check_ema,
    check_loaded,
    check_module_keys,
    check_norm_rule,
    check_optim_wrapper,
    check_sync_bn,
)
from .config_text import CachedTextConfig
from .hook_checks import check_hooks
from .iterations import (
    check_log_processor,
    check_loop,
    check_schedulers,
    count_iterations,
)
from .resuming import (
    check_content,
    check_resumable,
    order_as_saved,
    remove_partial,
)
from .router_seed import seed_router
from .routing_schedules import restarted_schedules
from .sharded_runs import load_folder, prepare_sharded, wrap_sharded, wraps_sharded
from .writing import write_checkpoint

# MMEngine's own default hooks, of which None has to tell it to leave one out.
_STOCK_HOOKS = (
    "runtime_info",
    "timer",
    "sampler_seed",
    "logger",
    "param_scheduler",
    "checkpoint",
)


@RUNNERS.register_module()
class SIMTRunner(Runner):
    """Trains, validates and tests a multi-task model.

    It is MMEngine's ``Runner`` with other defaults, an ordinary config with dicts by
    task under ``{train,val,test}_dataloader`` and ``{val,test}_evaluator``:

    * loops are `SIMTTrainLoop`, `MultiTaskValLoop` and `MultiTaskTestLoop`;
    * distributed models are wrapped into `SIMTDataParallel`, or what
      ``model_wrapper_cfg`` names;
    * without a GPU, distributed runs use gloo;
    * checkpoints appear whole or not at all, and ``resume`` takes the last whole one;
    * SIGINT and SIGTERM end a run between two steps (`InterruptHook`).
    """

    _load_from: str | None
    _resume: bool
    _train_dataloader: dict[str, Any]

    @classmethod
    def from_cfg(cls, cfg: Config | dict) -> "SIMTRunner":
        """Build a runner from a config; see ``Runner.from_cfg``.

        One that resumes has its tasks in the order in which they were trained before.
        """
        if cfg.get("resume"):
            bring_back(Path(cfg["work_dir"]))
        order_as_saved(cfg)
        seed_router(cfg)
        return super().from_cfg(
            CachedTextConfig.of(cfg) if isinstance(cfg, Config) else cfg
        )

    def setup_env(self, env_cfg: dict) -> None:
        """Set up the environment; see ``Runner.setup_env``."""
        on_cpu = not torch.cuda.is_available()
        if self._launcher == "pytorch" and on_cpu and not is_distributed():
            # MMEngine would select a CUDA device first.
            seconds = env_cfg.get("dist_cfg", {}).get("timeout", 1800)
            torch.distributed.init_process_group(
                "gloo", timeout=timedelta(seconds=seconds)
            )
        super().setup_env(env_cfg)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wrap the model for distributed training; see ``Runner.wrap_model``."""
        check_sync_bn(self.cfg, model)
        check_module_keys(self.cfg, model)
        if self.distributed and model_wrapper_cfg is None:
            model_wrapper_cfg = dict(type="gppf_mm.SIMTDataParallel")
        if self.distributed and wraps_sharded(model_wrapper_cfg):
            return wrap_sharded(model_wrapper_cfg, model, self.cfg)
        return super().wrap_model(model_wrapper_cfg, model)

    def build_optim_wrapper(self, optim_wrapper: OptimWrapper | dict) -> OptimWrapper:
        """Build the optimizer wrapper; see ``Runner.build_optim_wrapper``."""
        check_optim_wrapper(optim_wrapper)
        check_norm_rule(optim_wrapper, unwrap(self.model))
        built = super().build_optim_wrapper(optim_wrapper)
        check_optim_wrapper(built)
        if self._is_sharded:
            prepare_sharded(self.model, built, self.hooks)
        check_ema(self.hooks, unwrap(self.model))
        return built

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the training loop, `SIMTTrainLoop` unless the config names another."""
        check_loop("train_cfg", loop)
        return super().build_train_loop(_with_type(loop, "gppf_mm.SIMTTrainLoop"))

    def build_val_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the validation loop, `MultiTaskValLoop` by default."""
        check_loop("val_cfg", loop)
        return super().build_val_loop(_with_type(loop, "gppf_mm.MultiTaskValLoop"))

    def build_test_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the test loop, `MultiTaskTestLoop` by default."""
        check_loop("test_cfg", loop)
        return super().build_test_loop(_with_type(loop, "gppf_mm.MultiTaskTestLoop"))

    def build_log_processor(self, log_processor: LogProcessor | dict) -> LogProcessor:
        """Build the log processor; iterations, not epochs, are logged by default."""
        if isinstance(log_processor, dict):
            log_processor = {"by_epoch": False, **log_processor}
        built = super().build_log_processor(log_processor)
        check_log_processor(built)
        return built

    def train(self) -> nn.Module:
        """Train; see ``Runner.train``. Signals are the caller's again afterwards."""
        super().dump_config()
        with own_signals():
            return super().train()

    def build_param_scheduler(
        self, scheduler: dict | list
    ) -> list[_ParamScheduler] | dict[str, list[_ParamScheduler]]:
        """Build the schedulers, none of which may count epochs; see ``Runner``."""
        built = super().build_param_scheduler(scheduler)
        check_schedulers(built)
        return built

    def dump_config(self) -> None:
        """Write the config to the folder of the log.

        Only `train` writes it beside the checkpoints: a test may be of fewer tasks.
        """
        if is_main_process():
            name = Path(self.cfg.filename or f"{self.timestamp}.py").name
            self.cfg.dump(Path(self.log_dir) / name)

    def _init_model_weights(self) -> None:
        if self._resumes():
            # All values will be the checkpoint's. What they began with, such as the
            # run of a transfer, may be gone.
            return
        if self._is_sharded:
            self.model.init_weights()
            return
        unwrap(self.model).init_weights()
        if self.distributed:
            broadcast_state(unwrap(self.model))

    def register_hooks(
        self,
        default_hooks: dict[str, Hook | dict] | None = None,
        custom_hooks: list[Hook | dict] | None = None,
    ) -> None:
        """Register the hooks, none of which may know a single task; see ``Runner``."""
        super().register_hooks(default_hooks, custom_hooks)
        check_hooks(self.hooks)

    def register_default_hooks(
        self, hooks: dict[str, Hook | dict] | None = None
    ) -> None:
        """Register MMEngine's default hooks and `InterruptHook`; see ``Runner``.

        They count iterations, and a checkpoint is saved every 1000 by default. A hook
        that is None is left out.
        """
        hooks = count_iterations(hooks)
        hooks = {"interrupt": dict(type="gppf_mm.InterruptHook"), **hooks}
        super().register_default_hooks(
            {
                name: hook
                for name, hook in hooks.items()
                if hook is not None or name in _STOCK_HOOKS
            }
        )

    def scale_lr(
        self, optim_wrapper: OptimWrapper, auto_scale_lr: dict | None = None
    ) -> None:
        """Scale the learning rate by the images of all tasks in an average step."""
        loaders = self._train_dataloader
        # What the stock method reads is the config of a single loader.
        self._train_dataloader = {"batch_size": self.train_loop.dataloader.batch_size}
        try:
            super().scale_lr(optim_wrapper, auto_scale_lr)
        finally:
            self._train_dataloader = loaders

    def _maybe_compile(self, target: str) -> None:
        """Compile the tasks' networks if the config says so, not the whole step."""
        compile_networks(unwrap(self.model), self.cfg.get("compile"))

    def _resumes(self) -> bool:
        """Return whether there is a checkpoint from which the run goes on."""
        if not self._resume or self._has_loaded:
            return False
        path = self._load_from or find_latest_checkpoint(Path(self.work_dir))
        return path is not None and (is_remote(path) or Path(path).exists())

    def load_or_resume(self) -> None:
        """Load or resume a checkpoint, by default the last one.

        Raises:
            ValueError: If it cannot be resumed from; see `check_resumable`.
        """
        if self._resume and is_main_process():
            remove_partial(Path(self.work_dir))
        if self._resume and self._load_from is None:
            self._load_from = find_latest_checkpoint(Path(self.work_dir))
            if self._load_from is None:
                self.logger.warning(
                    f"There is no checkpoint to resume in {self.work_dir}; training "
                    "starts from the beginning."
                )
                self._resume = False
        if self._resume and self._load_from and os.path.exists(self._load_from):
            check_resumable(self._load_from, unwrap(self.model), *self._states())
        loaded = self._has_loaded
        super().load_or_resume()
        trains = isinstance(self._train_loop, BaseLoop)
        if trains and self._load_from and not (self._resume or loaded):
            again = restarted_schedules(unwrap(self.model), self._load_from)
            if again is not None:
                self.logger.warning(again)

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: str = "default",
    ) -> None:
        """Resume a checkpoint; see ``Runner.resume``.

        What need not fit on the GPU is not put there to be divided.
        """
        if self._is_sharded and map_location == "default":
            map_location = "cpu"
        super().resume(filename, resume_optimizer, resume_param_scheduler, map_location)

    def load_checkpoint(
        self,
        filename: str,
        map_location: str = "cpu",
        strict: bool = False,
        revise_keys: Sequence[tuple[str, str]] = ((r"^module.", ""),),
    ) -> dict:
        """Load a checkpoint, a file or a folder; see ``Runner.load_checkpoint``.

        Raises:
            ValueError: If it holds nothing of the model; see `check_loaded`.
        """
        revise = list(revise_keys)
        if Path(filename).is_dir():
            checkpoint = load_folder(self, filename, strict, revise)
            self._has_loaded = True
        else:
            checkpoint = super().load_checkpoint(filename, map_location, strict, revise)
        if self._resume and is_remote(filename):
            # A local one was checked before, at less than the cost of a download.
            check_content(filename, checkpoint, unwrap(self.model), *self._states())
        check_loaded(filename, checkpoint, unwrap(self.model), revise)
        return checkpoint

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict | None = None,
        by_epoch: bool = True,
        backend_args: dict | None = None,
    ) -> None:
        """Save a checkpoint, atomically on a local disk; see ``Runner``."""
        remote = bool(file_client_args or backend_args or is_remote(out_dir))
        others = (save_param_scheduler, meta, by_epoch, backend_args)

        def save(folder: str, name: str) -> None:
            super(SIMTRunner, self).save_checkpoint(
                folder, name, file_client_args, save_optimizer, *others
            )

        optim_wrapper = self.optim_wrapper if save_optimizer else None
        write_checkpoint(out_dir, filename, save, self.model, optim_wrapper, remote)

    def _states(self) -> tuple[bool, Optimizer | None]:
        """Return whether there are schedulers, and the optimizer, if there is one."""
        wrapper = self.optim_wrapper
        built = isinstance(wrapper, OptimWrapper)
        return bool(self.param_schedulers), wrapper.optimizer if built else None

    @property
    def _is_sharded(self) -> bool:
        return isinstance(self.model, SIMTFullyShardedDataParallel)


def _with_type(loop: BaseLoop | dict, default: str) -> BaseLoop | dict:
    if isinstance(loop, Mapping) and "type" not in loop:
        loop = {key: value for key, value in loop.items() if key != "by_epoch"}
        loop["type"] = default
    return loop
