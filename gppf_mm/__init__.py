"""GPPF for OpenMMLab: several tasks trained together over one bank of lego units.

Importing the package checks the stack, nothing more: no model, data set or library of a
task is imported. MMEngine's registries import those when a config names them.
"""

from .utils.version_check import check_stack
from .version import __version__

check_stack()

from mmengine.config.utils import MODULE2PACKAGE  # noqa: E402

from .utils.serialization import allow_checkpoint_types  # noqa: E402

allow_checkpoint_types()

# For config names such as `gppf_mm::toy/x.py`. MMEngine first takes the value for the
# name of a distribution, which for an editable install leads to site-packages and not
# to the checkout; then for a module, which is right for every install. Hence the name
# of a module inside the package, which is no distribution's.
MODULE2PACKAGE["gppf_mm"] = "gppf_mm.version"

__all__ = ["__version__"]
