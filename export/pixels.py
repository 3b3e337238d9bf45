"""Networks that take and give pixels: normalisation and layout become part of the exported graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Of [-1, 1] in 256 levels: value = level / HALF - 1.
HALF = 127.5


class Pixels(nn.Module):
    """(1, h, w, 3) uint8 RGB through a network from RGB to RGB in [-1, 1] to (1, h', w', 3) uint8.

    Types change where pixels lie side by side, so that only this stays outside a delegate that knows no bytes.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        values = torch.permute_copy(image.to(torch.float32), (0, 3, 1, 2)) * (1 / HALF) - 1.0
        # Half a level more, since the conversion to bytes cuts.
        levels = (self.network(values) * HALF + (HALF + 0.5)).clamp(0.0, 255.5)
        return levels.permute(0, 2, 3, 1).to(torch.uint8)


class Levels(nn.Module):
    """A network from levels (1, 3, h, w) float to levels, both in [0, 255]: what Core ML's image types surround."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return (self.network(image * (1 / HALF) - 1.0) * HALF + HALF).clamp(0.0, 255.0)


def in_contract(module: nn.Module, example: tuple[Tensor, ...], io: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """`module` (1, 3, h, w) between pixels where `io` is "image", and an example of what it takes then."""
    if io != "image":
        return module, example
    _, channels, height, width = example[0].shape
    return Pixels(module), (torch.zeros(1, height, width, channels, dtype=torch.uint8),)
