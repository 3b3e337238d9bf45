"""Real inputs from a folder, from which integer activations take their ranges."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pocketgan import console
from pocketgan.errors import DataError, ExportError
from pocketgan.export.golden import MOST_PICTURE_CHANNELS

# More change the ranges little and the time much.
MOST_IMAGES = 32
LEAST_IMAGES = 8
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
    from pocketgan.picture_files import holds_instead, is_hidden, is_image, left_out

    files = sorted(file for file in folder.iterdir() if is_image(file) or (_is_array(file) and not is_hidden(file)))
    if len(files) < LEAST_IMAGES:
        raise ExportError(
            f"{folder} has {len(files)} inputs (pictures, or .npy); calibration needs {LEAST_IMAGES}"
            f"{holds_instead(folder, '.npy')}"
        )
    if text := left_out([folder], files):
        console.note(text)
    return np.stack([_input(file, shape) for file in files[:MOST_IMAGES]])


def _is_array(file: Path) -> bool:
    return file.suffix.lower() == ".npy"


def _input(file: Path, shape: Shape) -> np.ndarray:
    from PIL import Image, ImageOps

    from pocketgan.pictures import Mode, read_image, read_indices

    channels, height, width = shape
    if _is_array(file):
        return _array(file, shape)
    modes: dict[int, Mode] = {1: "L", 3: "RGB", 4: "RGBA"}
    if channels <= MOST_PICTURE_CHANNELS and channels not in modes:
        raise ExportError(f"calibration inputs of {channels} channels are .npy files of (c, h, w), not {file.name}")
    try:
        if channels > MOST_PICTURE_CHANNELS:
            indices = Image.fromarray(read_indices(file).astype(np.int32))
            classes = np.asarray(ImageOps.fit(indices, (width, height), Image.Resampling.NEAREST))
            if classes.min() < 0 or classes.max() >= channels:
                raise ExportError(f"{file} is no map of {channels} classes: one channel of values below {channels}")
            return (classes == np.arange(channels)[:, None, None]).astype(np.float32)
        picture = Image.fromarray(read_image(file, modes[channels]))
    except DataError as error:
        wanted = f"; the network takes maps of {channels} classes" if channels > MOST_PICTURE_CHANNELS else ""
        raise ExportError(f"{error}{wanted}") from error
    pixels = np.asarray(ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC))
    values = pixels.reshape(height, width, channels).transpose(2, 0, 1)
    return np.ascontiguousarray(values, np.float32) / np.float32(127.5) - np.float32(1)


def _array(file: Path, shape: Shape) -> np.ndarray:
    try:
        stored = np.load(file, allow_pickle=False).astype(np.float32)
    except (OSError, ValueError) as error:
        raise ExportError(f"{file} cannot be read: {error}") from error
    if stored.shape != shape:
        raise ExportError(f"{file} holds {stored.shape}; the network's input is {shape}")
    return stored
