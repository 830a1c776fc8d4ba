"""Training batches that bring no labels to a model that asks for some."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.structures import BaseDataElement

from gppf_mm.utils.messages import describe

# What stock models raise where a data sample lacks a field.
_MISSING = (AttributeError, KeyError, TypeError)


@contextmanager
def name_missing_labels(task: str, batch: Any) -> Iterator[None]:
    """Say that a batch has no labels where the task's model fails for want of them.

    Not before it fails: self-supervised models need none, and those that read images
    with texts have their labels in fields of other names.

    A data sample counts as labelled if it has a field that starts with ``gt_``, as
    most OpenMMLab data samples name them; it may be empty (an image without objects).

    Args:
        task: The task that the batch is for.
        batch: A batch as the task's stock loader yields it.

    Raises:
        ValueError: Instead of the model's error, if no data sample of the batch has a
            label.
    """
    try:
        yield
    except _MISSING as error:
        elements = _data_samples(batch)
        if not elements or any(_is_labelled(element) for element in elements):
            raise
        keys = sorted({key for element in elements for key in element.keys()})
        raise ValueError(
            f"Task {task!r} got a training batch without any label, and its model "
            f"fails ({describe(error)}): its {len(elements)} data samples hold "
            f"{keys or 'nothing'}, expected a field that starts with 'gt_'. Add the "
            f"annotation loading transform to `train_dataloader.{task}.dataset."
            "pipeline` and check that it is not a test pipeline or a test set."
        ) from error


def _data_samples(batch: Any) -> list[BaseDataElement]:
    samples = batch.get("data_samples") if isinstance(batch, dict) else None
    if not isinstance(samples, list | tuple):
        return []
    return [sample for sample in samples if isinstance(sample, BaseDataElement)]


def _is_labelled(element: BaseDataElement) -> bool:
    return any(key.startswith("gt_") for key in element.keys())
