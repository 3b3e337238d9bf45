"""Networks that judge pictures, as small as they can be, written as the files that a recipe names."""

from __future__ import annotations

import warnings
from pathlib import Path

import lpips
import torch
from safetensors.torch import save_file
from torch import Tensor, nn


class Features(nn.Module):
    """In Inception's place: features of resized pictures, one convolution, averaged."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv2d(3, 8, 7, stride=8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x)).mean([2, 3])


class Brightest(nn.Module):
    """A segmentation network's logits of three classes: the pixel's red, green and blue."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2.0


def script(module: nn.Module, path: Path) -> str:
    torch.jit.script(module).save(str(path))
    return str(path)


def backbone(path: Path) -> str:
    """A random AlexNet's convolutions, named as torchvision names them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).net.state_dict()
    save_file({"features." + name.split(".", 1)[1]: value.contiguous() for name, value in state.items()}, path)
    return str(path)
