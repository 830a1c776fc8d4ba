"""Build script. The metadata are in pyproject.toml; this file adds ``.mim``.

MIM and MMEngine look for a package's configs and tools in ``<package>/.mim``: links
into the checkout for an editable install, copies in a wheel. Nothing here needs torch.
"""

import os
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PACKAGE = "gppf_mm"
MIM_ENTRIES = ("configs", "tools", "model-index.yml")


class BuildPyWithMim(build_py):
    """Build the package together with its ``.mim`` folder."""

    def run(self) -> None:
        """Build the package, then ``.mim`` inside it."""
        super().run()
        root = Path(PACKAGE if self.editable_mode else self.build_lib, "")
        mim = (root if self.editable_mode else root / PACKAGE) / ".mim"
        # An earlier build may have left entries that are gone from the checkout.
        shutil.rmtree(mim, ignore_errors=True)
        mim.mkdir(parents=True)
        for entry in MIM_ENTRIES:
            if not Path(entry).exists():
                raise FileNotFoundError(
                    f"{Path(entry).resolve()} is missing, and {PACKAGE}/.mim needs it; "
                    "build from a complete checkout or sdist."
                )
            place = _link if self.editable_mode else _copy
            place(Path(entry), mim / entry)


def _link(source: Path, target: Path) -> None:
    try:
        target.symlink_to(os.path.relpath(source, target.parent))
    except OSError:  # Windows without the right to make links
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(source, target, ignore=ignore)
    else:
        shutil.copy2(source, target)


setup(cmdclass={"build_py": BuildPyWithMim})
