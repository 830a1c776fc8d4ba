"""Which faults strike in which order, drawn from a seed."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .attempts import Start
from .kinds import KINDS, FaultKind

# Out of so many trials, one is started by the command line.
_COMMAND_EVERY = 12
# Trials of one, two and three faults; a quarter of the moments fall into saving, which
# is short and where a run is most easily hurt (our choice).
_FAULTS_WEIGHTS = {1: 6, 2: 3, 3: 1}
_SAVING_SHARE = 0.25


@dataclass(frozen=True)
class Injection:
    """One fault to come.

    Attributes:
        kind: What happens.
        saving: Whether it happens while a checkpoint is saved.
        position: When, as a share of the time of a run in which it may; in ``[0, 1)``.
        share: How much of a file is written or left, in ``[0, 1)``.
    """

    kind: FaultKind
    saving: bool
    position: float
    share: float


@dataclass(frozen=True)
class Trial:
    """One run, struck and resumed until it ends.

    Attributes:
        number: The trial's number, from 1.
        start: How each part of the run is started.
        injections: The faults, one for each start.
    """

    number: int
    start: Start
    injections: tuple[Injection, ...]


def draw_trials(seed: int, kinds: Mapping[str, FaultKind] = KINDS) -> Iterator[Trial]:
    """Draw trials without end.

    Args:
        seed: The seed.
        kinds: The kinds of faults. Defaults to all.

    Yields:
        Trials. The kinds come by their weights in every round of the cards.
    """
    chance = random.Random(seed)
    deck: list[FaultKind] = []
    number = 0
    while True:
        number += 1
        counts, weights = zip(*_FAULTS_WEIGHTS.items(), strict=True)
        injections = []
        for _ in range(chance.choices(counts, weights)[0]):
            if not deck:
                deck = [kind for kind in kinds.values() for _ in range(kind.weight)]
                chance.shuffle(deck)
            injections.append(_draw_injection(chance, deck.pop()))
        start: Start = "fork" if number % _COMMAND_EVERY else "command"
        yield Trial(number, start, tuple(injections))


def _draw_injection(chance: random.Random, kind: FaultKind) -> Injection:
    return Injection(
        kind=kind,
        saving=chance.random() < _SAVING_SHARE,
        position=chance.random(),
        share=chance.random(),
    )
