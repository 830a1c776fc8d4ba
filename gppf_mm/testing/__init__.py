"""Testing: does a stock recipe work as a task, from its config to its export?

`check_recipe` takes a recipe through every stage with random images in the library's
own data structures, so that no data set and no pretrained weight is needed. Rules, not
lists of names, decide which recipes it cannot judge.
"""

from .check import TOLERANCE, check_recipe
from .compare import largest_difference
from .expansion import TASK, expand_recipe
from .inputs import random_batch
from .kinds import KINDS, backbone_family, recipe_kind
from .result import RecipeCheck
from .signature import model_signature
from .skips import skip_error, skip_reason
from .stock import build_stock

__all__ = [
    "KINDS",
    "TASK",
    "TOLERANCE",
    "RecipeCheck",
    "backbone_family",
    "build_stock",
    "check_recipe",
    "expand_recipe",
    "largest_difference",
    "model_signature",
    "random_batch",
    "recipe_kind",
    "skip_error",
    "skip_reason",
]
