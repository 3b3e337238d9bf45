"""Which samples a step takes: a function of the seed and the step, so that a resumed training goes on with its own."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from pocketgan.training.data.samples import Samples


def share_of_step(
    data: Samples, step: int, *, batch_size: int, seed: int, rank: int, world: int
) -> list[dict[str, Tensor]]:
    """The samples that process `rank` of `world` takes of the batch of a step; every epoch is a fresh permutation."""
    samples = []
    for position in range(step * batch_size + rank, (step + 1) * batch_size, world):
        epoch, place = divmod(position, len(data))
        index = _permutation(seed, epoch, len(data))[place]
        samples.append(data.sample(index, np.random.default_rng([seed, position])))
    return samples


@functools.lru_cache(maxsize=8)
def _permutation(seed: int, epoch: int, count: int) -> list[int]:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed_of(seed, epoch, 0))).tolist()


def seed_of(*numbers: int) -> int:
    """A seed that differs for every tuple of numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
