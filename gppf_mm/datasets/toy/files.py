"""Files that are either whole or absent."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np


@contextmanager
def staged_dir(out_dir: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``out_dir`` when the block succeeds.

    The folder is made beside ``out_dir``, so that one rename publishes it; an error
    in the block removes it.

    Args:
        out_dir (Path): The folder to make; it may exist only if it is empty.

    Yields:
        Path: The folder to write into.

    Raises:
        FileExistsError: If ``out_dir`` holds files already, before or after the
            block.
    """
    _require_vacant(out_dir)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}-", dir=out_dir.parent))
    try:
        # mkdtemp makes the folder private; a data set is not.
        stage.chmod(0o755)
        yield stage
        _require_vacant(out_dir)
        os.replace(stage, out_dir)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def write_image(path: Path, image: np.ndarray) -> None:
    """Write an image in the format that the suffix names.

    Args:
        path (Path): The file to write.
        image (np.ndarray): ``(height, width, 3)`` BGR or ``(height, width)``, uint8.

    Raises:
        OSError: If the file cannot be written.
    """
    if not cv2.imwrite(str(path), image):
        raise OSError(
            f"Cannot write the image {path}: check the free space and the permissions."
        )


def _require_vacant(out_dir: Path) -> None:
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise FileExistsError(
            f"{out_dir} exists and is not an empty folder, so nothing was written "
            "there: remove it or choose another output folder."
        )
