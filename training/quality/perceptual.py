"""LPIPS (Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric"), version 0.1.

The `lpips` package carries the calibrated linear heads; the ImageNet backbone is torchvision's download or a
local file.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from pocketgan import console
from pocketgan.errors import DataError, ModelError, require
from pocketgan.pictures import read_image
from pocketgan.training.data.images import to_tensor
from pocketgan.training.quality.stream import batches
from pocketgan.training.quality.weights import record_weights

Backbone = Literal["alex", "vgg"]
_TORCHVISION = {"alex": "AlexNet_Weights", "vgg": "VGG16_Weights"}
LEAST_SIDE = 32  # the last features of both backbones vanish below


class Perceptual:
    """LPIPS between pictures of equal size.

    Args:
        backbone: alex (the authors' choice for judging pictures) or vgg.
        file: the backbone's convolutions, `features.<i>.weight|bias` as torchvision names them, in a .safetensors or
            .pth file; None downloads torchvision's.
        device: where it runs.
    Attributes:
        weights: the backbone's file.
    Raises:
        MissingExtraError: lpips or torchvision is not installed.
        ModelError: the weights are not to be had, or belong to another network.
    """

    def __init__(
        self, backbone: Backbone = "alex", file: Path | None = None, device: torch.device | str = "cpu"
    ) -> None:
        require("quality", "lpips", "torchvision", "safetensors")
        if backbone not in get_args(Backbone):
            raise ModelError(f"--lpips-net takes {' or '.join(get_args(Backbone))}, not {backbone!r}")
        import lpips

        path, origin = (_downloaded(backbone), "torchvision download") if file is None else (file, "file")
        self.weights = record_weights(path, origin)
        self.device = torch.device(device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # lpips calls torchvision by its old parameter names
            network = lpips.LPIPS(net=backbone, version="0.1", pnet_rand=True, verbose=False)
        _fill(network.net, _read(path), path, backbone)
        self._network = network.eval().to(self.device)

    @torch.inference_mode()
    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """(n, 3, h, w) in [-1, 1], twice -> (n) distances; 0 for equal pictures."""
        return self._network(first.to(self.device), second.to(self.device)).flatten().float().cpu()


def perceptual_distances(
    network: Perceptual, pairs: Sequence[tuple[Path, Path]], batch_size: int = 32, workers: int | None = None
) -> np.ndarray:
    """LPIPS of each pair of image files, in their order.

    Raises:
        DataError: a file is no readable image, or the two of a pair differ in size.
    """

    def prepare(pair: tuple[Path, Path]) -> tuple[Tensor, Tensor]:
        first, second = (read_image(path) for path in pair)
        if first.shape != second.shape:
            sizes = " and ".join(f"{p} ({i.shape[1]}x{i.shape[0]})" for p, i in zip(pair, (first, second), strict=True))
            raise DataError(f"LPIPS compares images of equal size, not {sizes}")
        if min(first.shape[:2]) < LEAST_SIDE:
            raise DataError(f"LPIPS needs images of {LEAST_SIDE} pixels a side at least; {pair[0]} is smaller")
        return to_tensor(first), to_tensor(second)

    distances = []
    with console.progress("lpips", len(pairs)) as bar:
        for batch in batches(pairs, prepare, batch_size, workers):
            for _, same in groupby(batch, key=lambda pair: pair[0].shape):
                first, second = (torch.stack(side) for side in zip(*same, strict=True))
                distances.append(network(first, second).numpy())
            bar.advance(len(batch))
    return np.concatenate(distances)


def _downloaded(backbone: Backbone) -> Path:
    """torchvision's checkpoint in torch's hub folder; nothing is fetched where it lies there."""
    import torchvision

    url: str = getattr(torchvision.models, _TORCHVISION[backbone]).IMAGENET1K_V1.url
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    if not path.is_file():
        console.note(f"downloading the {backbone} backbone of LPIPS to {path.parent}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), path.stem.rsplit("-", 1)[1], progress=False)
        except (OSError, RuntimeError) as error:
            raise ModelError(
                f"torchvision's {backbone} weights for LPIPS could not be downloaded ({error}); name a file that holds "
                "its features.<i>.weight and .bias (.safetensors or .pth) with --lpips-weights FILE (lpips_weights: "
                "FILE in a recipe)"
            ) from error
    return path


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise ModelError(f"{path} is not a safetensors file, or it is damaged: {error}") from error
    except Exception as error:  # torch.load raises whatever the file's bytes lead to
        raise ModelError(f"{path} is not a file of weights that torch can read safely (weights only)") from error
    if not isinstance(weights, dict):
        raise ModelError(f"{path} does not hold named weights (a state dict)")
    return weights


def _fill(network: torch.nn.Module, weights: dict[str, Tensor], path: Path, backbone: Backbone) -> None:
    """Copy `features.<i>.*` into lpips' slices, whose layers keep torchvision's numbers: `slice2.<i>.*`."""
    state = {}
    for name, own in network.state_dict().items():
        entry = "features." + name.split(".", 1)[1]
        value = weights.get(entry)
        if not isinstance(value, Tensor) or value.shape != own.shape:
            problem = "is missing" if not isinstance(value, Tensor) else f"is {tuple(value.shape)}"
            raise ModelError(
                f"{path} does not hold torchvision's {backbone} backbone: {entry} {problem}, expected "
                f"{tuple(own.shape)}; see --lpips-net"
            )
        state[name] = value
    network.load_state_dict(state)
