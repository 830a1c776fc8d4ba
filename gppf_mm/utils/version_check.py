"""The versions of the stack that the package works with, checked at import."""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec


@dataclass(frozen=True)
class Requirement:
    """A library that has to be there, in a range of versions.

    Attributes:
        module: The module to import.
        minimum: The oldest version that is accepted.
        below: The first newer version that is refused.
        remedy: The command that installs an accepted version.
    """

    module: str
    minimum: str
    below: str
    remedy: str


# From 2.6: before, what a checkpoint of MMEngine holds could not be declared harmless
# (`allow_checkpoint_types`), so that none could be resumed from; nor was there
# torch.nn.utils.get_total_norm, by which a sharded bank's gradients are clipped. Below
# 3, which may break the interface. Not in mminstall.txt, which is installed over a
# torch that is there.
TORCH = Requirement(
    "torch",
    "2.6.0",
    "3.0.0",
    "a matching pair of torch and torchvision for your CUDA, then mmcv, which is "
    "compiled for it",
)
# The same ranges as in requirements/mminstall.txt, which also gives their reasons.
MMENGINE = Requirement(
    "mmengine", "0.10.0", "1.0.0", 'pip install "mmengine>=0.10.0,<1.0.0"'
)
MMCV = Requirement(
    "mmcv",
    "2.1.0",
    "2.2.0",
    'pip install "setuptools<82" wheel ninja psutil && '
    'MMCV_WITH_OPS=1 pip install --no-build-isolation "mmcv>=2.1.0,<2.2.0"',
)


def check_requirement(requirement: Requirement) -> None:
    """Import a library and check its version.

    Args:
        requirement: The library and the versions that are accepted.

    Raises:
        ImportError: If the library is missing or its version outside the range; the
            message says what was found, what is accepted and the command that
            remedies it.
    """
    accepted = f">={requirement.minimum},<{requirement.below}"
    try:
        library = import_module(requirement.module)
    except ModuleNotFoundError as error:
        if error.name != requirement.module:
            raise
        raise ImportError(
            f"gppf_mm needs {requirement.module}{accepted}, and none was found. "
            f"Install it: {requirement.remedy}"
        ) from error
    # Not importable before mmengine itself has been found.
    from mmengine.utils import digit_version

    found = digit_version(library.__version__)
    if (
        not digit_version(requirement.minimum)
        <= found
        < digit_version(requirement.below)
    ):
        raise ImportError(
            f"gppf_mm needs {requirement.module}{accepted}, but found "
            f"{requirement.module} {library.__version__} in {library.__path__[0]}. "
            f"Replace it: {requirement.remedy}"
        )


def check_stack() -> None:
    """Check PyTorch, MMEngine and MMCV, in the order in which one needs the other.

    Raises:
        ImportError: If PyTorch is missing, or as :func:`check_requirement`.
    """
    # MMEngine, which reads versions here, imports it.
    if find_spec("torch") is None:
        raise ImportError(
            "gppf_mm needs PyTorch, and none was found. Install a matching pair of "
            "torch and torchvision first, then mmengine and mmcv."
        )
    check_requirement(MMENGINE)
    check_requirement(TORCH)
    check_requirement(MMCV)
