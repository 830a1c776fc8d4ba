"""The routes that variants with given routes have, or start from.

Unit 0 is common to all tasks, and each group of tasks has one more.
"""

from gppf_mm.analysis import routes_of_groups

from .tasks import TASKS

# Tasks over one kind of images; `objects` is the only one of its own.
_KINDS = (("cells", "count"), ("scene", "tags", "night"), ("toydet", "toyseg"))
_PHOTOS = ("objects",)
# What `routing.py --groups 5` prints of the soft routers of 4 and 8 units; see
# docs/en/mini8.md.
_FOUND = (
    ("cells",),
    ("scene", "night"),
    ("objects", "tags", "count"),
    ("toydet",),
    ("toyseg",),
)
# The training loss of `count` hardly falls where its weights are its own, and that of
# `tags` follows how much it shares: neither gets a unit of its own.
_ALONE = tuple((task,) for task in TASKS if task not in ("count", "tags"))
# Of these, those that keep to a unit of their own in the routing map of `lego12_soft`,
# and one for `scene` and `night`, which it shows side by side: as many units as make
# the weights of eight networks.
_FEWER = (
    ("cells", "count"),
    ("cells",),
    ("scene", "tags", "night"),
    ("scene", "night"),
    _PHOTOS,
    ("toydet",),
    ("toyseg",),
)

BY_TASK = routes_of_groups([(task,) for task in TASKS])
BY_KIND = routes_of_groups([*_KINDS, _PHOTOS])
BY_TASK_AND_KIND = routes_of_groups([*((task,) for task in TASKS), *_KINDS])
BY_KIND_AND_SOME_TASKS = routes_of_groups([*_ALONE, *_KINDS])
NESTED = routes_of_groups(_FEWER)
FOUND = routes_of_groups(_FOUND)
