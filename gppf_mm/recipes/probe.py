"""What a stock backbone gives to the parts behind it, learnt by running it once."""

import inspect
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from gppf_mm.utils.class_name import class_name
from gppf_mm.utils.messages import describe

# The side of the image that every stock backbone takes: what ImageNet models expect.
_SIDE = 224
# What MAE, BEiT, SimMIM, MILAN and their like take besides the image.
_MASKS = {"mask", "importance"}


@dataclass(frozen=True)
class Probe:
    """A backbone and its outputs.

    Attributes:
        kind: Its class.
        out_indices: The stages that it returns, None if it has no such choice.
        channels: Channels of each output.
        strides: Pixels of the image for one of each output; 1 if it is no map.
        pooled: Whether the last output is a vector for the whole image.
    """

    kind: type
    out_indices: tuple[int, ...] | None
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    pooled: bool


class Prober:
    """Builds and runs backbones, each config once."""

    def __init__(self) -> None:
        self._known: dict[str, Probe] = {}

    def probe(self, cfg: Mapping[str, Any]) -> Probe:
        """Build a backbone without pretrained weights and run it on one small image.

        Args:
            cfg: Its config, with ``_scope_`` or a type that names its library.

        Returns:
            What came out.

        Raises:
            ValueError: If it cannot be built or run.
        """
        cfg = _without_weights(cfg)
        key = repr(sorted(cfg.items(), key=lambda item: item[0]))
        if key not in self._known:
            self._known[key] = _run(cfg)
        return self._known[key]


def find_class(cfg: Mapping[str, Any], where: str = "`backbone.type`") -> type:
    """Return the class that a backbone's config names.

    Args:
        cfg: The config.
        where: What has it, for a message. Defaults to the common backbone's key.

    Raises:
        ValueError: If no registry has it.
    """
    with DefaultScope.overwrite_default_scope(cfg.get("_scope_")):
        kind = cfg["type"]
        if isinstance(kind, str) and cfg.get("_scope_") and "." not in kind:
            kind = f"{cfg['_scope_']}.{kind}"
        found = MODELS.get(kind) if isinstance(kind, str) else kind
    if found is None:
        raise ValueError(
            f"{where} is {cfg['type']!r}, which is in no registry. Check the name and "
            "that its library is installed; a class of your own needs its module in "
            "`custom_imports`."
        )
    return found


def accepted_arguments(kind: type) -> set[str]:
    """Return the arguments of a class, those that it passes on to its bases too."""
    names: set[str] = set()
    for base in kind.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        names |= {item.name for item in parameters}
        if all(item.kind is not item.VAR_KEYWORD for item in parameters):
            break
    return names


def default_of(kind: type, name: str) -> Any:
    """Return the default of an argument of a class or its bases, else None."""
    for base in kind.__mro__:
        if "__init__" in vars(base):
            found = inspect.signature(vars(base)["__init__"]).parameters.get(name)
            if found is not None:
                return None if found.default is found.empty else found.default
    return None


def keeps_statistics(cfg: Mapping[str, Any]) -> bool:
    """Tell whether a backbone trains on its running statistics, by ``norm_eval``."""
    kind = find_class(cfg)
    norm_eval, norm = (
        cfg.get(key, default_of(kind, key)) for key in ("norm_eval", "norm_cfg")
    )
    return bool(norm_eval) and "BN" in class_name((norm or {}).get("type", "BN"))


def takes_masks(kind: type) -> bool:
    """Tell whether a backbone masks the image, as in masked image modelling."""
    parameters = inspect.signature(kind.forward).parameters  # type: ignore[attr-defined]
    return not _MASKS.isdisjoint(parameters)


def _without_weights(cfg: Mapping[str, Any]) -> dict[str, Any]:
    dropped = ("init_cfg", "pretrained")
    return {key: deepcopy(cfg[key]) for key in cfg if key not in dropped}


@torch.no_grad()
def _run(cfg: dict[str, Any]) -> Probe:
    name = cfg["type"]
    kind = find_class(cfg)
    try:
        with torch.random.fork_rng(devices=[]):
            backbone: nn.Module = MODELS.build(deepcopy(cfg))
            backbone.eval()
            outputs = backbone(torch.zeros(1, 3, _SIDE, _SIDE))
    except Exception as error:
        raise ValueError(
            f"The backbone {name!r} cannot be built and run on an image of "
            f"{_SIDE}x{_SIDE}, from which its channels are learnt: "
            f"{describe(error)}."
        ) from error
    maps = _maps(outputs)
    indices = getattr(backbone, "out_indices", None)
    if isinstance(indices, int):
        indices = (indices,)
    return Probe(
        kind=kind,
        out_indices=None if indices is None else tuple(indices),
        channels=tuple(
            item.shape[-1] if item.dim() == 3 else item.shape[1] for item in maps
        ),
        strides=tuple(
            _SIDE // item.shape[-1] if item.dim() == 4 else 1 for item in maps
        ),
        pooled=maps[-1].dim() == 2,
    )


def _maps(outputs: Any) -> Sequence[torch.Tensor]:
    """Return one tensor for each output; some give (patches, token) for a stage."""
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    return [item[0] if isinstance(item, (list, tuple)) else item for item in outputs]
