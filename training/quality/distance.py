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
    return _mean(data, at_most, lambda pair: generate(pair["input"].to(device)).cpu() - pair["target"])


@torch.no_grad()
def l1_between(
    first: Callable[[Tensor], Tensor],
    second: Callable[[Tensor], Tensor],
    data: Pictures,
    device: torch.device,
    at_most: int = 32,
) -> float:
    """Mean absolute difference between what two functions make of the same inputs, as `l1_distance` takes it."""

    def difference(pair: dict[str, Tensor]) -> Tensor:
        images = pair["input"].to(device)
        return first(images) - second(images)

    return _mean(data, at_most, difference)


def l1_of_targets(one: Pictures, other: Pictures, at_most: int = 32) -> float:
    """Mean absolute difference between the targets of two data sets of the same inputs, as `l1_distance` takes it."""
    count = min(len(one), len(other), at_most)
    pairs = ((one.whole(index)["target"], other.whole(index)["target"]) for index in range(count))
    return sum(float((first - second).abs().mean()) for first, second in pairs) / count


def _mean(data: Pictures, at_most: int, difference: Callable[[dict[str, Tensor]], Tensor]) -> float:
    count = min(len(data), at_most)
    return sum(float(difference(batch([data.whole(index)])).abs().mean()) for index in range(count)) / count
