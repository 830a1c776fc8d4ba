"""The check of every config that ships with a library, resumable."""

import importlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Literal

from gppf_mm.recipes import list_recipes

from .check import check_recipe
from .expansion import expand_recipe
from .frugal import keep_memory
from .isolated import LimitError, Limits, run_isolated
from .records import Record, Records
from .result import RecipeCheck, first_line
from .signature import model_signature
from .skips import skip_reason
from .stages import Skip, StageError
from .stock import STOCK_FAILS

_CHUNK = 25  # Expansions in one process: one takes a tenth of a second.


def expand_all(
    records: Records, recipes: Sequence[str], num_units: int, workers: int
) -> None:
    """Expand every recipe that has no record yet, and tell equal models apart.

    Args:
        records: Gets the outcomes.
        recipes: Names of recipes.
        num_units: Units per layer.
        workers: Processes at a time.
    """
    todo = [name for name in recipes if name not in records.expansions]
    chunks = [tuple(todo[i : i + _CHUNK]) for i in range(0, len(todo), _CHUNK)]
    function = partial(_expand_chunk, num_units=num_units)
    for chunk, outcome in run_isolated(function, chunks, workers, Limits(600)):
        if isinstance(outcome, LimitError):
            raise RuntimeError(f"The expansion of {chunk[0]!r} or after: {outcome}")
        for record in outcome:
            records.add(record)


def _expand_chunk(names: Sequence[str], num_units: int) -> list[Record]:
    return [expansion_record(name, num_units) for name in names]


def expansion_record(name: str, num_units: int) -> Record:
    """Expand a recipe, and decide by the rules whether it can be checked.

    Args:
        name: The recipe.
        num_units: Units per layer.

    Returns:
        Its record, with the signature of its model.
    """
    result, signature, expanded = RecipeCheck(name), "", False
    try:
        cfg, _ = expand_recipe(result, num_units)
        expanded = True
        signature = model_signature(result.scope, cfg.model)
        reason = skip_reason(result.scope, cfg)
        if reason:
            result.status, result.reason = "skipped", reason
    except Skip as skip:
        result.status, result.reason = "skipped", str(skip)
    except StageError as error:
        result.status, result.stage = "failed", str(error)
        result.reason = first_line(error.__cause__ or error)
    plain = result.to_dict()
    return dict(plain, record="expansion", signature=signature, expanded=expanded)


def check_all(
    records: Records,
    recipes: Sequence[str],
    num_units: int,
    seed: int,
    workers: int,
    limits: Limits,
    again: Literal["failed", "all"] | None = None,
) -> Iterator[RecipeCheck]:
    """Check one recipe of each signature that has no record yet.

    Args:
        records: Gets the outcomes, and has the expansions.
        recipes: Names of recipes.
        num_units: Units per layer.
        seed: Seed of weights and inputs.
        workers: Processes at a time.
        limits: Limits of each.
        again: Which outcomes to check again. Defaults to None, no one.

    Yields:
        The outcomes, as they come.
    """
    first: dict[str, str] = {}
    for name in recipes:
        expansion = records.expansions[name]
        if expansion["status"] == "ok":
            first.setdefault(expansion["signature"], name)
    todo = [
        (signature, name)
        for signature, name in _varied(first, records)
        if _is_due(records.checks.get(signature), again)
    ]
    function = partial(_check_job, num_units=num_units, seed=seed)
    for (signature, name), outcome in run_isolated(function, todo, workers, limits):
        if isinstance(outcome, LimitError):
            expansion = records.expansions[name]
            outcome = RecipeCheck(
                name, "failed", "limit", str(outcome), seconds=limits.seconds
            )
            for key in ("scope", "kind", "family"):
                setattr(outcome, key, expansion[key])
        records.add(dict(outcome.to_dict(), record="check", signature=signature))
        yield outcome


def _varied(first: dict[str, str], records: Records) -> list[tuple[str, str]]:
    """Order models: one of each sort first, then those of the most recipes.

    So an interrupted sweep has seen the most different ones, and has the most counted.
    """
    recipes = Counter(item["signature"] for item in records.expansions.values())
    seen: set[tuple[str, ...]] = set()
    ranked = []
    for signature, name in sorted(first.items()):
        expansion = records.expansions[name]
        sort = tuple(expansion[key] for key in ("scope", "kind", "family"))
        sort += (name.partition("::")[2].partition("/")[0],)
        ranked.append((sort in seen, -recipes[signature], signature, name))
        seen.add(sort)
    return [(signature, name) for _, _, signature, name in sorted(ranked)]


def _is_due(record: Record | None, again: str | None) -> bool:
    if record is None or again == "all":
        return True
    failed = record["status"] == "failed" or record["reason"].startswith(STOCK_FAILS)
    return again == "failed" and failed


def _check_job(job: tuple[str, str], num_units: int, seed: int) -> RecipeCheck:
    return check_recipe(job[1], num_units, seed)


def all_recipes(libraries: Iterable[str], pattern: str = "") -> list[str]:
    """List the recipes of several libraries whose names contain a string."""
    return [
        name
        for library in libraries
        for name in list_recipes(library)
        if pattern in name
    ]


def preload(libraries: Iterable[str]) -> None:
    """Import libraries once, for all forks."""
    keep_memory()
    for part in ("detection", "segmentation", "classification", "self_supervised"):
        importlib.import_module(f"gppf_mm.testing.inputs.{part}")
    for library in libraries:
        importlib.import_module(f"{library}.models")
