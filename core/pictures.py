"""Pictures in and out: the one place that opens a picture file, and the one rule by which it becomes pixels.

Pixels are uint8, (h, w, 3) RGB unless told otherwise. The rule, for whatever Pillow reads:

* turned as the EXIF tag says, before anything looks at the size;
* 16-bit greys are scaled from 0 to 65535, floats from 0 to 1; values that this would make black or white are refused;
* what is transparent is laid on white;
* of several frames the first; CMYK, palettes and other colours as Pillow converts them, colour profiles left aside.

Maps of classes or instances are never colours: `read_indices` gives their numbers as they stand in the file.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from pocketgan.errors import DataError
from pocketgan.files import atomic_file

Mode = Literal["L", "RGB", "RGBA"]
INDEX_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L", "I;16N")
HEIC_SUFFIXES = (".heic", ".heif", ".hif")
HEIC_NEEDS = "which needs a plugin: pip install pillow-heif"
WHITE_16 = 65535
# 12 bits: a 16-bit picture with no value above it was stored in a smaller range, and would come out nearly black.
LEAST_WHITE_16 = 4095
# What Pillow only recognises, and what it hands to another program.
_NOT_READ = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PictureError(DataError):
    """A file that is no picture, or one that the rule refuses.

    Attributes:
        broken: it does not decode at all.
    """

    def __init__(self, path: Path, reason: str, broken: bool = False) -> None:
        super().__init__(f"{path} {reason}")
        self.broken = broken


@cache
def formats() -> tuple[str, ...]:
    """Pillow's names of what is read here: its own formats, and HEIF where a plugin for it is installed."""
    for plugin in ("pillow_heif", "pi_heif"):
        if importlib.util.find_spec(plugin) is not None:
            importlib.import_module(plugin).register_heif_opener()
            break
    Image.init()
    # Between this warning and Pillow's limit a picture is merely large.
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    return tuple(name for name in Image.ID if name not in _NOT_READ)


@cache
def suffixes() -> frozenset[str]:
    """Suffixes of files that are read here, in lower case, such as ".jpg"."""
    readable = formats()
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in readable)


def open_image(path: Path, most_pixels: int | None = None) -> Image.Image:
    """The picture in a file, decoded as a whole and turned as its EXIF tag says: its size is what viewers show.

    Args:
        most_pixels: a larger one is scaled down to so many pixels at most; a JPEG while it is decoded, in less memory.
    Raises:
        PictureError: it is no picture, is damaged, or has more pixels than Pillow's limit.
    """
    with _named(path), _opened(path) as image:
        if most_pixels is not None and image.width * image.height > most_pixels:
            # Pillow takes the next larger of 1/2, 1/4 and 1/8; asked for half of it, what it takes fits.
            half = math.sqrt(most_pixels / (image.width * image.height)) / 2
            image.draft(None, (max(1, int(image.width * half)), max(1, int(image.height * half))))
        image.load()
        turned = _turned(image)
        if most_pixels is not None and turned.width * turned.height > most_pixels:
            scale = math.sqrt(most_pixels / (turned.width * turned.height))
            turned = turned.resize((max(1, int(turned.width * scale)), max(1, int(turned.height * scale))))
        return turned


def count_pixels(path: Path) -> int:
    """Height times width, without decoding.

    Raises:
        PictureError: as open_image.
    """
    with _named(path), _opened(path) as image:
        return image.width * image.height


def read_image(path: Path, mode: Mode = "RGB", most_pixels: int | None = None) -> np.ndarray:
    """The pixels of a picture file by the rule above: (h, w, 3) uint8; (h, w) for L; (h, w, 4) for RGBA.

    Args:
        mode: RGBA keeps a fourth channel and lays nothing on white.
        most_pixels: see open_image.
    Raises:
        PictureError: as open_image, or its values have no known black and white.
    """
    image = open_image(path, most_pixels)
    with _named(path):
        return np.asarray(_converted(image, path, mode))


