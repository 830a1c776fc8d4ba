import random

import numpy as np
import torch

from gppf_mm.utils.seeding import derive_seed, seed_everything


def test_seed_is_the_same_in_every_process() -> None:
    # Written down once: Python's own hash of a string differs from run to run.
    assert derive_seed(0, "det", 7) == 130_461_773_090_351_357


def test_places_have_seeds_of_their_own() -> None:
    places = [
        (0, "det", 7),
        (1, "det", 7),
        (0, "seg", 7),
        (0, "det", 8),
        (0, "de", "t7"),
        (0, "det", "7"),
        (0, "det7"),
        (),
    ]
    seeds = {derive_seed(*place) for place in places}
    assert len(seeds) == len(places)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_everything_is_seeded() -> None:
    draws = []
    for seed in (2**62 + 5, 2**62 + 5, 2**62 + 6):
        seed_everything(seed)
        draws.append((random.random(), np.random.rand(), torch.rand(()).item()))
    assert draws[0] == draws[1]
    assert all(one != other for one, other in zip(draws[1], draws[2], strict=True))
