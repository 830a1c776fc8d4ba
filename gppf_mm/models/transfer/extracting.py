"""Tasks over frozen units, in files without the units."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from gppf_mm.utils.messages import check_names

from .editing import (
    Content,
    dataset_meta,
    edited,
    owner,
    positions,
    remove_tasks,
    task_names,
    without_weighting,
)

BANK = "network.bank."
_DIGEST = "bank_digest"


def extract_tasks(content: Content, tasks: Iterable[str]) -> dict[str, Any]:
    """Return some tasks alone, without the bank: a small file.

    It is for tasks over frozen units, and remembers the bank to which it belongs.

    Args:
        content: A checkpoint of a `GPPF` run.
        tasks: The tasks to extract.

    Returns:
        Weights and metadata, for `insert_tasks`.
    """
    tasks = tuple(tasks)
    check_names("--extract", tasks, task_names(content))
    state = content["state_dict"]
    digest: str | None = bank_digest(state)
    if not any(name.startswith(BANK) for name in state):
        # What is extracted from a small file belongs to the same bank.
        digest = (content.get("meta") or {}).get(_DIGEST)
    others = [task for task in task_names(content) if task not in tasks]
    extracted = remove_tasks(content, others)
    extracted["meta"][_DIGEST] = digest
    extracted["state_dict"] = {
        name: value
        for name, value in extracted["state_dict"].items()
        if not name.startswith(BANK)
    }
    return extracted


def insert_tasks(content: Content, extracted: Content) -> dict[str, Any]:
    """Return a checkpoint with the tasks that `extract_tasks` took from another.

    Args:
        content: A checkpoint of a `GPPF` run with the same units.
        extracted: What was extracted.

    Returns:
        Weights and metadata, as from `remove_tasks`.

    Raises:
        ValueError: If the units differ, or a name is taken.
    """
    if extracted.get("meta", {}).get(_DIGEST) != bank_digest(content["state_dict"]):
        raise ValueError(
            "--insert names tasks that were trained over other units than those of "
            "this checkpoint; expected a file of --extract whose run started from it "
            "with frozen units (`model.lego.transfer.freeze='units'`)."
        )
    present, new = task_names(content), task_names(extracted)
    taken = [task for task in new if task in present]
    if taken:
        raise ValueError(
            f"--insert would add the task {taken[0]!r}, which the checkpoint has "
            "already. Remove it first, in a step of its own."
        )
    state = without_weighting(content)
    theirs = extracted["state_dict"]
    for name, value in theirs.items():
        if owner(name, new) is not None:
            state[name] = value
    # All of them stand still where their schedules stood.
    steps = [*positions(content), *positions(extracted)]
    state["network.origins.steps"] = torch.tensor(steps)
    state["network.origins.moves"] = torch.zeros(len(steps), dtype=torch.bool)
    both = {**dataset_meta(content), **dataset_meta(extracted)}
    meta = dict(content.get("meta") or {}, dataset_meta=both)
    return edited(dict(meta=meta), state, {task: task for task in (*present, *new)})


def bank_digest(state: Mapping[str, Any]) -> str:
    """Return a digest of all units and shared parameters."""
    digest = sha256()
    for name, value in sorted(state.items()):
        if name.startswith(BANK) and isinstance(value, Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            data = value.detach().cpu().contiguous().view(-1).view(torch.uint8)
            digest.update(data.numpy().tobytes())
    return digest.hexdigest()
