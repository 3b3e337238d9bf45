"""States of any width, brought to the 512 numbers that the generator reads."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pocketgan.training.generators.e2gan import TEXT_WIDTH

SEED = 20_240_607


def to_text_width(states: Tensor) -> Tensor:
    """(t, width) states of tokens -> (t, 512), every token scaled to a mean square of 1.

    States of 512 numbers are only scaled. Encoders differ in size of their states by a factor of two and more; scaled,
    one learning rate suits all.
    """
    if states.shape[1] != TEXT_WIDTH:
        states = states @ projection(states.shape[1])
    return states * states.square().mean(1, keepdim=True).clamp_min(1e-12).rsqrt()


def projection(width: int) -> Tensor:
    """(width, 512): a randomised Hadamard matrix (Ailon & Chazelle 2006), one for all time.

    Of entries that are all one number or its negative, so that it is the same to the last bit on every machine. Up to
    512 states its rows are orthonormal, and distances between tokens stay; of more, they stay on average.
    """
    size = TEXT_WIDTH
    while size < width:
        size *= 2
    hadamard = np.ones((1, 1), np.float32)
    while len(hadamard) < size:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    random = np.random.RandomState(SEED)  # numpy's one generator whose stream never changes
    signs = random.randint(0, 2, size).astype(np.float32) * 2 - 1
    rows, columns = random.permutation(size)[:width], random.permutation(size)[:TEXT_WIDTH]
    return torch.from_numpy(signs[rows, None] * hadamard[np.ix_(rows, columns)] / np.float32(np.sqrt(TEXT_WIDTH)))
