"""Which pseudo-labels a student learns from, by what the discriminator thinks of them (UGC, stage 2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pocketgan.recipe.choices import FILTER_MOMENTUM, FILTER_PROBABILITY


def image_scores(scores: Tensor | Sequence[Tensor]) -> Tensor:
    """(n,) score of every image: the mean of its patches, and over scales where `scores` holds one map for each."""
    scales = [scores] if isinstance(scores, Tensor) else scores
    return torch.stack([scale.float().flatten(1).mean(1) for scale in scales]).mean(0)


class ScoreFilter(nn.Module):
    """UGC's filter: a pseudo-label that scores above the running mean is used half of the time, any other always.

    So it is printed: what the discriminator takes for real is what the student sees less of. The running mean is an
    exponential moving average of the scores so far, without those that are being decided about; it begins as the mean
    of the first ones. The paper does not give its momentum. Mean and count are buffers, so that a checkpoint holds
    them; decisions come from torch's generator.

    forward: (n,) scores -> (n,) whether each pseudo-label is used; the scores enter the mean.

    Args:
        momentum: share of the mean that stays with every call.
        probability: with which one above the mean is used (paper: 1/2).
    """

    mean: Tensor
    count: Tensor

    def __init__(self, momentum: float = FILTER_MOMENTUM, probability: float = FILTER_PROBABILITY) -> None:
        super().__init__()
        self.momentum = momentum
        self.probability = probability
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def forward(self, scores: Tensor) -> Tensor:
        scores = scores.detach().float()
        fresh = scores.mean()
        if not self.count:
            self.mean.copy_(fresh)
        # As many numbers are drawn whatever the scores are, so that one score changes no decision about another.
        lucky = torch.rand(len(scores)).to(scores.device) < self.probability
        used = (scores <= self.mean) | lucky
        self.mean.lerp_(fresh, 1 - self.momentum)
        self.count += 1
        return used
