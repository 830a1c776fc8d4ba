"""Weights that stay assembled while nothing changes."""

from collections.abc import Sequence

from torch import Tensor


class CachedWeights:
    """Assembled weights and the versions of what they were assembled from.

    Args:
        weights: The weights, by name.
        sources: What they were assembled from. An update in place, as an optimizer
            makes it, gives a tensor another version; one through ``.data`` does not.
    """

    def __init__(self, weights: dict[str, Tensor], sources: Sequence[Tensor]) -> None:
        self.weights = weights
        self._sources = [(source, source._version) for source in sources]

    def is_stale(self) -> bool:
        """Return whether a source has been updated since."""
        return any(source._version != version for source, version in self._sources)
