"""Sets whose samples show the random numbers they were made with."""

import numpy as np
import torch
from mmengine.dataset import DefaultSampler, pseudo_collate
from torch.utils.data import DataLoader, Dataset


class NoisyDataset(Dataset):
    """Samples whose content depends on NumPy's and PyTorch's generators."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.metainfo = {"classes": ("a", "b")}

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict:
        noise = np.random.rand() + torch.rand(()).item()
        return {"index": index, "noise": noise}


def noisy_loader(size: int, batch_size: int, drop_last: bool = True) -> DataLoader:
    """Return a stock loader as MMEngine builds it."""
    dataset = NoisyDataset(size)
    sampler = DefaultSampler(dataset, shuffle=True, seed=3)
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        collate_fn=pseudo_collate,
        drop_last=drop_last,
    )
