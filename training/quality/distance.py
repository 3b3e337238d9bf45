"""Mean absolute difference to the targets: how close pictures are, while a training runs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pocketgan.training.data.samples import Pictures, batch


@torch.no_grad()
def l1_distance(generate: Callable[[Tensor], Tensor], data: Pictures, device: torch.device, at_most: int = 32) -> float:
    """Mean absolute difference between `generate(input)` and the target, on images in [-1, 1], over whole images.

    The first `at_most` pairs are looked at.
    """
    count = min(len(data), at_most)
    total = 0.0
    for index in range(count):
        pair = batch([data.whole(index)])
        total += float((generate(pair["input"].to(device)).cpu() - pair["target"]).abs().mean())
    return total / count
