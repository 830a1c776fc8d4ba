"""Which existing task's route suits a new data set, before any training.

For each task of a trained run the backbone is run, frozen, with that task's route and
norms on images of the new set; a linear probe, cross-validated over images, tells how
well its features separate the labels (all our choice).
"""

from .probe import probe_score
from .rank import Ranking, RouteScore, rank_routes

__all__ = ["Ranking", "RouteScore", "probe_score", "rank_routes"]
