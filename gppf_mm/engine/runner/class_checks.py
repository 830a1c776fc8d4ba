"""Heads that predict other classes than their task's data has."""

import logging
from collections.abc import Mapping, Sequence

from mmengine.logging import print_log
from torch import nn
from torch.utils.data import DataLoader

# Parts of a model that reads the names of classes, and has no output for each.
_READERS = ("language_model", "text_encoder")


def check_classes(
    where: str, loaders: Mapping[str, DataLoader], models: Mapping[str, nn.Module]
) -> None:
    """Compare the classes of each task's data with those that its heads predict.

    They differ easily where a recipe gets data of one's own. With too few in the heads
    a label has no output, and the run ends in its loss with an index out of range.
    mmdet's ``NumClassCheckHook`` and mmpretrain's ``ClassNumCheckHook`` compare the one
    data set of a stock run.

    Args:
        where: The config key of the loaders, such as ``train_dataloader``.
        loaders: The loaders by task. A data set that does not tell its classes is not
            compared.
        models: The tasks' stock models.

    Raises:
        ValueError: If a data set's classes are one text, or more than any head of the
            task predicts, or the labels that its preprocessor mixes have another length
            than its heads predict. If the classes are fewer, a warning says so.
    """
    for task, loader in loaders.items():
        metainfo = getattr(loader.dataset, "metainfo", None) or {}
        classes = metainfo.get("classes")
        if isinstance(classes, str):
            raise ValueError(
                f"`{where}.{task}.dataset.metainfo.classes` is the text {classes!r}; "
                "expected a tuple of names. One of a single name has a comma: "
                f"classes=({classes!r},)."
            )
        heads = _predicted(models[task])
        _check_mixing(task, models[task], heads)
        if classes and not any(hasattr(models[task], name) for name in _READERS):
            _compare(f"{where}.{task}.dataset", task, classes, heads)


def _check_mixing(task: str, model: nn.Module, heads: Mapping[str, int]) -> None:
    """Require that mixed labels are as long as what the heads predict."""
    preprocessor = getattr(model, "data_preprocessor", None)
    number = getattr(preprocessor, "num_classes", None)
    mixes = getattr(preprocessor, "batch_augments", None) is not None
    if mixes and number and heads and number not in heads.values():
        head = next(iter(heads))
        raise ValueError(
            f"`model.tasks.{task}.data_preprocessor.num_classes` is {number}, by which "
            f"its batch augments mix labels, and `{head}.num_classes` is "
            f"{heads[head]}. Give both the same number; of a recipe of mmpretrain by "
            f"`data_preprocessor.num_classes` in `tasks.{task}.cfg_options`."
        )


def _compare(
    where: str, task: str, classes: Sequence[str], heads: Mapping[str, int]
) -> None:
    if not heads or len(classes) in heads.values():
        return
    head, number = max(heads.items(), key=lambda item: item[1])
    message = (
        f"`{where}` has {len(classes)} classes ({_few(classes)}), and "
        f"`model.tasks.{task}.{head}.num_classes` is {number}. Set `num_classes` of "
        f"{', '.join(heads)} to {len(classes)}, where a recipe makes the model by "
        f"`tasks.{task}.cfg_options`; or name other classes in `{where}.metainfo`."
    )
    if number < len(classes):
        raise ValueError(message)
    print_log(message, logger="current", level=logging.WARNING)


def _predicted(model: nn.Module) -> dict[str, int]:
    """Return how many classes each head predicts, proposals apart."""
    found = {}
    for name, module in model.named_modules():
        parts = [part for part in name.split(".") if not part.isdigit()]
        number = getattr(module, "num_classes", None)
        is_head = bool(parts) and "head" in parts[-1] and "rpn" not in name
        if is_head and isinstance(number, int) and number > 0:
            found[".".join(parts)] = number
    return found


def _few(classes: Sequence[str]) -> str:
    names = [str(name) for name in classes]
    return ", ".join(names if len(names) <= 5 else [*names[:3], "...", names[-1]])
