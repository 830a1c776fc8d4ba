"""Arrays in files, of which a pickle or a copy is the file's name."""

from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np


class MappedArray(np.ndarray):
    """A read-only array whose memory is a file, shared by all who map it.

    ``np.memmap`` pickles its whole content and copies it in ``deepcopy``. This array
    pickles as the file's name, and a copy of it is itself. What is made from it, a
    slice too, pickles as any array.

    Attributes:
        file: The file and the name of the dtype, or None in an array that is not the
            whole of a file.
    """

    file: tuple[str, str] | None = None

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        if self.file is None:
            return super().__reduce_ex__(protocol)
        return map_array, self.file

    def __deepcopy__(self, memo: dict[int, Any] | None) -> np.ndarray:
        return super().__deepcopy__(memo) if self.file is None else self


def map_array(path: str | Path, dtype: str) -> MappedArray:
    """Map a file of plain numbers.

    Args:
        path: The file, not empty.
        dtype: The numbers' dtype, such as ``'int64'``.

    Returns:
        The numbers, of shape (N,).

    Raises:
        OSError: If there is no such file.
        ValueError: If its size is 0 or no multiple of the dtype's.
    """
    array = np.memmap(path, dtype=dtype, mode="r").view(MappedArray)
    array.file = (str(path), dtype)
    return array
