"""Stands in for VGG16 in L_OD: four small features."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Vgg(nn.Module):
    """Frozen random convolutions of stride 2; `seen` holds the images of every pass."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.convs = nn.ModuleList(nn.Conv2d(3 if i == 0 else 4, 4, 3, stride=2, padding=1) for i in range(4))
        self.requires_grad_(False)
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor, on_tap: Callable[[Tensor], Tensor] = lambda feature: feature) -> list[Tensor]:
        self.seen.append(x.detach())
        features = []
        for conv in self.convs:
            x = on_tap(torch.relu(conv(x)))
            features.append(x)
        return features
