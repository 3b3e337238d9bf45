"""A network whose norm scales prune every layer alike, for students that no teacher's scales decide about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pocketgan.training.generators import GeneratorSpec, build, scales

if TYPE_CHECKING:
    from torch import nn


def even_network(spec: GeneratorSpec) -> nn.Module:
    """The network of that spec with scales that fall evenly from 1 to 0 over the channels of every layer.

    A threshold t then keeps the share 1 - t of each layer's channels, so that the searches (`search.search`,
    `hardware`) give members of the family with even widths, rounded as the device likes them.
    """
    import torch

    module = build(spec)
    with torch.no_grad():
        for scale in scales(module, spec).values():
            count = scale.numel()
            scale.copy_((count - torch.arange(count) - 0.5) / count)
    return module
