"""Seed the random numbers of each sample by itself."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset


class SeededIndex(int):
    """An index that carries the seed of its sample.

    It is an integer for every data set and wrapper; what they compute from it is a plain integer.

    Args:
        index (int): Index of a sample.
        seed (tuple[int, ...]): Numbers, at least 0, that the random numbers of this sample depend on.
    """

    seed: tuple[int, ...]

    def __new__(cls, index: int, seed: tuple[int, ...]) -> 'SeededIndex':
        seeded = super().__new__(cls, index)
        seeded.seed = seed
        return seeded

    def __reduce__(self) -> tuple:
        return SeededIndex, (int(self), self.seed)


class SeededItems(Dataset):
    """A data set whose random numbers are seeded anew for each sample, whatever wrappers it consists of.

    Args:
        dataset: Anything with items; its other attributes are reached through this one.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        seed_sample(index)
        return self.dataset[int(index) if isinstance(index, SeededIndex) else index]

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset' or name.startswith('__'):  # while it is unpickled; items are read one by one
            raise AttributeError(name)
        return getattr(self.dataset, name)


def seed_sample(index: int) -> None:
    """Seed Python's, NumPy's and PyTorch's random numbers on the CPU by a :class:`SeededIndex`, and by no other."""
    if isinstance(index, SeededIndex):
        state = np.random.SeedSequence(index.seed).generate_state(1)
        np.random.seed(state)
        random.seed(int(state[0]))
        torch.default_generator.manual_seed(int(state[0]))


def keep_random_state() -> Callable[[], None]:
    """Remember the state of these random numbers; what is returned brings it back when it is called."""
    python, numpy, pytorch = random.getstate(), np.random.get_state(), torch.default_generator.get_state()

    def restore() -> None:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.default_generator.set_state(pytorch)

    return restore
