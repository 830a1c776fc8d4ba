"""The runs that a section needs, and doing them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .jobs import Devices, do_runs
from .run import ITERATIONS, Run, Split
from .transfer import HELDOUT_CONFIG, TRANSFER_ITERATIONS, TransferRun, TransferVariant
from .tuning import DEFAULT_LR, TUNE_SEED, LearningRates, scores_of
from .variants import Variant

Variants = Mapping[str, Variant]
# For each variant the results of its seeds.
Done = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Bench:
    """Settings that all runs have in common.

    Attributes:
        configs: The folder ``configs/mini8``.
        work_dir: Where runs are written.
        devices: Where they are done.
        seeds: How many seeds are reported.
        iterations: Batches of each task.
        heldout: See `TransferRun`.
        lr: The learning rate of variants for which none was searched.
        given_rates: Learning rates by variant that need no search here.

    Raises:
        ValueError: If there are no seeds or iterations.
        FileNotFoundError: If there is no such ``heldout``.
    """

    configs: Path
    work_dir: Path
    devices: Devices = field(default_factory=Devices)
    seeds: int = 3
    iterations: int = ITERATIONS
    heldout: Path | None = None
    lr: float = DEFAULT_LR
    given_rates: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for option in ("seeds", "iterations"):
            if (number := getattr(self, option)) < 1:
                raise ValueError(f"`--{option}` is {number}; expected at least 1.")
        # Read when the runs are done that fine-tuning starts from, hours later.
        if self.heldout is not None and not self.heldout.is_file():
            raise FileNotFoundError(
                f"`--heldout` is {str(self.heldout)!r}, and there is no such file "
                f"(seen from {Path.cwd()}); expected a stock config like "
                f"configs/mini8/{HELDOUT_CONFIG}."
            )

    @property
    def rates(self) -> LearningRates:
        """The learning rates that were chosen, for runs of this length."""
        # Those of another, such as `--quick`, would decide for the reported runs.
        other = "" if self.iterations == ITERATIONS else f"_{self.iterations}"
        path = self.work_dir / f"lrs{other}.json"
        heldout = "" if self.heldout is None else self.heldout.stem
        return LearningRates(path, self.lr, self.given_rates, heldout)

    def run_of(self, variant: Variant, split: Split, seed: int, lr: float) -> Run:
        """Return a run of a variant."""
        where = (self.configs, self.work_dir.absolute())
        if not isinstance(variant, TransferVariant):
            return Run(variant, seed, lr, split, self.iterations, *where)
        source = None
        if variant.source is not None:
            # The seed of tuning has no run of its own to start from.
            source_seed = 0 if seed == TUNE_SEED else seed
            source_lr = self.rates[variant.source.name]
            source = self.run_of(variant.source, "test", source_seed, source_lr)
        iterations = min(self.iterations, TRANSFER_ITERATIONS)
        return TransferRun(
            variant, seed, lr, split, iterations, *where, source, self.heldout
        )

    def reported(self, variant: Variant) -> list[Run]:
        """Return a variant's runs that are tested, one for each seed."""
        lr = self.rates[variant.name]
        return [self.run_of(variant, "test", seed, lr) for seed in range(self.seeds)]

    def searched(self, variant: Variant, grid: Sequence[float]) -> list[Run]:
        """Return the runs of a variant's search."""
        return [self.run_of(variant, "tune", TUNE_SEED, lr) for lr in sorted(grid)]

    def tune(self, variants: Variants, grid: Sequence[float]) -> list[Run]:
        """Search every variant's learning rate, the same ones for all.

        Args:
            variants: The variants.
            grid: The learning rates.

        Returns:
            The runs that failed.
        """
        searches = {name: self.searched(item, grid) for name, item in variants.items()}
        failed = self._do([run for runs in searches.values() for run in runs])
        rates = self.rates
        for name, runs in searches.items():
            # What another process has at work may be missing as well.
            if all(run.result() is not None for run in runs):
                rates.note(name, scores_of(runs))
        return failed

    def do(self, variants: Variants) -> list[Run]:
        """Do the reported runs that are missing; return those that failed.

        Raises:
            FileNotFoundError: If one starts from a run that is neither done nor among
                them.
        """
        runs = [self.reported(item) for item in variants.values()]
        # All variants of a seed before the next seed: a table early.
        return self._do([run for seed in zip(*runs, strict=True) for run in seed])

    def results(self, variants: Variants) -> Done:
        """Return what is done of the reported runs, by variant."""
        found = {name: _results(self.reported(item)) for name, item in variants.items()}
        return {name: results for name, results in found.items() if results}

    def tried(self, variants: Variants, grid: Sequence[float]) -> Done:
        """Return what is done of the searches, by variant."""
        found = {
            name: _results(self.searched(item, grid)) for name, item in variants.items()
        }
        return {name: results for name, results in found.items() if results}

    def _do(self, runs: Sequence[Run]) -> list[Run]:
        """Do runs, those from which others start first."""
        later = [run for run in runs if isinstance(run, TransferRun) and run.source]
        first = [run for run in runs if run not in later]
        for run in later:
            if run.source not in first:
                _ = run.checkpoint  # Raises if the source is not done.
        failed = do_runs(first, self.devices)
        # One whose source failed or diverged, or is at work in another process, is
        # left out.
        ready = [run for run in later if run.has_start]
        for run in later:
            if run not in ready:
                print(f"{run.variant.name}, seed {run.seed}: nothing to start from.")
        return failed + (do_runs(ready, self.devices) if ready else [])


def _results(runs: Iterable[Run]) -> list[dict[str, Any]]:
    return [result for run in runs if (result := run.result())]
