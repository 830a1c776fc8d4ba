"""What MMEngine would do to a multi-task model, and must not."""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor, nn

from gppf_mm.engine.optim import RULE_KEYS
from gppf_mm.utils.class_name import class_name
from gppf_mm.utils.loading import same_rows

# MMEngine looks up the modules that these name when training starts, not before.
_MODULE_KEYS = ("activation_checkpointing", "efficient_conv_bn_eval")
_STOCK_CONSTRUCTOR = "DefaultOptimWrapperConstructor"  # MMEngine's, by default.


def check_sync_bn(cfg: Mapping, model: nn.Module) -> None:
    """Refuse to replace batch norms whose values live in the bank.

    Args:
        cfg: The run's config, in which ``sync_bn`` would replace them.
        model: Its model.

    Raises:
        ValueError: If it would.
    """
    network = getattr(model, "network", None)
    moved = [] if network is None else list(network.statistics.buffers())
    if moved and cfg.get("sync_bn") is not None:
        raise ValueError(
            "`sync_bn` replaces batch norms when their weights and statistics are in "
            "the bank already, as `model.lego.norm` says. Take it out, and give the "
            "tasks' backbones norm_cfg=dict(type='SyncBN')."
        )


def check_module_keys(cfg: Mapping, model: nn.Module) -> None:
    """Refuse names of modules that the model does not have.

    Args:
        cfg: The run's config.
        model: Its model.

    Raises:
        ValueError: If a module that the config names is not there.
    """
    for key in _MODULE_KEYS:
        names = cfg.get(key) or []
        for name in [names] if isinstance(names, str) else names:
            try:
                model.get_submodule(name)
            except AttributeError as error:
                known = [module for module, _ in model.named_modules()]
                close = get_close_matches(name, known, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                raise ValueError(
                    f"`{key}` names the module {name!r}, which the model does not have "
                    f"({error}); expected names such as 'tasks.<task>.backbone'.{hint}"
                ) from error


def check_optim_wrapper(optim_wrapper: OptimWrapper | Mapping[str, Any]) -> None:
    """Refuse several optimizers, and rules that nothing would read.

    Args:
        optim_wrapper: A wrapper, or its config.

    Raises:
        ValueError: If it is, or would become, an ``OptimWrapperDict``; or has rules of
            `MultiTaskOptimWrapperConstructor` for MMEngine's constructor.
    """
    if isinstance(optim_wrapper, Mapping):
        _check_rules(optim_wrapper)
        parts = [item for item in optim_wrapper.values() if isinstance(item, Mapping)]
        several = class_name(optim_wrapper.get("type")) == "OptimWrapperDict" or any(
            "optimizer" in part for part in parts
        )
    else:
        several = isinstance(optim_wrapper, OptimWrapperDict)
    if several:
        raise ValueError(
            "`optim_wrapper` has several optimizers, an OptimWrapperDict, but a step "
            "of a multi-task run is one step of one optimizer. Expected a single "
            "`optimizer`; `paramwise_cfg` gives parts of the model learning rates of "
            "their own."
        )


def check_norm_rule(optim_wrapper: Any, model: nn.Module) -> None:
    """Refuse a rule for norms where MMEngine's constructor would find none.

    It knows a norm by the class of the layer, and those in the bank are in none.

    Args:
        optim_wrapper: The config of the optimizer wrapper, or what is built already.
        model: The model.

    Raises:
        ValueError: If norms are in the bank and have such a rule.
    """
    cfg = optim_wrapper if isinstance(optim_wrapper, Mapping) else {}
    rules = cfg.get("paramwise_cfg") or {}
    kind = cfg.get("constructor") or _STOCK_CONSTRUCTOR
    norm = getattr(getattr(model, "network", None), "norm", "private")
    asked = "norm_decay_mult" in rules and class_name(kind) == _STOCK_CONSTRUCTOR
    if asked and norm != "private":
        raise ValueError(
            "`optim_wrapper.paramwise_cfg` has 'norm_decay_mult', which "
            f"{_STOCK_CONSTRUCTOR} does not apply to norms in the bank, as "
            f"`model.lego.norm` {norm!r} puts them there. Expected "
            "constructor='gppf_mm.MultiTaskOptimWrapperConstructor' with the rule by "
            "task: paramwise_cfg=dict(tasks=dict(NAME=dict(paramwise_cfg=dict("
            "norm_decay_mult=0.0))))."
        )


def _check_rules(optim_wrapper: Mapping[str, Any]) -> None:
    """Refuse rules of ours for MMEngine's constructor, which ignores unknown keys."""
    rules = optim_wrapper.get("paramwise_cfg")
    keys = [key for key in RULE_KEYS if isinstance(rules, Mapping) and key in rules]
    kind = optim_wrapper.get("constructor") or _STOCK_CONSTRUCTOR
    if keys and class_name(kind) == _STOCK_CONSTRUCTOR:
        raise ValueError(
            f"`optim_wrapper.paramwise_cfg` has the key {keys[0]!r}, and "
            f"`optim_wrapper.constructor` is {_STOCK_CONSTRUCTOR!r}, which does not "
            "know it and would ignore it. Expected "
            "constructor='gppf_mm.MultiTaskOptimWrapperConstructor'."
        )


def check_ema(hooks: Iterable[Hook], model: nn.Module) -> None:
    """Refuse an average of what is no tensor, or no weight.

    Args:
        hooks: The run's hooks.
        model: Its model.

    Raises:
        ValueError: If an EMAHook would copy the whole state of a model whose task
            weighting remembers more than tensors, or would save the routes of its
            first step, as it does with ``update_buffers``, where routes change with
            the step.
    """
    whole = all(isinstance(value, Tensor) for value in model.state_dict().values())
    router = getattr(getattr(model, "network", None), "router", None)
    schedules = getattr(router, "schedules", {})
    moving = [name for name, schedule in schedules.items() if schedule.end]
    for hook in (hook for hook in hooks if isinstance(hook, EMAHook)):
        copies_buffers = hook.ema_cfg.get("update_buffers")
        if copies_buffers and moving:
            raise ValueError(
                "`custom_hooks` has an EMAHook with `update_buffers`, which would save "
                "the step at which the average began, and `model.lego.router."
                f"{moving[0]}` follows the step. Leave `update_buffers` out: without "
                "it buffers are copied."
            )
        if not whole and (hook.begin_iter or hook.begin_epoch or copies_buffers):
            raise ValueError(
                "`custom_hooks` has an EMAHook that copies the model's whole state, "
                "and what `model.weighting` remembers is not all tensors. Leave its "
                "`begin_iter`, `begin_epoch` and `update_buffers` out, or take "
                "`model.weighting` out."
            )


def check_loaded(
    filename: str,
    checkpoint: Mapping[str, Any],
    model: nn.Module,
    revise_keys: Sequence[tuple[str, str]],
) -> None:
    """Refuse a checkpoint of which MMEngine has loaded nothing, or routes of others.

    Args:
        filename: The checkpoint's file, named in errors.
        checkpoint: Its content.
        model: The model that it was loaded into.
        revise_keys: Patterns, and what replaces them in the file's names.

    Raises:
        ValueError: If not one of its names is the model's, or its routes have been
            taken for those of other layers.
    """
    found = {}
    for name, value in checkpoint.get("state_dict", checkpoint).items():
        name = str(name)
        for pattern, replacement in revise_keys:
            name = re.sub(pattern, replacement, name)
        found[name] = value
    expected = model.state_dict()
    common = [name for name in expected if name in found]
    if not common:
        raise ValueError(
            f"`load_from` is {filename!r}, which has no weight of the model: its names "
            f"are as {', '.join(map(repr, list(found)[:2])) or 'none'}, the model's as "
            f"{next(iter(expected))!r}. `load_from` takes a checkpoint of a multi-task "
            "run; a pretrained backbone becomes the units' start as "
            "`model.lego.init.checkpoint`."
        )
    routes = [name for name in common if name.startswith("network.router.logits.")]
    taken = [name for name in routes if found[name].shape == expected[name].shape]
    if taken and not same_rows(found, expected):
        raise ValueError(
            f"`load_from` is {filename!r}, whose shared layers are others than the "
            "model's, or in another order, so that its routes would be taken for those "
            "of other layers. Expected a run with the same backbone, `model.share` and "
            "`model.lego.placement`; or take the routes, `network.router.*`, out of "
            "the file."
        )
