"""Rules for the recipes that a check on random images cannot judge."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from mmengine.config import Config

from gppf_mm.utils.class_name import class_name
from gppf_mm.utils.walk import find_values

_TEXT_KEYS = (
    "language_model",
    "text_encoder",
    "text_backbone",
    "tokenizer",
    "lang_encoder",
)


def skip_reason(scope: str, cfg: Config) -> str | None:
    """Decide from a recipe's settings whether it can be checked.

    Args:
        scope: The library.
        cfg: The stock config, which has a model.

    Returns:
        Why not, or None.
    """
    found = (reason for rule, reason in _RULES if rule(scope, cfg.model))
    return next(found, None)


def skip_error(error: BaseException) -> str | None:
    """Decide from an error whether it is for the lack of what a check does without.

    Args:
        error: What a stock model raised.

    Returns:
        What is missing, or None if it is a failure.
    """
    current: BaseException | None = error
    while current is not None:
        text = str(current)
        if isinstance(current, ModuleNotFoundError) and current.name:
            return f"needs the package {current.name.partition('.')[0]!r}"
        install = re.search(r"pip install (-r|[\w\"'])", text)
        if install and install[1] == "-r":
            return "needs optional packages of its library"
        if install:
            name = text[install.start(1) :].split()[0].strip("\"'`.,")
            return f"needs the package {name!r}"
        if re.search(r"doesn't support (to train|training)", text):
            return "its own library does not train it"
        operator = re.search(r"(\w+?)(_impl)?: implementation for device cpu", text)
        if operator:
            return "an operator of mmcv does not run on the CPU"
        current = current.__cause__ or current.__context__
    return None


def _has(*keys: str) -> Callable[[str, Mapping], bool]:
    return lambda scope, model: any(
        value is not None for key in keys for value in find_values(model, key)
    )


def _preprocessor(*parts: str) -> Callable[[str, Mapping], bool]:
    def rule(scope: str, model: Mapping[str, Any]) -> bool:
        name = class_name((model.get("data_preprocessor") or {}).get("type"))
        return any(part in name for part in parts)

    return rule


def _type(pattern: str) -> Callable[[str, Mapping], bool]:
    return lambda scope, model: bool(
        re.search(pattern, class_name(model.get("type")), re.I)
    )


def _headless(scope: str, model: Mapping[str, Any]) -> bool:
    return class_name(model.get("type")) == "ImageClassifier" and not (
        model.get("head") or _head_in_backbone(model)
    )


def _head_in_backbone(model: Mapping[str, Any]) -> bool:
    return "num_classes" in (model.get("backbone") or {})


def _averages_itself(scope: str, model: Mapping[str, Any]) -> bool:
    return scope == "mmpretrain" and any(
        model.get(key) is not None for key in ("momentum", "base_momentum")
    )


def _no_shared_part(scope: str, model: Mapping[str, Any]) -> bool:
    return "backbone" not in model and "image_encoder" not in model


_RULES: tuple[tuple[Callable[[str, Mapping], bool], str], ...] = (
    (_type("Detectron2"), "needs the package 'detectron2'"),
    (_preprocessor("Track", "Video"), "video: takes sequences of frames"),
    (_type(r"SORT$|Track|Video"), "video: takes sequences of frames"),
    (_preprocessor("ReID"), "video: tracks re-identified over frames"),
    (_has(*_TEXT_KEYS), "takes text prompts"),
    (_type(r"Blip|CLIP|Flamingo|Llava|MiniGPT|OFA|Otter|RAM"), "takes text prompts"),
    (_preprocessor("MultiModal"), "takes text prompts"),
    (_has("teacher_config"), "distillation: needs a teacher's config and weights"),
    (
        _preprocessor("MultiBranch"),
        "semi-supervised: takes two branches of unlabelled and labelled images",
    ),
    (_has("tokenizer_path"), "needs the weights of an external target generator"),
    (_headless, "no head: it gives features and has no loss"),
    (_no_shared_part, "no backbone to share"),
    (_averages_itself, "averages its own backbone, whose weights lie in the bank"),
)
