"""A sweep's outcomes as a page of tables."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from .kinds import KINDS

Record = Mapping[str, Any]
_STATUSES = ("ok", "failed", "skipped")
_NO_RECIPE = "no recipe"


def coverage_page(outcomes: Iterable[Record], facts: Mapping[str, str]) -> str:
    """Write the page that shows which stock recipes work as tasks.

    Args:
        outcomes: The outcome of every recipe, as `Records.outcomes` gives them.
        facts: How the sweep was made (command, date, machine, versions), by what it
            is.

    Returns:
        The page in Markdown.
    """
    outcomes = [dict(item, kind=item["kind"] or _NO_RECIPE) for item in outcomes]
    models = {item["signature"] for item in outcomes if item["status"] != "skipped"}
    largest = max(
        (item["difference"] for item in outcomes if item["status"] == "ok"), default=0.0
    )
    head = _HEAD.format(
        recipes=len(outcomes),
        expanded=sum(bool(item["expanded"]) for item in outcomes),
        unexpanded=sum(item["stage"] == "expand" for item in outcomes),
        models=len(models),
        largest=f"{largest:.1e}",
        unchecked=_unchecked(outcomes),
        facts="\n".join(f"- {name}: {value}" for name, value in facts.items()),
    )
    kinds = (*KINDS, _NO_RECIPE)
    libraries = sorted({_library(item) for item in outcomes})
    by_kind = [
        (kind, library, part)
        for kind, library in product(kinds, libraries)
        if (part := [item for item in outcomes if _is_of(item, kind, library)])
    ]
    families = Counter(item["family"] for item in outcomes if item["family"])
    by_family = [
        (family, [item for item in outcomes if item["family"] == family])
        for family, _ in sorted(families.items(), key=lambda pair: (-pair[1], pair[0]))
    ]
    parts = [
        head,
        "## By kind and library\n",
        _table(
            ("Kind", "Library"),
            [((kind, library), part) for kind, library, part in by_kind]
            + [(("**all**", ""), outcomes)],
        ),
        "## By family of the backbone\n",
        _table(("Family",), [((family,), part) for family, part in by_family]),
        "## What fails, and why\n",
        _reasons(outcomes, "failed"),
        "## What is skipped, and why\n",
        _reasons(outcomes, "skipped"),
    ]
    return "\n".join(parts)


def _is_of(item: Record, kind: str, library: str) -> bool:
    return item["kind"] == kind and _library(item) == library


def _unchecked(outcomes: Iterable[Record]) -> str:
    waiting = [item for item in outcomes if item["status"] == "unchecked"]
    if not waiting:
        return ""
    models = len({item["signature"] for item in waiting})
    return (
        f"\n**The sweep is not complete: {len(waiting)} recipes ({models} models) were "
        "not checked.**\n"
    )


def _library(item: Record) -> str:
    return item["recipe"].partition("::")[0]


def _table(
    names: Sequence[str], rows: Iterable[tuple[Sequence[str], Sequence[Record]]]
) -> str:
    lines = [
        f"| {' | '.join(names)} | Recipes | Models | ok | failed | skipped | "
        "ok of those checked |",
        f"|{' --- |' * len(names)}{' ---: |' * 6}",
    ]
    for labels, part in rows:
        count = Counter(item["status"] for item in part)
        checked = count["ok"] + count["failed"]
        share = f"{100 * count['ok'] / checked:.1f}%" if checked else "-"
        models = len({item["signature"] for item in part if item["signature"]})
        numbers = [len(part), models, *(count[status] for status in _STATUSES), share]
        lines.append(f"| {' | '.join([*labels, *map(str, numbers)])} |")
    return "\n".join(lines) + "\n"


def _reasons(outcomes: Iterable[Record], status: str) -> str:
    groups: dict[tuple[str, str], list[str]] = {}
    for item in outcomes:
        if item["status"] == status:
            stage = f"{item['stage']}: " if item["stage"] else ""
            key = (_library(item), stage + item["reason"].replace("|", r"\|"))
            groups.setdefault(key, []).append(item["recipe"].partition("::")[2])
    if not groups:
        return "Nothing.\n"
    lines = [
        "| Library | Reason | Recipes | For example |",
        "| --- | --- | ---: | --- |",
    ]
    for (library, reason), names in sorted(groups.items(), key=lambda g: -len(g[1])):
        lines.append(f"| {library} | {reason} | {len(names)} | `{names[0]}` |")
    return "\n".join(lines) + "\n"


_HEAD = """# Coverage of the stock recipes

Made by `tools/analysis_tools/sweep_recipes.py`; do not edit.

Every config that ships with the installed libraries was expanded as a task: {expanded}
of {recipes} expand, {unexpanded} fail to. The others do not train: they hold settings
for other configs, test a trained model, or cannot be read by MMEngine. Recipes whose
models differ only in data or schedule were checked once and counted all, which leaves
{models} models. A check uses random images, no pretrained weights and no data sets. It
goes through these stages:

1. **expand** the recipe, as the only task of a run with two units a layer, one of them
   active;
2. **build** the model and initialise it;
3. **loss**: losses are finite, active units get gradients, inactive ones none;
4. **predict** in evaluation mode;
5. **export** weights and config;
6. **load** the weights, strictly, into the stock model that the library builds;
7. **compare** the predictions and raw outputs of both on the same images: no tensor may
   differ by more than 1e-4 of its largest value. The largest difference of a recipe
   that passed is {largest}.

A recipe's validation loop, metrics, data pipeline and hooks are not run.

{facts}
{unchecked}
Models count as one if they differ only in initial and pretrained weights, the number
and weights of classes, normalisation, padding and augmentation of images, loss weights,
how logits are aligned when they are resized, or the crops of sliding-window tests.
Images are as small as a model accepts, from 64 pixels; the numbers of sampled boxes and
of proposals are limited. Rules (`gppf_mm/testing/skips.py`) decide which recipes are
skipped, not a list of names. `python tools/analysis_tools/check_recipe.py RECIPE`
checks a single recipe.
"""
