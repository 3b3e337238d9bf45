"""Adversarial losses."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

GanMode = Literal["lsgan", "vanilla", "hinge"]


class AdversarialLoss:
    """Least squares (Mao et al. 2017), cross entropy (Goodfellow et al. 2014) or hinge (Lim & Ye 2017).

    Discriminator scores are raw, of any shape; results are scalars.
    """

    def __init__(self, mode: GanMode = "hinge") -> None:
        self.mode = mode

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the discriminator minimises, half for each side."""
        if self.mode == "lsgan":
            return 0.5 * ((real - 1).square().mean() + fake.square().mean())
        if self.mode == "vanilla":
            return 0.5 * (functional.softplus(-real).mean() + functional.softplus(fake).mean())
        return 0.5 * (torch.relu(1 - real).mean() + torch.relu(1 + fake).mean())

    def generator(self, fake: Tensor) -> Tensor:
        """What the generator minimises."""
        if self.mode == "lsgan":
            return (fake - 1).square().mean()
        if self.mode == "vanilla":
            return functional.softplus(-fake).mean()
        return -fake.mean()
