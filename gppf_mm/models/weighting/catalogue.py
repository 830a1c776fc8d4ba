"""The methods of torchjd, by name."""

import inspect
from importlib.metadata import version

from torch import nn

_REMEDY = (
    "Install it with `pip install 'torchjd[full]==0.18.*'`; requirements/optional.txt "
    "says why that version."
)


def find_methods(name: str) -> tuple[dict[str, type[nn.Module]], ...]:
    """Return torchjd's scalarizers and aggregators.

    Args:
        name: The method that is wanted, for the error.

    Returns:
        The scalarizers and the aggregators that a config can name. What is both, such
        as ``Random``, is a scalarizer here: that costs less.

    Raises:
        ImportError: If torchjd is missing, or is another version.
    """
    try:
        from torchjd import aggregation, scalarization
    except ImportError as error:
        raise ImportError(
            f"`model.weighting.type` is {name!r}, a method of torchjd, which is not "
            f"installed ({error}). {_REMEDY}"
        ) from error
    if not version("torchjd").startswith("0.18."):
        raise ImportError(
            f"`model.weighting.type` is {name!r}, and torchjd {version('torchjd')} is "
            "installed; what its methods remember is saved by the names of version "
            f"0.18. {_REMEDY}"
        )
    bases = (
        scalarization.Scalarizer,
        aggregation.Aggregator,
        aggregation.WeightedAggregator,
        aggregation.GramianWeightedAggregator,
    )
    scalarizers, aggregators = (
        {
            item: cls
            for item in module.__all__
            if inspect.isclass(cls := getattr(module, item))
            and issubclass(cls, base)
            and cls not in bases
        }
        for module, base in ((scalarization, bases[0]), (aggregation, bases[1]))
    )
    return scalarizers, {
        item: cls for item, cls in aggregators.items() if item not in scalarizers
    }
