"""Refusing batches that bring no labels to train on."""

from typing import Any

from mmengine.structures import BaseDataElement


def check_labels(task: str, batch: Any) -> None:
    """Require that a training batch carries labels.

    A data sample counts as labelled if it has a field that starts with ``gt_``, as all
    OpenMMLab data samples name them; it may be empty (an image without objects).
    Batches without data samples are left to the stock model.

    Args:
        task: The task that the batch is for.
        batch: A batch as the task's stock loader yields it.

    Raises:
        ValueError: If no data sample of the batch has a label.
    """
    samples = batch.get("data_samples") if isinstance(batch, dict) else None
    if not isinstance(samples, list | tuple) or not samples:
        return
    elements = [sample for sample in samples if isinstance(sample, BaseDataElement)]
    if not elements or any(_is_labelled(element) for element in elements):
        return
    keys = sorted({key for element in elements for key in element.keys()})
    raise ValueError(
        f"Task {task!r} got a training batch without any label: its {len(elements)} "
        f"data samples hold {keys or 'nothing'}, expected a field that starts with "
        f"'gt_'. Add the annotation loading transform to "
        f"`train_dataloader.{task}.dataset.pipeline` and check that it is not a test "
        "pipeline or a test set."
    )


def _is_labelled(element: BaseDataElement) -> bool:
    return any(key.startswith("gt_") for key in element.keys())