def check_values(image: Image.Image, path: Path) -> None:
    """Raises PictureError where the values of an opened picture have no known black and white."""
    _eight_bit(image, path)


def read_indices(path: Path) -> np.ndarray:
    """(h, w) whole numbers of a map of classes or instances; those of a palette image, not its colours.

    Raises:
        PictureError: as open_image, or it has colours or fractions.
    """
    image = open_image(path)
    if image.mode not in INDEX_MODES:
        raise PictureError(path, f"has colours ({image.mode}); a map is a PNG with one whole number a pixel")
    return indices(image)


def indices(image: Image.Image) -> np.ndarray:
    """(h, w) whole numbers of an opened map, whose mode is one of INDEX_MODES."""
    numbers = np.asarray(image)
    return numbers.astype(np.uint8) if numbers.dtype == bool else numbers


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write (h, w, 3) or (h, w, 4) uint8, or grey (h, w) or (h, w, 1), as PNG, the whole file or nothing."""
    with atomic_file(path) as temporary:
        _image(pixels).save(temporary, format="PNG")


def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """(h, w) or (h, w, c) uint8 -> (height, width) or (height, width, c). Bicubic, anti-aliased."""
    if pixels.shape[:2] == (height, width):
        return pixels
    resized = np.asarray(_image(pixels).resize((width, height), Image.Resampling.BICUBIC))
    return resized.reshape(height, width, *pixels.shape[2:])


def _image(pixels: np.ndarray) -> Image.Image:
    grey = pixels.ndim == 3 and pixels.shape[2] == 1
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if grey else pixels))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    # Not by its name: then Pillow maps plain TIFFs into memory, and gets the sides of turned ones wrong (13.0).
    with path.open("rb") as file, Image.open(file, formats=formats()) as image:
        yield image


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """What goes wrong with a file, in one line that names it."""
    try:
        yield
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise PictureError(path, f"is larger than the limit of {limit:,} pixels; scale it down") from error
    except MemoryError as error:
        raise PictureError(path, "does not fit into the memory; scale it down") from error
    except Exception as error:  # decoders raise whatever a broken file leads them to
        if path.suffix.lower() in HEIC_SUFFIXES and path.suffix.lower() not in suffixes():
            raise PictureError(path, f"is a HEIC picture, {HEIC_NEEDS}", broken=True) from error
        # Pillow's own words for an unknown file are no more than its name.
        why = "" if isinstance(error, UnidentifiedImageError) else f": {error}"
        raise PictureError(path, f"is not a readable image{why}", broken=True) from error


def _turned(image: Image.Image) -> Image.Image:
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a broken tag: viewers show the picture as it is stored
        return image
    return image if turn is None else image.transpose(turn)


def _converted(image: Image.Image, path: Path, mode: Mode) -> Image.Image:
    image = _eight_bit(image, path)
    if mode != "RGBA" and image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        image = white
    return image if image.mode == mode else image.convert(mode)


def _eight_bit(image: Image.Image, path: Path) -> Image.Image:
    """Greys of 16 bits and floats as 8 bits; other pictures as they are."""
    if image.mode == "F":
        values = np.asarray(image)
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):
            raise PictureError(path, f"holds floats from {low:g} to {high:g}; save it from 0 (black) to 1 (white)")
        return Image.fromarray((values * np.float32(255) + np.float32(0.5)).astype(np.uint8))
    if image.mode != "I" and not image.mode.startswith("I;"):
        return image
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > WHITE_16:
        raise PictureError(path, f"holds whole numbers from {low} to {high}; save it with 8 or 16 bits")
    if 0 < high < LEAST_WHITE_16:
        raise PictureError(
            path,
            f"holds 16-bit values of {high} at most, nearly black where {WHITE_16} is white; save it with 8 bits, or "
            "scale it",
        )
    grey = ((values.astype(np.uint32) * 255 + WHITE_16 // 2) // WHITE_16).astype(np.uint8)
    clear = image.info.get("transparency")
    return Image.fromarray(np.where(values == clear, np.uint8(255), grey) if isinstance(clear, int) else grey)
