"""VGG features for the perceptual loss: VGG19 as in pix2pixHD and SPADE, or VGG16 where its weights are at hand."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stderr
from pathlib import Path

import torch
from torch import Tensor, nn

from pocketgan import console
from pocketgan.errors import ModelError
from pocketgan.training.reference import read_tensors

# torchvision's own file; the digits in its name begin the SHA-256 of its content, which is checked.
URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
# Convolutions between two poolings, up to the first of the fifth group: relu5_1 is the last feature taken.
GROUPS = {"vgg19": (2, 2, 4, 4, 1), "vgg16": (2, 2, 3, 3, 1)}
WIDTHS = (64, 128, 256, 512, 512)


class VggFeatures(nn.Module):
    """relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1 of a frozen VGG without batch norm.

    forward: (n, 3, h, w) -> five features; h and w at least 16.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.groups = nn.ModuleList()
        channels = 3
        for count, width in zip(GROUPS[name], WIDTHS, strict=True):
            self.groups.append(nn.ModuleList(nn.Conv2d(channels if i == 0 else width, width, 3, padding=1)
                                             for i in range(count)))  # fmt: skip
            channels = width
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for index, group in enumerate(self.groups):
            if index:
                x = nn.functional.max_pool2d(x, 2)
            assert isinstance(group, nn.ModuleList)
            for place, conv in enumerate(group):
                x = torch.relu(conv(x))
                if place == 0:
                    features.append(x)
        return features


def load_vgg(path: str | None) -> VggFeatures:
    """VGG features from a local file, or by torchvision's download where no file is named.

    Args:
        path: `.safetensors` or `.pth` with torchvision's names (`features.0.weight` ...) of VGG19 or VGG16; which of
            them is told by the layers in the file.
    Raises:
        ModelError: the file is missing, unreadable or no such network, or the download is impossible.
    """
    tensors = _download() if path is None else read_tensors(Path(path))
    source = URL if path is None else path
    # features.16 is a convolution in VGG19 and a pooling in VGG16.
    name = "vgg19" if "features.16.weight" in tensors else "vgg16"
    vgg = VggFeatures(name)
    try:
        vgg.load_state_dict(_ours(tensors, name))
    except (RuntimeError, KeyError) as error:
        raise ModelError(
            f"{source} does not hold the convolutions of torchvision's vgg19 or vgg16 (features.0.weight ...)"
        ) from error
    return vgg


def _ours(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Our names from torchvision's, which count convolutions, ReLUs and poolings alike."""
    renamed, place = {}, 0
    for group, count in enumerate(GROUPS[name]):
        for index in range(count):
            for kind in ("weight", "bias"):
                renamed[f"groups.{group}.{index}.{kind}"] = tensors[f"features.{place}.{kind}"]
            place += 2
        place += 1
    return renamed


def _download() -> dict[str, Tensor]:
    console.note(f"VGG19: using torch's copy of {URL}, fetched where it is not there yet (550 MB)")
    try:
        with redirect_stderr(io.StringIO()):  # torch announces the download in words of its own
            return torch.hub.load_state_dict_from_url(
                URL, map_location="cpu", progress=False, check_hash=True, weights_only=True
            )
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"the weights of VGG19 could not be fetched from {URL} ({error}); name a local file of torchvision's "
            "vgg19 or vgg16 with teacher.vgg_weights, or train without: teacher.lambda_vgg: 0"
        ) from error
