"""Real inputs from a folder, from which integer activations take their ranges."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pocketgan.errors import ExportError
from pocketgan.export.golden import MOST_PICTURE_CHANNELS
from pocketgan.files import other_kinds

# More change the ranges little and the time much.
MOST_IMAGES = 32
LEAST_IMAGES = 8
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
Shape = tuple[int, int, int]


def load_calibration(folder: Path, shape: Shape) -> np.ndarray:
    """(n, c, h, w) float32 inputs out of the folder's first files, by name.

    Photos are cropped to the shape's proportions and resized. Networks with more channels than a picture has take class
    maps: pictures of one channel whose values are classes, one input channel a class. `.npy` files hold inputs as they
    are, (c, h, w).

    Raises:
        ExportError: no such folder, fewer than 8 files in it that can be used, or one that cannot be read.
    """
    if not folder.is_dir():
        raise ExportError(f"there is no folder {folder}; --calibration names one with photos like those of the app")
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in (*PICTURES, ".npy"))
    if len(files) < LEAST_IMAGES:
        kinds = (*PICTURES, ".npy")
        raise ExportError(
            f"{folder} has {len(files)} inputs ({', '.join(kinds)}); calibration needs {LEAST_IMAGES}"
            + other_kinds(folder, kinds)
        )
    return np.stack([_input(file, shape) for file in files[:MOST_IMAGES]])


def _input(file: Path, shape: Shape) -> np.ndarray:
    from PIL import Image, ImageOps

    channels, height, width = shape
    try:
        if file.suffix == ".npy":
            stored = np.load(file, allow_pickle=False).astype(np.float32)
            if stored.shape != shape:
                raise ExportError(f"{file} holds {stored.shape}; the network's input is {shape}")
            return stored
        with Image.open(file) as image:
            if channels > MOST_PICTURE_CHANNELS:
                classes = np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.NEAREST))
                if classes.ndim != 2 or classes.max() >= channels:
                    raise ExportError(f"{file} is no map of {channels} classes: one channel of values below {channels}")
                return (classes == np.arange(channels)[:, None, None]).astype(np.float32)
            mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(channels)
            if mode is None:
                raise ExportError(
                    f"calibration inputs of {channels} channels are .npy files of (c, h, w), not {file.name}"
                )
            pixels = np.asarray(ImageOps.fit(image.convert(mode), (width, height), Image.Resampling.BICUBIC))
    except (OSError, ValueError, SyntaxError) as error:
        raise ExportError(f"{file} cannot be read: {error}") from error
    values = pixels.reshape(height, width, channels).transpose(2, 0, 1)
    return np.ascontiguousarray(values, np.float32) / np.float32(127.5) - np.float32(1)
