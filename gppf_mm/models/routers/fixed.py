"""Routes given by hand."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gppf_mm.registry import MODELS
from gppf_mm.utils.messages import check_mapping, check_tasks

from .base import BaseRouter
from .first_logits import check_group_units, check_units


@MODELS.register_module()
class FixedRouter(BaseRouter):
    """Takes the same units in every group, mixed evenly; learns nothing.

    With ``num_units=1`` and no routes it is hard sharing; with one unit per task it is
    as many independent networks; with one common and one own unit per task it is the
    plainest shared-private network (our choice, as is the whole router). In a group of
    a single unit every task takes that.

    Args:
        tasks: Names of the tasks.
        groups: Names of the routing groups.
        num_units: Units per layer, K.
        routes: The active units of each task. Defaults to None, unit 0 for every task,
            which ``num_units=1`` alone allows.
        seed: Not used: there is no noise. Defaults to 0.

    Raises:
        TypeError: If ``routes`` is no dict.
        ValueError: If a task has no route, or a unit does not exist.

    Examples:
        >>> router = FixedRouter(["det", "seg"], ["layer1"], num_units=3,
        ...                      routes=dict(det=[0, 1], seg=[0, 2]))
        >>> router.draw("seg").units()
        {'layer1': (0, 2)}
    """

    def __init__(
        self,
        tasks: Sequence[str],
        groups: Sequence[str],
        num_units: int,
        routes: Mapping[str, Sequence[int]] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(tasks, groups, num_units, seed)
        if routes is None:
            if num_units != 1:
                raise ValueError(
                    "`lego.router.routes` is missing; a FixedRouter over "
                    f"{num_units} units needs the units of each task, for example "
                    f"routes=dict({self.tasks[0]}=[0])."
                )
            routes = {task: [0] for task in self.tasks}
        where = "model.lego.router.routes"
        check_mapping(where, routes, f"dict({self.tasks[0]}=[0])")
        check_tasks(where, routes, self.tasks)
        for task, units in routes.items():
            check_units(f"lego.router.routes.{task}", units, num_units)
        self.routes = {task: tuple(units) for task, units in routes.items()}

    def limit_units(self, group_units: Sequence[int]) -> None:
        """See `BaseRouter.limit_units`.

        Raises:
            ValueError: If a task's units are more than a group has.
        """
        super().limit_units(group_units)
        where = "lego.router.routes"
        check_group_units(where, self.routes, self.groups, group_units)

    def route(self, task: str, step: int) -> tuple[Tensor, Tensor | None]:
        """See `BaseRouter.route`."""
        units = torch.tensor([self.routes[task]] * len(self.groups))
        count = units.shape[1]
        weights = None if count == 1 else torch.full(units.shape, 1 / count)
        for row, limit in enumerate(self.group_units):
            if limit == 1:
                units[row] = torch.arange(count)
                if weights is not None:
                    weights[row] = torch.eye(count)[0]
        return units, weights
