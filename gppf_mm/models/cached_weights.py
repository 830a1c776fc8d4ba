"""Weights that stay assembled while nothing changes."""

from collections.abc import Sequence

from torch import Tensor


class CachedWeights:
    """Assembled weights and the versions of what they were assembled from.

    Args:
        weights: The weights, by name.
        sources: What they were assembled from. An update in place, as an optimizer
            makes it, gives a tensor another version; one through ``.data`` does not.
        step: The step whose plan they follow.
    """

    def __init__(
        self, weights: dict[str, Tensor], sources: Sequence[Tensor], step: int
    ) -> None:
        self.weights = weights
        self._step = step
        self._sources = [(source, source._version) for source in sources]

    def is_stale(self, step: int) -> bool:
        """Return whether the step is another, or a source has been updated since."""
        return step != self._step or any(
            source._version != version for source, version in self._sources
        )
