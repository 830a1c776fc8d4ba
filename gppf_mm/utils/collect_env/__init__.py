"""The versions that a bug report needs; ``python -m gppf_mm.utils.collect_env``.

A package, so that ``python -m`` runs its ``__main__`` and not a second copy of a module
that :mod:`gppf_mm.utils` has imported already.
"""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from gppf_mm.version import __version__

_LIBRARIES = {
    "MMDetection": "mmdet",
    "MMSegmentation": "mmsegmentation",
    "MMPreTrain": "mmpretrain",
}


def collect_env() -> dict[str, str]:
    """Collect the versions of the stack that the package runs on.

    Returns:
        What MMEngine collects (Python, PyTorch, CUDA, compilers, OpenCV, MMEngine),
        then NumPy, MMCV and whether it has compiled ops, the three task libraries and
        gppf_mm. A library that is not installed is listed as ``"not installed"``.

    Examples:
        >>> env = collect_env()
        >>> env["gppf_mm"]
        '0.1.0'
    """
    # The package imports this module before it has checked that these can be imported.
    import mmcv
    import numpy as np
    from mmengine.utils.dl_utils import collect_env as collect_base_env

    env = {name: str(value) for name, value in collect_base_env().items()}
    env["NumPy"] = np.__version__
    env["MMCV"] = mmcv.__version__
    env["MMCV ops"] = "compiled" if find_spec("mmcv._ext") else "missing (mmcv-lite)"
    for name, distribution in _LIBRARIES.items():
        env[name] = _installed_version(distribution)
    env["gppf_mm"] = __version__
    return env


def _installed_version(distribution: str) -> str:
    # Without importing it: that takes seconds, and a library that fails to import is
    # what a report is most often about.
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"
