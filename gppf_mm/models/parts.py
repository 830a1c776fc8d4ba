"""The parts of stock models that go on the bank."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from gppf_mm.utils.messages import check_mapping, check_names

_PATHS = "dict(backbone='image_encoder.0')"


@dataclass(frozen=True)
class PartPaths:
    """Where one task's stock model has the shared parts.

    Attributes:
        paths: Dotted path of each part that is elsewhere than its name says, such as
            ``{'backbone': 'image_encoder.0'}`` of a retriever.

    Examples:
        >>> paths = PartPaths({"backbone": "image_encoder.0"})
        >>> paths.to_bank("image_encoder.0.conv1.weight")
        'backbone.conv1.weight'
        >>> paths.to_stock("backbone.conv1.weight")
        'image_encoder.0.conv1.weight'
    """

    paths: Mapping[str, str] = field(default_factory=dict)

    def to_bank(self, name: str) -> str:
        """Return the bank's name of a stock parameter, its own if it has none."""
        for part, path in self.paths.items():
            if name.startswith(f"{path}."):
                return part + name[len(path) :]
        return name

    def to_stock(self, name: str) -> str:
        """Return the stock model's name of a parameter of the bank."""
        part, dot, rest = name.partition(".")
        return self.paths.get(part, part) + dot + rest

    def find(self, model: nn.Module, part: str) -> nn.Module | None:
        """Return a part of a stock model, None if it has no such part."""
        found: object = model
        for step in self.paths.get(part, part).split("."):
            found = getattr(found, step, None)
        return found if isinstance(found, nn.Module) else None


def check_share(share: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the shared parts.

    Raises:
        ValueError: If they are no list of names, or a string, whose letters would be
            taken for names, or one has a dot.
    """
    alone = isinstance(share, str)
    listed = isinstance(share, Sequence) and len(share) > 0
    if alone or not listed or not all(isinstance(name, str) for name in share):
        raise ValueError(
            f"`model.share` is {share!r}; expected a tuple of the parts' names: "
            f"({share if alone else 'backbone'!r},)."
        )
    dotted = [name for name in share if "." in name]
    if dotted:
        raise ValueError(
            f"`model.share` has {dotted[0]!r}; expected names without dots. Give the "
            "part a name, and say by `model.parts` where the tasks' models have it: "
            f"parts=dict(TASK=dict(NAME={dotted[0]!r}))."
        )
    return tuple(share)


def part_paths(
    parts: Mapping[str, Mapping[str, str]], tasks: Sequence[str], share: Sequence[str]
) -> dict[str, PartPaths]:
    """Read where each task has the shared parts.

    Args:
        parts: The ``model.parts`` of the config.
        tasks: The tasks.
        share: The parts' names.

    Returns:
        The paths of every task.

    Raises:
        TypeError: If this or an entry is no dict, or a path no text.
        ValueError: If a task or a part is unknown.
    """
    check_mapping("model.parts", parts, f"dict({tasks[0]}={_PATHS})")
    check_names("model.parts", parts, tasks)
    for task, paths in parts.items():
        where = f"model.parts.{task}"
        check_mapping(where, paths or {}, _PATHS)
        check_names(where, paths or {}, share)
        for part, path in (paths or {}).items():
            if not isinstance(path, str):
                raise TypeError(
                    f"`{where}.{part}` is {path!r}; expected the dotted path of the "
                    f"part in the task's model, as in {_PATHS}."
                )
    return {task: PartPaths(parts.get(task) or {}) for task in tasks}


def find_parts(
    tasks: Mapping[str, nn.Module],
    share: Sequence[str],
    paths: Mapping[str, PartPaths],
) -> dict[str, dict[str, nn.Module]]:
    """Find the parts that are to be shared.

    Args:
        tasks: The stock models, by task.
        share: The parts' names.
        paths: Where each task has them.

    Returns:
        The parts by task and name. A task may lack some, but not the backbone.

    Raises:
        ValueError: If no task has a part, or one has no backbone.
    """
    parts: dict[str, dict[str, nn.Module]] = {task: {} for task in tasks}
    for name in share:
        without = []
        for task, model in tasks.items():
            part = paths[task].find(model, name)
            if part is not None:
                parts[task][name] = part
            else:
                without.append(task)
        if without and (name == "backbone" or len(without) == len(tasks)):
            model = tasks[without[0]]
            children = ", ".join(repr(child) for child, _ in model.named_children())
            raise ValueError(
                f"`model.share` names {name!r}, which the model of task {without[0]!r} "
                f"({type(model).__name__}) does not have"
                f"{'' if name == 'backbone' else ', nor that of any other task'}; it "
                f"has {children}. If one of them is what you mean, say so: "
                f"model.parts={{{without[0]!r}: {{{name!r}: '...'}}}}."
            )
    return parts


def names_by_parameter(model: nn.Module, paths: PartPaths) -> list[list[str]]:
    """List the bank's names of each parameter of a model, several where it is tied."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(paths.to_bank(name))
    return list(names.values())


def check_ties(
    task: str, tied: Sequence[list[str]], shared: Sequence[str], share: Sequence[str]
) -> None:
    """Refuse a parameter that a shared part and another part have in common.

    Args:
        task: The task, named in the error.
        tied: The names of each of its parameters, from before the bank took some.
        shared: The names of those that the bank took.
        share: The shared parts.

    Raises:
        ValueError: If one of the bank's parameters has a name outside of these parts.
    """
    bank = frozenset(shared)
    for names in tied:
        inside = [name for name in names if name in bank]
        outside = [name for name in names if name.partition(".")[0] not in share]
        if inside and outside:
            raise ValueError(
                f"The model of task {task!r} ties {inside[0]!r}, which `model.share` "
                f"puts on the bank, to its own {outside[0]!r}. Share both parts, "
                f"model.share={(*share, outside[0].partition('.')[0])}, or keep the "
                "parameter in the task with model.lego.placement="
                f"[({inside[0]!r}, 'private')]."
            )
