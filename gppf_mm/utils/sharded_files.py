"""Checkpoint folders: one common file, and the shards in PyTorch's distributed format.

The folder holds ``common.pth``, an ordinary checkpoint without what is sharded, and
what ``torch.distributed.checkpoint`` wrote of the shards. PyTorch's reader unpickles
the index of the shards without a limit; the reader here lets it hold nothing but that
index, so that a folder from a stranger cannot run code either.
"""

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint import metadata as dcp_metadata
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

COMMON = "common.pth"
_MODEL, _OPTIMIZER = "state_dict", "optimizer"

Make = Callable[[torch.Size, torch.dtype], Tensor]


def named_shards(state: dict[str, Any], optimizer: Optimizer | None) -> dict[str, Any]:
    """Name all sharded tensors of a model and its optimizer for the folder.

    Args:
        state: The model's state dict.
        optimizer: The optimizer, or None.
    """
    named = {
        f"{_MODEL}.{name}": value
        for name, value in state.items()
        if isinstance(value, DTensor)
    }
    states = optimizer.state_dict()["state"] if optimizer is not None else {}
    for index, values in states.items():
        for key, value in values.items():
            if isinstance(value, DTensor):
                named[f"{_OPTIMIZER}.{index}.{key}"] = value
    return named


def read_folder(folder: str | Path, make: Make | None = None) -> dict[str, Any]:
    """Read a checkpoint folder; every rank for itself, on any number of ranks.

    Args:
        folder: The folder.
        make: Makes the tensor, sharded or not, into which one of this whole shape and
            dtype is read. Defaults to None, a whole tensor on the CPU.

    Returns:
        The checkpoint, as that of a single file.

    Raises:
        FileNotFoundError: If the folder is none of a checkpoint.
    """
    content, reader, items = _open(folder)
    tensors = {
        name: (make or _whole)(item.size, item.properties.dtype)
        for name, item in items.items()
    }
    with warnings.catch_warnings():
        # That it loads in a single process is meant.
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        dcp.load(tensors, storage_reader=reader, no_dist=True)
    return _merge(content, tensors)


def outline_folder(folder: str | Path) -> dict[str, Any]:
    """Return what `read_folder` would, with the shapes of shards for their values."""
    content, _, items = _open(folder)
    shapes = {
        name: torch.empty(item.size, dtype=item.properties.dtype, device="meta")
        for name, item in items.items()
    }
    return _merge(content, shapes)


def _open(folder: str | Path) -> tuple[dict[str, Any], "_Reader", dict[str, Any]]:
    """Return the common content, a reader of the shards, and what it can read."""
    folder = Path(folder)
    for name in (COMMON, ".metadata"):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"The folder {str(folder)!r} has no {name}; expected a checkpoint "
                "folder that a run with checkpoint='sharded' wrote."
            )
    content = torch.load(folder / COMMON, map_location="cpu", weights_only=True)
    reader = _Reader(folder)
    return content, reader, reader.read_metadata().state_dict_metadata


def _merge(content: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == _MODEL:
            content[_MODEL][rest] = tensor
        elif _OPTIMIZER in content:
            index, _, key = rest.partition(".")
            content[_OPTIMIZER]["state"].setdefault(int(index), {})[key] = tensor
    return content


def _whole(size: torch.Size, dtype: torch.dtype) -> Tensor:
    return torch.empty(size, dtype=dtype)


class _Reader(FileSystemReader):
    """PyTorch's reader, with an index that cannot run code."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> dcp_metadata.Metadata:
        with open(Path(self.path) / ".metadata", "rb") as file:
            metadata = _Unpickler(file).load()
        if metadata.storage_meta is None:
            metadata.storage_meta = dcp_metadata.StorageMeta()
        metadata.storage_meta.load_id = self.load_id
        return metadata


class _Unpickler(pickle.Unpickler):
    _NAMES = frozenset(
        {
            "pathlib PosixPath",
            "torch Size",
            "torch.serialization _get_layout",
            "torch.distributed.checkpoint.filesystem _StorageInfo",
            *(
                f"{dcp_metadata.__name__} {name}"
                for name in (
                    "BytesStorageMetadata",
                    "ChunkStorageMetadata",
                    "Metadata",
                    "MetadataIndex",
                    "StorageMeta",
                    "TensorProperties",
                    "TensorStorageMetadata",
                    "_MEM_FORMAT_ENCODING",
                )
            ),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        is_dtype = module == "torch" and isinstance(
            getattr(torch, name, None), torch.dtype
        )
        if is_dtype or f"{module} {name}" in self._NAMES:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(
            f"The index of a checkpoint folder asks for {module}.{name}, which none "
            "that torch.distributed.checkpoint wrote does."
        )
