"""Where the time of both sides of a measurement goes."""

from collections.abc import Iterator

from torch.profiler import ProfilerActivity, profile

from .measures import MEASURES
from .options import Options

_ROWS = 15


def profile_sides(key: str, options: Options) -> Iterator[str]:
    """Profile one call of each side, after a warm-up.

    Args:
        key: A measurement that times two calls in this process.
        options: How.

    Yields:
        For each side its name and the table of its costliest operators.

    Raises:
        ValueError: If the measurement has no such sides.
    """
    pairs = {name: item.pair for name, item in MEASURES.items() if item.pair}
    if key not in pairs:
        raise ValueError(
            f"`--profile` is {key!r}; expected a measurement that times two calls in "
            f"one process: {', '.join(pairs)}."
        )
    activities = [ProfilerActivity.CPU]
    column = "self_cpu_time_total"
    if options.device == "cuda":
        activities.append(ProfilerActivity.CUDA)
        column = "self_device_time_total"
    for name, call in pairs[key](options).calls.items():
        call()
        options.wait()
        with profile(activities=activities) as profiler:
            call()
            options.wait()
        table = profiler.key_averages().table(
            sort_by=column, row_limit=_ROWS, max_name_column_width=40
        )
        yield f"{key}: {name}\n{table}"
