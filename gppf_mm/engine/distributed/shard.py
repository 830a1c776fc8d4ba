"""How one tensor is divided over the ranks."""

from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor
from torch.distributed.tensor import Shard as ShardPlacement


@dataclass(frozen=True)
class Shard:
    """A rank's rows of a tensor, consecutive ones along its first dimension.

    Of n rows each rank has ``ceil(n / ranks)``, the last ones fewer or none, as in
    PyTorch's own sharded tensors. A scalar counts as one row. What travels is padded to
    the same length on all ranks.

    Attributes:
        shape: The whole tensor's shape.
    """

    shape: torch.Size

    @property
    def row_shape(self) -> torch.Size:
        """The whole tensor's shape, with a row where there is none."""
        return self.shape or torch.Size([1])

    @property
    def rows_per_rank(self) -> int:
        """The most rows that a rank has."""
        return -(-self.row_shape[0] // distributed.get_world_size())

    @property
    def padded(self) -> int:
        """Elements that a rank sends."""
        return self.rows_per_rank * self.row_shape[1:].numel()

    def bounds(self) -> tuple[int, int]:
        """Return this rank's first row and the one after its last."""
        start = distributed.get_rank() * self.rows_per_rank
        end = min(start + self.rows_per_rank, self.row_shape[0])
        return min(start, end), end

    def of(self, whole: Tensor) -> Tensor:
        """Return this rank's rows, in memory of their own."""
        start, end = self.bounds()
        rows = whole.detach().reshape(self.row_shape)[start:end]
        return rows.clone(memory_format=torch.contiguous_format)

    def pad(self, rows: Tensor) -> Tensor:
        """Return this rank's rows as they are sent, flat: (padded,)."""
        return _lengthen(rows.reshape(-1), self.padded)

    def unpad(self, flat: Tensor) -> Tensor:
        """Return this rank's rows from what was sent; the inverse of `pad`."""
        start, end = self.bounds()
        shape = (end - start, *self.row_shape[1:])
        return flat[: torch.Size(shape).numel()].view(shape)

    def divide(self, whole: Tensor) -> Tensor:
        """Return what each rank is sent of a whole tensor: (ranks, padded)."""
        ranks = distributed.get_world_size()
        flat = whole.contiguous().reshape(-1)
        return _lengthen(flat, ranks * self.padded).view(ranks, self.padded)

    def join(self, pieces: Tensor) -> Tensor:
        """Return the whole tensor from all ranks' pieces; the inverse of `divide`."""
        return pieces.reshape(-1)[: self.shape.numel()].view(self.shape)

    def collect(self, rows: Tensor) -> Tensor | None:
        """Bring the whole tensor to rank 0, where it is returned on the CPU."""
        piece = self.pad(rows.detach())
        first = distributed.get_rank() == 0
        ranks = range(distributed.get_world_size())
        pieces = [torch.empty_like(piece) for _ in ranks] if first else None
        distributed.gather(piece, pieces, dst=0)
        return self.join(torch.stack(pieces)).cpu() if pieces else None

    def as_dtensor(self, rows: Tensor, mesh: DeviceMesh) -> DTensor:
        """Return the tensor as PyTorch's checkpoints know sharded ones."""
        return DTensor.from_local(
            rows.detach(),
            mesh,
            [ShardPlacement(0)],
            run_check=False,
            shape=self.row_shape,
            stride=torch.empty(self.row_shape, device="meta").stride(),
        )


def _lengthen(flat: Tensor, length: int) -> Tensor:
    missing = length - flat.numel()
    return torch.cat([flat, flat.new_zeros(missing)]) if missing else flat


def is_sharded(tensor: Tensor) -> bool:
    """Return whether a parameter holds a shard."""
    return hasattr(tensor, "_gppf_shard")


def shard_of(parameter: Tensor) -> Shard:
    """Return of what a sharded parameter holds the rows."""
    return parameter._gppf_shard


def whole_shape(parameter: Tensor) -> torch.Size | None:
    """Return the whole shape of a sharded parameter, None of any other."""
    return shard_of(parameter).shape if is_sharded(parameter) else None


def shard_parameters(module: nn.Module, device: torch.device) -> None:
    """Leave each rank its rows of every parameter, which become rank 0's.

    The whole parameters need not fit on the device together: one at a time is there.

    Args:
        module: The module, whose parameters are replaced, under the same names.
        device: Where the shards are put.
    """
    for owner in module.modules():
        for leaf, parameter in list(owner._parameters.items()):
            if parameter is not None:
                shard = Shard(parameter.shape)
                rows = shard.of(_from_rank_0(parameter, device))
                own = nn.Parameter(rows, requires_grad=parameter.requires_grad)
                own._gppf_shard = shard
                owner._parameters[leaf] = own


@torch.no_grad()
def fill_shards(module: nn.Module, whole: dict[str, Tensor]) -> None:
    """Give sharded parameters new values, those that rank 0 has.

    Args:
        module: The module.
        whole: The whole values by the parameters' names.
    """
    for name, parameter in module.named_parameters():
        value = _from_rank_0(whole[name], parameter.device)
        parameter.copy_(shard_of(parameter).of(value))


def _from_rank_0(value: Tensor, device: torch.device) -> Tensor:
    value = value.detach().to(device).contiguous()
    distributed.broadcast(value, src=0)
    return value
