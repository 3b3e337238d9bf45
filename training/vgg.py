"""VGG features: for the perceptual loss of pix2pixHD and SPADE VGG19, or VGG16 where its weights are at hand; for
OMGD's losses VGG16."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from pocketgan import console
from pocketgan.errors import ModelError
from pocketgan.training.reference import read_tensors

# torchvision's own files; the digits in their names begin the SHA-256 of their content, which is checked.
URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
URL_16 = "https://download.pytorch.org/models/vgg16-397923af.pth"
# Convolutions between two poolings, up to the first of the fifth group: relu5_1 is the last feature taken.
GROUPS = {"vgg19": (2, 2, 4, 4, 1), "vgg16": (2, 2, 3, 3, 1)}
WIDTHS = (64, 128, 256, 512, 512)


# Which activations between two poolings are features; those of the last ones end with the fourth group, as in OMGD.
Taps = Literal["first", "last"]


class VggFeatures(nn.Module):
    """Activations of a frozen VGG without batch norm.

    Of the first ones relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1; of the last ones, in VGG16, relu1_2, relu2_2,
    relu3_3 and relu4_3.

    forward: (n, 3, h, w) -> five or four features; h and w at least 16. What `on_tap` makes of a feature is read by the
    layers behind it.
    """

    def __init__(self, name: str, taps: Taps = "first") -> None:
        super().__init__()
        self.name = name
        self.groups = nn.ModuleList()
        groups = list(zip(GROUPS[name], WIDTHS, strict=True))
        channels = 3
        for count, width in groups if taps == "first" else groups[:-1]:
            self.groups.append(nn.ModuleList(nn.Conv2d(channels if i == 0 else width, width, 3, padding=1)
                                             for i in range(count)))  # fmt: skip
            channels = width
        self._tapped = [0 if taps == "first" else count - 1 for count, _ in groups]
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor, on_tap: Callable[[Tensor], Tensor] = lambda feature: feature) -> list[Tensor]:
        features = []
        for index, group in enumerate(self.groups):
            if index:
                x = nn.functional.max_pool2d(x, 2)
            assert isinstance(group, nn.ModuleList)
            for place, conv in enumerate(group):
                x = torch.relu(conv(x))
                if place == self._tapped[index]:
                    x = on_tap(x)
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
    without = "teacher.vgg_weights, or train without: teacher.lambda_vgg: 0"
    tensors = _download(URL, f"vgg19 or vgg16 with {without}") if path is None else read_tensors(Path(path))
    return _loaded(VggFeatures(_name_of(tensors)), tensors, path or URL)


def load_vgg16(path: str | None) -> VggFeatures:
    """VGG16's features for OMGD's losses: relu1_2, relu2_2, relu3_3 and relu4_3; arguments are those of `load_vgg`.

    Raises:
        ModelError: as `load_vgg`; or the file is of VGG19, whose features are others.
    """
    named = "vgg16 with teacher.vgg16_weights"
    tensors = _download(URL_16, named) if path is None else read_tensors(Path(path))
    if _name_of(tensors) != "vgg16":
        raise ModelError(f"{path} holds VGG19; L_OD is made of VGG16's features: name a file of torchvision's {named}")
    return _loaded(VggFeatures("vgg16", taps="last"), tensors, path or URL_16)


def _name_of(tensors: Mapping[str, Tensor]) -> str:
    # features.16 is a convolution in VGG19 and a pooling in VGG16.
    return "vgg19" if "features.16.weight" in tensors else "vgg16"


def _loaded(vgg: VggFeatures, tensors: Mapping[str, Tensor], source: str) -> VggFeatures:
    try:
        vgg.load_state_dict(_ours(tensors, [len(group) for group in vgg.groups if isinstance(group, nn.ModuleList)]))
    except (RuntimeError, KeyError) as error:
        raise ModelError(
            f"{source} does not hold the convolutions of torchvision's vgg19 or vgg16 (features.0.weight ...)"
        ) from error
    return vgg


def _ours(tensors: Mapping[str, Tensor], counts: Sequence[int]) -> dict[str, Tensor]:
    """Our names from torchvision's, which count convolutions, ReLUs and poolings alike."""
    renamed, place = {}, 0
    for group, count in enumerate(counts):
        for index in range(count):
            for kind in ("weight", "bias"):
                renamed[f"groups.{group}.{index}.{kind}"] = tensors[f"features.{place}.{kind}"]
            place += 2
        place += 1
    return renamed


def _download(url: str, instead: str) -> dict[str, Tensor]:
    name = url.rpartition("/")[2].partition("-")[0].upper()
    console.note(f"{name}: using torch's copy of {url}, fetched where it is not there yet (550 MB)")
    try:
        with redirect_stderr(io.StringIO()):  # torch announces the download in words of its own
            return torch.hub.load_state_dict_from_url(
                url, map_location="cpu", progress=False, check_hash=True, weights_only=True
            )
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"the weights of {name} could not be fetched from {url} ({error}); name a local file of torchvision's "
            f"{instead}"
        ) from error
