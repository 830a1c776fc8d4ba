"""Strike a training run at random moments, resume it, and compare how it ends."""

import argparse
import json
import os
import platform
import shutil
import signal
import tempfile
import time
from dataclasses import asdict
from datetime import date
from pathlib import Path

# Sums depend on the number of threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from rich.console import Console
from rich.progress import Progress

from gppf_mm.apis import kind_errors
from gppf_mm.testing.faults import (
    FaultSuite,
    Refusal,
    TrialResult,
    follow_notes,
    kill_ranks,
    refuse_files,
    replace_report,
    report,
)

ROOT = Path(__file__).resolve().parents[2]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--kills", type=int, default=50, help="faults at random moments (default: 50)"
    )
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument(
        "--only-kills",
        action="store_true",
        help="leave out broken files and the run of two ranks",
    )
    parser.add_argument("--json", metavar="FILE", help="write the outcomes here")
    parser.add_argument(
        "--report", metavar="FILE.md", help="write the tables into this page"
    )
    parser.add_argument(
        "--folder", help="keep the runs in this new folder (default: a temporary one)"
    )
    parser.add_argument(
        "--config",
        default=ROOT / "configs/toy/lego-r18-4u-soft_toy-det-seg-cls.py",
        type=Path,
        help="the toy recipe (default: the checkout's)",
    )
    parser.add_argument(
        "--date", default=str(date.today()), help="for the report (default: today)"
    )
    parser.add_argument(
        "--machine",
        default=f"{os.cpu_count()} cores, {platform.machine()}, no GPU",
        help="for the report (default: what is found)",
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # A shell starts a command in the background with SIGINT ignored, and the runs would
    # inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = Path(args.folder or tempfile.mkdtemp(prefix="faults_"))
    with kind_errors():
        try:
            good = run(args, folder)
        finally:
            if not args.folder:
                shutil.rmtree(folder, ignore_errors=True)
    raise SystemExit(0 if good else 1)


def run(args: argparse.Namespace, folder: Path) -> bool:
    """Run the suite and write what was asked for; return whether all was good."""
    started = time.monotonic()
    suite = FaultSuite(folder, args.config, ROOT / "tools/train.py")
    trials = []
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("faults", total=args.kills)
        for trial in suite.trials(args.kills, args.seed):
            trials.append(trial)
            progress.advance(bar, len(trial.hits))
            print(line(trial), flush=True)
    refusals: list[Refusal] = []
    ranks = None
    if not args.only_kills:
        for refusal in further_cases(suite):
            refusals.append(refusal)
            print(
                f"{refusal.name}: {refusal.message} {list(refusal.wrong)}", flush=True
            )
        ranks = kill_ranks(suite.starter, suite.config, suite.folder, args.seed)
        print(ranks, flush=True)
    about = facts(args) | {"Took": f"{(time.monotonic() - started) / 60:.0f} minutes"}
    if args.json:
        content = dict(facts=about, trials=[asdict(item) for item in trials])
        content["refusals"] = [asdict(item) for item in refusals]
        content["ranks"] = asdict(ranks) if ranks else None
        Path(args.json).write_text(json.dumps(content, indent=1))
    if args.report:
        text = report(about, trials, refusals, ranks)
        replace_report(Path(args.report), text)
    results = [*trials, *([ranks] if ranks else [])]
    return all(item.good for item in results) and not any(r.wrong for r in refusals)


def further_cases(suite: FaultSuite):
    """Yield what comes of broken files and of notes that lead nowhere."""
    starter, config, folder = suite.starter, suite.config, suite.folder
    reference, work_dir = suite.reference("fork"), suite.work_dir("fork")
    whole = Path((work_dir / "last_checkpoint").read_text())
    yield from refuse_files(starter, config, whole, folder / "files")
    yield from follow_notes(starter, config, reference, work_dir, folder / "notes")


def line(trial: TrialResult) -> str:
    """Say in one line what came of a trial."""
    hits = ", ".join(
        f"{hit.kind} ({hit.event} {hit.iteration}, exit {hit.code}, resumed from "
        f"{hit.resumed_from}{''.join(f', {what.upper()}' for what in hit.wrong)})"
        for hit in trial.hits
    )
    wrong = [f"differs: {name}" for name in trial.differing] + trial.wrong
    outcome = "; ".join(wrong).upper() or "bit-equal"
    return f"run {trial.number}, {trial.start}: {hits}: {outcome}"


def facts(args: argparse.Namespace) -> dict[str, str]:
    """Say how the suite was run."""
    command = f"python tools/analysis_tools/inject_faults.py --kills {args.kills}"
    if args.report:
        command += f" --report {args.report}"
    return {
        "Date": args.date,
        "Command": f"`{command} --seed {args.seed}`",
        "Machine": args.machine,
    }


if __name__ == "__main__":
    main()
