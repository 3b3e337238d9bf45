"""Pictures in and out: RGB uint8 files, NCHW float32 tensors in [-1, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pocketgan.errors import DataError
from pocketgan.files import atomic_file

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


def list_images(folder: Path) -> list[Path]:
    """Image files of a folder by name, hidden ones left out."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def read_image(path: Path) -> np.ndarray:
    """(h, w, 3) uint8. Raises DataError where the file is no readable image."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is not a readable image: {error}") from error


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write (h, w, 3) uint8 as PNG, the whole file or nothing."""
    with atomic_file(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(h, w, 3) uint8 -> (3, h, w) float32 in [-1, 1]."""
    # In numpy: this runs on decoding threads, where torch would start a pool of its own for each.
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32) / 127.5 - 1.0)


def to_pixels(image: Tensor) -> np.ndarray:
    """(3, h, w) in [-1, 1] -> (h, w, 3) uint8."""
    values = image.detach().float().cpu().add(1.0).mul(127.5).round().clamp(0, 255)
    return values.to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bicubic, anti-aliased."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def grid(rows: Sequence[Sequence[np.ndarray]], gap: int = 4) -> np.ndarray:
    """One picture of equally sized pictures in rows and columns, on white."""
    height, width = rows[0][0].shape[:2]
    canvas = np.full(
        (len(rows) * (height + gap) - gap, max(map(len, rows)) * (width + gap) - gap, 3), 255, dtype=np.uint8
    )
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = i * (height + gap), j * (width + gap)
            canvas[top : top + height, left : left + width] = picture
    return canvas
