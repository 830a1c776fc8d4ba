"""The tasks' gradients, each by itself."""

from collections.abc import Iterable

from torch import Tensor, nn

Row = dict[nn.Parameter, Tensor]


class GradientRows:
    """The gradients of each task alone on the shared parameters, and its loss.

    They add up until the next optimizer step. A parameter that a task does not train
    is not in its row: there are no rows of zeros.

    Attributes:
        losses: The loss of each task that took part, weighted by its ``loss_weights``
            and averaged over accumulated steps, detached.
    """

    def __init__(self) -> None:
        self.losses: dict[str, Tensor] = {}
        self._rows: dict[str, Row] = {}

    def take(self, task: str, parameters: Iterable[nn.Parameter], loss: Tensor) -> None:
        """Move the gradients that a task's backward pass left behind into its row.

        Args:
            task: The task.
            parameters: The shared parameters.
            loss: The task's loss.
        """
        self.add(task, parameters)
        before = self.losses.get(task)
        self.losses[task] = loss if before is None else before + loss

    def add(self, task: str, parameters: Iterable[nn.Parameter]) -> None:
        """Move gradients into a task's row, as `take` does.

        Args:
            task: The task.
            parameters: The shared parameters.
        """
        row = self._rows.setdefault(task, {})
        for parameter in parameters:
            if parameter.grad is not None:
                before = row.get(parameter)
                row[parameter] = (
                    parameter.grad if before is None else before.add_(parameter.grad)
                )
                parameter.grad = None

    def of(self, task: str) -> Row:
        """Return a task's row, which may be changed."""
        return self._rows.setdefault(task, {})

    def drop(self, task: str, parameters: Iterable[nn.Parameter]) -> None:
        """Leave a task out, and these parameters out of every row."""
        self.losses.pop(task, None)
        self._rows.pop(task, None)
        for parameter in parameters:
            for row in self._rows.values():
                row.pop(parameter, None)

    def clear(self) -> None:
        """Begin anew, after an optimizer step."""
        self.losses = {}
        self._rows = {}

    def sets(
        self, tasks: Iterable[str], parameters: Iterable[nn.Parameter]
    ) -> dict[tuple[str, ...], list[nn.Parameter]]:
        """Part the parameters by the tasks that have gradients on them.

        Args:
            tasks: The tasks, in the order of the sets.
            parameters: The shared parameters, in the order of the lists.
        """
        tasks = list(tasks)
        parted: dict[tuple[str, ...], list[nn.Parameter]] = {}
        for parameter in parameters:
            members = tuple(task for task in tasks if parameter in self.of(task))
            if members:
                parted.setdefault(members, []).append(parameter)
        return parted
