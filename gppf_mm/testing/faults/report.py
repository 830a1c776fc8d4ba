"""The outcome of the suite as tables."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .kinds import KINDS
from .ranks import BOUND_SECONDS, RanksResult
from .refusals import Refusal
from .result import Hit, TrialResult

BEGIN = "<!-- Made by tools/analysis_tools/inject_faults.py; do not edit. -->"
END = "<!-- The end of what it made. -->"

_PHASES = {
    "start": "start-up",
    "build": "start-up",
    "begin": "start-up",
    "step": "step",
    "stepped": "step",
    "save": "saving",
    "save best": "saving",
    "validate": "validation",
    "validated": "step",
    "end": "exit",
}


def report(
    facts: Mapping[str, str],
    trials: Sequence[TrialResult],
    refusals: Sequence[Refusal],
    ranks: RanksResult | None,
) -> str:
    """Write the report.

    Args:
        facts: How the suite was run (command, date, machine, seed), by what it is.
        trials: The trials' results.
        refusals: The files that resuming had to refuse.
        ranks: The run of two ranks, None if there was none.

    Returns:
        Markdown, from `BEGIN` to `END`.
    """
    hits = sum(len(trial.hits) for trial in trials)
    equal = sum(not trial.differing for trial in trials)
    hangs = sum("hangs" in hit.wrong for trial in trials for hit in trial.hits)
    hangs += sum("hangs" in trial.wrong for trial in trials)
    bad = [trial for trial in trials if not trial.good]
    lines = [
        BEGIN,
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        f"**{hits} faults in {len(trials)} runs: {equal} of the {len(trials)} runs "
        f"ended bit-equal to the uninterrupted one, {hangs} hung, and in {len(bad)} "
        "something else than this page says happened.**",
        "",
        *_by_kind(trials),
        "",
        *_one_by_one(trials),
        *(["", *_of_refusals(refusals)] if refusals else []),
        *(["", *_of_ranks(ranks)] if ranks else []),
        *(["", *map(_complaint, bad)] if bad else []),
        "",
        END,
    ]
    return "\n".join(lines) + "\n"


def replace_report(page: Path, text: str) -> None:
    """Put a report in the place of the one in a page, or behind its text.

    Args:
        page: The page; it need not exist.
        text: The report.
    """
    old = page.read_text() if page.is_file() else ""
    before, found, rest = old.partition(BEGIN)
    after = rest.partition(END)[2].lstrip("\n") if found else ""
    gap = "\n" if before and not before.endswith("\n\n") else ""
    page.write_text(before + gap + text + (f"\n{after}" if after else ""))


def _by_kind(trials: Iterable[TrialResult]) -> list[str]:
    phases = ("start-up", "step", "saving", "validation", "exit")
    lines = [
        f"| Fault | Times | {' | '.join(phases)} | Exit codes | Longest exit, s | "
        "Hangs | Runs bit-equal |",
        f"| --- |{' ---: |' * (len(phases) + 1)} --- | ---: | ---: | ---: |",
    ]
    for kind in KINDS:
        struck = [t for t in trials if any(hit.kind == kind for hit in t.hits)]
        hits = [hit for trial in struck for hit in trial.hits if hit.kind == kind]
        if not hits:
            continue
        count = Counter(_PHASES[hit.event] for hit in hits)
        codes = sorted({str(hit.code) for hit in hits}, key=len)
        cells = [
            kind,
            len(hits),
            *(count[phase] for phase in phases),
            ", ".join(codes),
            max(hit.seconds for hit in hits),
            sum("hangs" in hit.wrong for hit in hits),
            f"{sum(not trial.differing for trial in struck)} of {len(struck)}",
        ]
        lines.append(_row(cells))
    return lines


def _one_by_one(trials: Iterable[TrialResult]) -> list[str]:
    lines = [
        "| Run | Started by | Fault | During | Step | Half a file left | Exit code "
        "| Resumed from | Bit-equal |",
        "| ---: | --- | --- | --- | ---: | --- | ---: | ---: | --- |",
    ]
    for trial in trials:
        for hit in trial.hits:
            lines.append(_row([*_names(trial, hit), *_fate(trial, hit)]))
    return lines


def _names(trial: TrialResult, hit: Hit) -> list[object]:
    start = "fork" if trial.start == "fork" else "command line"
    return [trial.number, start, hit.kind, _PHASES[hit.event], hit.iteration or "-"]


def _fate(trial: TrialResult, hit: Hit) -> list[object]:
    half = "yes" if hit.partial else "no"
    resumed = "-" if hit.resumed_from is None else hit.resumed_from
    return [half, hit.code, resumed, "no" if trial.differing else "yes"]


def _of_refusals(refusals: Iterable[Refusal]) -> list[str]:
    lines = [
        "| File given to `--resume` | Outcome | As it has to be |",
        "| --- | --- | --- |",
    ]
    for item in refusals:
        outcome = f"exit code {item.code}: {item.message}".replace("|", r"\|")
        lines.append(_row([item.name, outcome, "no" if item.wrong else "yes"]))
    return lines


def _of_ranks(ranks: RanksResult) -> list[str]:
    lines = [
        "| Two ranks under torchrun: killed | In step | All ended after, s "
        f"(bound {BOUND_SECONDS:g}) | Exit code |",
        "| --- | ---: | ---: | ---: |",
    ]
    for hit in ranks.hits:
        seconds = "hung" if hit.seconds is None else hit.seconds
        lines.append(_row([f"rank {hit.rank}", hit.iteration, seconds, hit.code]))
    equal = "are bit-equal to" if ranks.equal else "DIFFER from"
    lines += ["", f"Resumed, both ranks {equal} those of the uninterrupted run."]
    return lines


def _complaint(trial: TrialResult) -> str:
    wrong = [f"{hit.kind}: {what}" for hit in trial.hits for what in hit.wrong]
    wrong += [f"differs: {name}" for name in trial.differing]
    return f"- Run {trial.number}: {'; '.join([*wrong, *trial.wrong])}"


def _row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
