"""A lego network in the place of a stock backbone."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.dist import is_distributed
from mmengine.logging import MessageHub
from mmengine.model import BaseModule, initialize
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from gppf_mm.registry import MODELS

from ..init import initialise, read_init
from ..lego import NormMode, NumUnits, PlacementRule
from ..network import LegoNetwork
from ..parts import PartPaths
from ..sync_bn import revert_sync_bn
from ..transfer import freeze, keep_statistics, read_transfer, take_over
from .own_file import check_own_file
from .own_keys import lego_keys_at

TASK = "task"
_PART = "backbone"


@MODELS.register_module()
class LegoBackbone(BaseModule):
    """Bank, router and one skeleton: a drop-in ``backbone`` of stock configs.

    The skeleton's weights are laid in at each forward pass and stay until the next one,
    so that a backward pass which recomputes activations finds them; in between they
    take the memory of one backbone. The routing schedule follows the iteration that
    the runner tells MMEngine's message hub; without a runner it stands still, unless
    `LegoNetwork.set_step` is called.

    A skeleton that takes more than images, such as a mask, is not supported, nor is a
    model that reads other attributes of its backbone. MMEngine's ``compile`` leaves
    this backbone as it is, and compiles the rest.

    Units that the plan does not activate have no gradient. Stock data parallel
    therefore needs ``find_unused_parameters=True`` in the config, and then takes no
    re-entrant activation checkpointing (the libraries' ``with_cp``), like any model.

    Args:
        skeleton: Config of the stock backbone.
        num_units: Units per layer, K; see `LegoNetwork`.
        router: Config of the router, as ``model.lego.router`` of `GPPF`. A
            ``FixedRouter`` knows the only task as ``'task'``.
        placement: Rules before the default ones; see `LegoNetwork`. Defaults to none.
        channels_last: See `LegoNetwork`. Defaults to False.
        norm: Where normalisation layers live; see `LegoNetwork`. Defaults to
            ``'private'``.
        init: First values of the units, see `initialise`. Defaults to None.
        transfer: Start from a `GPPF` run: ``checkpoint``, ``route`` and ``norms``, the
            tasks of that run whose route and normalisation layers are copied, and
            ``freeze``; see `read_transfer`. Defaults to None.
        init_cfg: A checkpoint of another model with a `LegoBackbone` like this one, as
            ``dict(type='Pretrained', checkpoint=..., prefix='backbone.')``. A stock
            checkpoint goes under ``init`` or ``skeleton``. Defaults to None.
        pretrained: Refused unless None: where mmseg's models put ``model.pretrained``.
            Defaults to None.

    Raises:
        ValueError: If ``init_cfg`` is of another type, ``pretrained`` names a file, or
            an option is wrong.
    """

    def __init__(
        self,
        skeleton: dict,
        num_units: NumUnits,
        router: dict,
        placement: str | Sequence[str | PlacementRule] = (),
        channels_last: bool = False,
        norm: NormMode = "private",
        init: Mapping[str, Any] | None = None,
        transfer: Mapping[str, Any] | None = None,
        init_cfg: dict | None = None,
        pretrained: str | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if pretrained is not None:
            raise ValueError(
                f"`backbone.pretrained` of a LegoBackbone is {pretrained!r}, where "
                "mmseg's models put `model.pretrained`; expected None. Set "
                "model.pretrained=None, and put the file under "
                "`backbone.init.checkpoint` (a local file) or under "
                "`backbone.skeleton.init_cfg`, as dict(type='Pretrained', "
                f"checkpoint={pretrained!r}): all units start from it."
            )
        found = init_cfg if isinstance(init_cfg, Mapping) else {}
        names_file = found.get("type") == "Pretrained" and found.get("checkpoint")
        if init_cfg is not None and not names_file:
            raise ValueError(
                f"`backbone.init_cfg` of a LegoBackbone is {init_cfg!r}; expected "
                "dict(type='Pretrained', checkpoint=...) or nothing. How weights are "
                "drawn is the skeleton's: put it under `backbone.skeleton.init_cfg`."
            )
        self._skeleton_cfg = deepcopy(skeleton)
        # The library in which the skeleton's name means this class.
        current = DefaultScope.get_current_instance()
        self._scope = current.scope_name if current else None
        self._init = read_init("backbone.init", init)
        self.transfer = (
            read_transfer("backbone.transfer", transfer, (TASK,), single=True)
            if transfer
            else None
        )
        self.skeleton = MODELS.build(deepcopy(skeleton))
        revert_sync_bn(self.skeleton)
        with lego_keys_at(_PART):
            self.network = LegoNetwork(
                self._parts,
                num_units,
                router,
                placement,
                channels_last=channels_last,
                norm=norm,
            )
        if self.transfer is not None:
            freeze(self.transfer, self.network, self._parts, {})

    @property
    def _parts(self) -> dict[str, dict[str, nn.Module]]:
        return {TASK: {_PART: self.skeleton}}

    def init_weights(self) -> None:
        """Give the units the skeleton's own first values, or a trained run's.

        Raises:
            ValueError: If ``init_cfg`` names a file that is none of a `LegoBackbone`.
        """
        taken = None
        if self.transfer is not None:
            # First, so that no pretrained weights are read only to be replaced.
            state = self.skeleton.state_dict()
            private = {f"{_PART}.{name}": value for name, value in state.items()}
            taken = take_over(self.network, self.transfer, {TASK: private}, {})[1]
        holder = dict(type=_Holder, backbone=self._skeleton_cfg)
        with DefaultScope.overwrite_default_scope(self._scope), lego_keys_at(_PART):
            initialise(
                self.network,
                {TASK: nn.ModuleDict({_PART: self.skeleton})},
                {TASK: ConfigDict(holder)},
                {TASK: PartPaths()},
                taken=taken,
                **self._init,
            )
        if self.init_cfg:
            check_own_file(self, self.init_cfg)
            initialize(self, self.init_cfg)
        self._is_init = True

    # Weights are laid in for a pass, which a graph of an earlier one would not show.
    @torch.compiler.disable
    def forward(self, inputs: Tensor) -> Any:
        """Run the skeleton.

        Args:
            inputs: Images of shape (N, C, H, W).

        Returns:
            What the stock backbone returns, usually a tuple of features.
        """
        network = self.network
        network.clear(TASK)
        plan = None
        if self.training:
            iteration = MessageHub.get_current_instance().get_info("iter")
            if iteration is not None:
                network.set_step(iteration)
            # Of the iterations before, where gradients accumulate.
            network.rest_frozen_routes()
            if is_distributed():
                # Stock data parallel looks for the router's parameters in the graph.
                step = network.step_of(TASK)
                plan = network.router.draw(TASK, step, replayable=False)
        network.lay(TASK, plan)
        outputs = self.skeleton(inputs)
        # Now, for a checkpoint may be saved before the next pass.
        network.absorb(TASK)
        return outputs

    def train(self, mode: bool = True) -> "LegoBackbone":
        """Set the mode; frozen parts stay in evaluation mode."""
        self.network.clear(TASK)
        super().train(mode)
        if self.transfer is not None:
            keep_statistics(self.transfer, self._parts)
        return self

    def __getstate__(self) -> dict[str, Any]:
        # A copy is made between two passes, and laid weights cannot be copied.
        self.network.clear(TASK)
        return self.__dict__


class _Holder(BaseModule):
    """A model that is nothing but a backbone."""

    def __init__(self, backbone: dict) -> None:
        super().__init__()
        self.backbone = MODELS.build(backbone)
