"""Features of pictures to choose among them by: Inception's, or those of CLIP's image tower (Radford et al. 2021)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from pocketgan import console
from pocketgan.errors import ModelError
from pocketgan.pictures import read_image
from pocketgan.training.quality.inception import load_inception
from pocketgan.training.text.encoder import EncoderIdentity
from pocketgan.training.text.pretrained import find_clip, identify, load

BATCH = 8
VERSION = 1
# What CLIP's settings are where a folder has none of its own (preprocessor_config.json).
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class ImageFeatures(Protocol):
    """A network that sees pictures, and its identity."""

    @property
    def identity(self) -> EncoderIdentity: ...

    def prepare(self, path: Path) -> np.ndarray:
        """A picture file as the network takes it. Raises DataError where it is no readable image."""
        ...

    def see(self, prepared: np.ndarray) -> np.ndarray:
        """(n, ...) prepared pictures -> (n, features) float32."""
        ...


class InceptionFeatures:
    """Inception's 2048 features, as FID takes them; see `load_inception` for `source` and what it raises."""

    def __init__(self, source: str = "auto") -> None:
        from cleanfid.resize import build_resizer

        self._network = load_inception(source)
        self._resize: Callable[[np.ndarray], np.ndarray] = build_resizer("clean")
        self.identity = EncoderIdentity("inception", self._network.weights.sha256)

    def prepare(self, path: Path) -> np.ndarray:
        """(299, 299, 3) float32 in [0, 255]."""
        return self._resize(read_image(path))

    def see(self, prepared: np.ndarray) -> np.ndarray:
        """(n, 2048) float32."""
        return self._network(prepared)


class ClipFeatures:
    """CLIP's projected features of pictures, of length 1, so that distances are those of angles.

    Args:
        source: a local folder in transformers' layout, or a hub's id.
    Raises:
        MissingExtraError: transformers is not installed.
        ModelError: there is no such model, or it has no image tower.
    """

    def __init__(self, source: str) -> None:
        folder = find_clip(source)
        name = f"clip:{Path(source).name if Path(source).is_dir() else source}"
        self.identity = identify(name, folder, kind="clip-image", version=VERSION)
        self._network = load("CLIPVisionModelWithProjection", folder)
        self._size, self._crop, self._mean, self._std = _preprocessing(folder, self._network.config.image_size)

    def prepare(self, path: Path) -> np.ndarray:
        """(3, side, side) float32: shorter side resized bicubically, middle cut out, CLIP's mean and deviation."""
        image = Image.fromarray(read_image(path))
        scale = self._size / min(image.size)
        width, height = (self._size if side == min(image.size) else int(side * scale) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - self._crop) // 2, (height - self._crop) // 2
        pixels = np.asarray(image.crop((left, top, left + self._crop, top + self._crop)), np.float32) / 255
        return ((pixels - self._mean) / self._std).transpose(2, 0, 1)

    def see(self, prepared: np.ndarray) -> np.ndarray:
        """(n, features) float32."""
        with torch.inference_mode():
            found = self._network(pixel_values=torch.from_numpy(prepared)).image_embeds
            unit: np.ndarray = torch.nn.functional.normalize(found, dim=-1).numpy()
        return unit


def _preprocessing(folder: Path, side: int) -> tuple[int, int, np.ndarray, np.ndarray]:
    """Shorter side, side of the middle, mean and deviation, as the folder's settings say."""
    path = folder / "preprocessor_config.json"
    try:
        said: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        size, crop = said.get("size", side), said.get("crop_size", side)
        size = size if isinstance(size, int) else size["shortest_edge"]
        crop = crop if isinstance(crop, int) else crop["height"]
        mean, std = (
            np.array(said.get(key, by), np.float32) for key, by in (("image_mean", _MEAN), ("image_std", _STD))
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is no preprocessing of CLIP's: {error}") from error
    if not (mean.shape == std.shape == (3,) and (std > 0).all() and crop == side <= size):
        raise ModelError(f"{path} does not say how pictures become the {side}x{side} pixels that the network takes")
    return size, crop, mean, std


def features_of(network: ImageFeatures, pictures: Sequence[Path]) -> np.ndarray:
    """(number of pictures, features) float32, the same whatever the number of threads.

    Every batch is computed by one thread, as many batches at a time as torch has threads: sums that threads share
    depend on their number.

    Raises:
        DataError: a file is no readable image.
    """
    batches = [pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH)]
    threads = torch.get_num_threads()
    found = []
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        seen = pool.map(lambda batch: network.see(np.stack([network.prepare(path) for path in batch])), batches)
        with console.progress("features", len(pictures)) as bar:
            for part in seen:
                found.append(part)
                bar.advance(len(part))
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
    return np.concatenate(found)
