"""One optimizer for several tasks, with each recipe's own parameter-wise rules."""

from collections.abc import Mapping
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from gppf_mm.models import GPPF
from gppf_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS
from gppf_mm.utils.messages import check_mapping, check_names, check_number

from .agreement import agree
from .multipliers import NEUTRAL, Multipliers, read_multipliers

RULE_KEYS = ("tasks", "bank", "router", "weighting")
_WHERE = "optim_wrapper.paramwise_cfg"
# What the router can have of its own, and the multiplier that it replaces.
_VALUES = dict(lr="lr_mult", weight_decay="decay_mult")


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MultiTaskOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Builds the one optimizer of a multi-task model.

    A task's rules are those of its stock recipe, run by the recipe's own constructor;
    see `read_multipliers`. They hold for the task's own parameters. A parameter of the
    bank follows the rules of the tasks that train it as far as these agree; where they
    do not, its multiplier is 1 and a warning says so (our choice). The router and
    a learned task weighting have no weight decay by default, since decay draws what
    they learn towards chance (our choice).

    Parameters of equal learning rate and weight decay are one parameter group. What
    ``requires_grad`` is off for is left out.

    Args:
        optim_wrapper_cfg: Config of the optimizer wrapper, with its ``optimizer``.
        paramwise_cfg: Rules under the keys

            * ``tasks``: by task ``constructor`` and ``paramwise_cfg``, the recipe's own
              (default: none), and ``lr_mult`` and ``decay_mult``, on top of them and
              for the task's own parameters (default: 1);
            * ``bank``: ``lr_mult`` and ``decay_mult`` for all units and shared
              parameters (default: 1);
            * ``router`` and ``weighting``: ``lr_mult`` (default: 1) and ``decay_mult``
              (default: 0);
            * ``router``: instead of these ``lr`` and ``weight_decay``, which are not
              multiplied.

            Defaults to None.

    Raises:
        TypeError: If this or what stands under a key is no dict.
        ValueError: If a key is unknown, a value is no number from 0, or the router has
            both a value and a multiplier.

    Examples:
        >>> wrapper = dict(optimizer=dict(type="AdamW", lr=1e-4, weight_decay=0.05))
        >>> rules = dict(
        ...     tasks=dict(ade=dict(paramwise_cfg=dict(norm_decay_mult=0.0))),
        ...     router=dict(lr_mult=10.0),
        ... )
        >>> constructor = MultiTaskOptimWrapperConstructor(wrapper, rules)
    """

    def __init__(
        self, optim_wrapper_cfg: dict, paramwise_cfg: Mapping[str, Any] | None = None
    ) -> None:
        cfg = _dict(_WHERE, paramwise_cfg, "dict(router=dict(lr=0.01))")
        check_names(_WHERE, cfg, RULE_KEYS)
        tasks = _dict(f"{_WHERE}.tasks", cfg.get("tasks"), "dict(det=dict(lr_mult=2))")
        self.rules = {
            task: _dict(f"{_WHERE}.tasks.{task}", item, "dict(lr_mult=2)")
            for task, item in tasks.items()
        }
        for task, item in self.rules.items():
            known = ("constructor", "paramwise_cfg", "lr_mult", "decay_mult")
            check_names(f"{_WHERE}.tasks.{task}", item, known)
        self.factors = {
            task: _factors(f"{_WHERE}.tasks.{task}", item)
            for task, item in self.rules.items()
        }
        bank, router, weighting = (
            _dict(f"{_WHERE}.{part}", cfg.get(part), "dict(lr_mult=2)")
            for part in ("bank", "router", "weighting")
        )
        factors = ("lr_mult", "decay_mult")
        check_names(f"{_WHERE}.bank", bank, factors)
        check_names(f"{_WHERE}.router", router, (*factors, *_VALUES))
        check_names(f"{_WHERE}.weighting", weighting, factors)
        self.values_of_router = _take_values(f"{_WHERE}.router", router)
        self.of_bank = _factors(f"{_WHERE}.bank", bank)
        self.of_router = _factors(f"{_WHERE}.router", router, decay=0.0)
        self.of_weighting = _factors(f"{_WHERE}.weighting", weighting, decay=0.0)
        # An empty one would make the stock class skip `add_params`.
        super().__init__(optim_wrapper_cfg, cfg or dict(tasks={}))

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = "",
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Add the parameter groups of a multi-task model.

        Args:
            params: The groups, to which those of the model are added.
            module: The multi-task model.
            prefix: Not used. Defaults to ``''``.
            is_dcn_module: Not used. Defaults to None.

        Raises:
            TypeError: If the model has no tasks.
            ValueError: If there are rules for an unknown task, or the optimizer has no
                learning rate or weight decay to multiply.
        """
        if not isinstance(module, GPPF):
            raise TypeError(
                "`optim_wrapper.constructor` is MultiTaskOptimWrapperConstructor, "
                "which is for model=dict(type='gppf_mm.GPPF'); the model is a "
                f"{type(module).__name__}. Take the key out for it."
            )
        check_names(f"{_WHERE}.tasks", self.rules, module.task_names)
        multipliers = self._multipliers(module)
        values = self.values_of_router
        router = {id(item) for item in module.network.router.parameters() if values}
        groups: dict[tuple[Multipliers, bool], list[nn.Parameter]] = {}
        for parameter in module.parameters():
            own = multipliers.get(id(parameter), NEUTRAL)
            if parameter.requires_grad and own is not None:
                key = (own, id(parameter) in router)
                groups.setdefault(key, []).append(parameter)
        for (own, of_router), members in groups.items():
            group = self._group(own, members)
            params.append({**group, **values} if of_router else group)

    def _group(self, own: Multipliers, members: list[nn.Parameter]) -> dict[str, Any]:
        group: dict[str, Any] = dict(params=members)
        if self.base_lr is not None:
            group["lr"] = self.base_lr * own.lr
        elif own.lr != 1:
            raise ValueError(
                f"`{_WHERE}` multiplies the learning rate by {own.lr}, but "
                "`optim_wrapper.optimizer` has no `lr`. Add it."
            )
        if self.base_wd is not None:
            group["weight_decay"] = self.base_wd * own.decay
        elif own.decay == 0:
            group["weight_decay"] = 0.0
        elif own.decay != 1:
            raise ValueError(
                f"`{_WHERE}` multiplies the weight decay by {own.decay}, but "
                "`optim_wrapper.optimizer` has no `weight_decay`. Add it."
            )
        return group

    def _multipliers(self, model: GPPF) -> dict[int, Multipliers | None]:
        """Return each parameter's multipliers by its id; None leaves it out."""
        recipes = {task: self._read(model, task) for task in model.task_names}
        found: dict[int, Multipliers | None] = {}
        for task, stock in model.tasks.items():
            factors = self.factors.get(task, NEUTRAL)
            recipe = recipes[task]
            for name, parameter in stock.named_parameters():
                name = model.paths[task].to_bank(name)
                own = NEUTRAL if recipe is None else recipe.get(name)
                found[id(parameter)] = own and own.times(factors)
        bank = model.network.bank
        for name, own in agree(model.network, recipes).items():
            own = own.times(self.of_bank)
            shared = name in bank.shared_names
            for parameter in [bank.parameter(name)] if shared else bank.units(name):
                found[id(parameter)] = own
        for parameter in model.network.router.parameters():
            found[id(parameter)] = self.of_router
        for parameter in model.weighting.parameters() if model.weighting else ():
            found[id(parameter)] = self.of_weighting
        return found

    def _read(self, model: GPPF, task: str) -> dict[str, Multipliers] | None:
        """Return a recipe's multipliers by the bank's names, None without rules."""
        rules = self.rules.get(task, {})
        if not (rules.get("constructor") or rules.get("paramwise_cfg")):
            return None
        keys = ("constructor", "paramwise_cfg")
        try:
            found = read_multipliers(
                model._task_cfgs[task], *(rules.get(key) for key in keys)
            )
        except Exception as error:
            # A library's constructor fails in its own way on rules it does not know.
            raise ValueError(
                f"`{_WHERE}.tasks.{task}` cannot be applied to the model of task "
                f"{task!r}: {type(error).__name__}: {error}. Expected the "
                "`constructor` and `paramwise_cfg` of a recipe of this model."
            ) from error
        return {model.paths[task].to_bank(name): own for name, own in found.items()}


def _dict(where: str, value: Any, example: str) -> dict[str, Any]:
    """Return a copy of rules; None, by which configs take a key out, is none."""
    value = {} if value is None else value
    check_mapping(where, value, example)
    return dict(value)


def _factors(where: str, cfg: Mapping[str, Any], decay: float = 1.0) -> Multipliers:
    values = (cfg.get("lr_mult", 1.0), cfg.get("decay_mult", decay))
    for key, value in zip(("lr_mult", "decay_mult"), values, strict=True):
        check_number(f"{where}.{key}", value)
    return Multipliers(*values)


def _take_values(where: str, cfg: dict[str, Any]) -> dict[str, float]:
    """Take ``lr`` and ``weight_decay`` out of a part's rules."""
    values = {key: cfg.pop(key) for key in _VALUES if key in cfg}
    for key, value in values.items():
        check_number(f"{where}.{key}", value)
        if _VALUES[key] in cfg:
            raise ValueError(
                f"`{where}` has `{key}` and `{_VALUES[key]}`; expected one of them: "
                f"`{key}` is not multiplied. Take one out."
            )
    return values
