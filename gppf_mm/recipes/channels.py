"""Putting another backbone's channels where the old one's stand."""

from collections.abc import Mapping, Sequence
from typing import Any

_KEYS = ("in_channels", "c1_in_channels")
# Parts of a model that never see the backbone's features.
_NOT_CONSUMERS = ("type", "backbone", "data_preprocessor", "train_cfg", "test_cfg")


class ChannelAdapter:
    """Adapts the parts of a stock model that read its backbone's features.

    These are the neck or, where none of it names channels, the heads. A list of
    channels, or a number with an ``in_index``, is taken to be the backbone's; another
    number only if it is one of its channels and nothing in the head has an
    ``in_index``, for then it is the width of another part of the head.

    Args:
        task: The task's name, for errors.
        old: Channels of the old backbone's outputs.
        new: Channels of the new one's, as many.
        settled: Dotted keys, from ``model`` on, that the user sets anyway.
    """

    def __init__(
        self, task: str, old: Sequence[int], new: Sequence[int], settled: Sequence[str]
    ) -> None:
        self.task = task
        self.old = list(old)
        self.new = list(new)
        self.settled = tuple(settled)
        self.changed = 0
        self.indexed = False

    def adapt(self, model: dict[str, Any]) -> None:
        """Adapt a model's config in place.

        Args:
            model: The stock model config, with its new backbone.

        Raises:
            ValueError: If it is not known where the channels go.
        """
        if self.old == self.new:
            return
        if model.get("neck") and self._adapt("model.neck", model["neck"]):
            return
        self._check_shared_head(model)
        for key, part in model.items():
            if key not in (*_NOT_CONSUMERS, "neck"):
                self.indexed = _has_index(part)
                self._adapt(f"model.{key}", part)
        if not self.changed and not any(map(_names_channels, self.settled)):
            raise ValueError(
                f"The common `backbone` gives task {self.task!r} channels {self.new} "
                f"in place of {self.old}, and nothing in its model names those as "
                "`in_channels`. Set the key of the part that reads them: "
                f"tasks.{self.task}.cfg_options={{'model.<part>.in_channels': ...}}."
            )

    def _check_shared_head(self, model: Mapping[str, Any]) -> None:
        """Refuse a head that goes on with a stage of the old backbone."""
        where = "model.roi_head.shared_head"
        given = any(key.startswith(where) for key in self.settled)
        if (model.get("roi_head") or {}).get("shared_head") and not given:
            raise ValueError(
                f"The common `backbone` gives task {self.task!r} channels {self.new} "
                f"in place of {self.old}, and `{where}`, a stage of the old backbone, "
                "has a width of its own. Use a recipe with an FPN, or set the depth of "
                f"that stage: tasks.{self.task}.cfg_options={{'{where}.depth': ...}}, "
                "and the channels behind it."
            )

    def _is_settled(self, where: str) -> bool:
        return any(where == key or where.startswith(f"{key}.") for key in self.settled)

    def _adapt(self, where: str, part: Any) -> bool:
        """Adapt a part; tell whether it reads channels."""
        if self._is_settled(where):
            return True
        if isinstance(part, (list, tuple)):
            for index, item in enumerate(part):
                # Necks in a row: the first that reads channels shields the others.
                if self._adapt(f"{where}.{index}", item) and where == "model.neck":
                    return True
            return False
        if not isinstance(part, dict):
            return False
        keys = [key for key in _KEYS if key in part]
        for key in keys:
            if not self._is_settled(f"{where}.{key}"):
                part[key] = self._map(where, key, part)
        if keys and where.startswith("model.neck"):
            return True
        inner = [key for key in part if key not in ("train_cfg", "test_cfg", *keys)]
        found = [self._adapt(f"{where}.{key}", part[key]) for key in inner]
        return bool(keys) or any(found)

    def _map(self, where: str, key: str, part: Mapping[str, Any]) -> Any:
        value, index = part[key], part.get("in_index")
        if isinstance(value, (list, tuple)):
            at = _positions(value, self.old)
            if isinstance(index, (list, tuple)):
                at = list(index)
            if at is not None and [self.old[i] for i in at] == list(value):
                self.changed += 1
                return type(value)(self.new[i] for i in at)
        elif key == "in_channels" and isinstance(index, int):
            if self.old[index] == value:
                self.changed += 1
                return self.new[index]
        elif value in self.old and not (self.indexed and key == "in_channels"):
            self.changed += 1
            return self.new[len(self.old) - 1 - self.old[::-1].index(value)]
        else:
            return value  # Channels inside the part, not the backbone's.
        raise ValueError(
            f"`{where}.{key}` of task {self.task!r} is {value!r}, which are not the "
            f"channels {self.old} of its backbone; those of the common `backbone` are "
            f"{self.new}. Set it: tasks.{self.task}.cfg_options="
            f"{{'{where}.{key}': ...}}."
        )


def _has_index(part: Any) -> bool:
    """Tell whether a part, or one in it, says which of the features it reads."""
    if isinstance(part, (list, tuple)):
        return any(map(_has_index, part))
    if not isinstance(part, Mapping):
        return False
    return "in_index" in part or any(map(_has_index, part.values()))


def _names_channels(key: str) -> bool:
    """Tell whether an override names channels, or puts another part in."""
    last = key.rpartition(".")[2]
    return last in (*_KEYS, "type") or last.isdigit() or key.count(".") == 1


def _positions(values: Sequence[int], among: Sequence[int]) -> list[int] | None:
    """Return where values stand, in order, among others; None if they do not."""
    positions: list[int] = []
    for value in values:
        start = positions[-1] + 1 if positions else 0
        if value not in among[start:]:
            return None
        positions.append(list(among).index(value, start))
    return positions
