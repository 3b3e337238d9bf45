"""What a manifest says of a tensor, and the golden files of tensors: raw, little-endian, C order."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from pocketgan.bundle.manifest import GoldenTensor, TensorSpec
from pocketgan.bundle.packing import record_file
from pocketgan.files import write_atomic


def picture_layout(shape: tuple[int, ...]) -> Literal["NCHW", "NHWC"] | None:
    """Where a batch of one holds three channels, first or last; None where it holds no picture."""
    if len(shape) != 4 or shape[0] != 1:
        return None
    return "NCHW" if shape[1] == 3 else "NHWC" if shape[3] == 3 else None


def tensor_spec(name: str, value: np.ndarray, value_range: tuple[float, float] = (-1.0, 1.0)) -> TensorSpec:
    """The contract of a tensor that looks like `value`, a picture by its shape.

    Args:
        value_range: black and white of a picture; bytes have 0 and 255.
    """
    layout = picture_layout(value.shape)
    black_to_white = (0.0, 255.0) if value.dtype == np.uint8 else value_range
    return TensorSpec.model_validate(
        {
            "name": name,
            "shape": list(value.shape),
            "layout": layout,
            "dtype": str(value.dtype),
            "value_range": black_to_white if layout else None,
            "colour_space": "RGB" if layout else None,
        }
    )


def store_tensor(folder: Path, relative: str, name: str, value: np.ndarray) -> GoldenTensor:
    """Write a golden tensor to `folder`/`relative`.

    Raises:
        StorageError: the disk is full or read-only.
    """
    write_atomic(folder / relative, np.ascontiguousarray(value, value.dtype.newbyteorder("<")).tobytes())
    return GoldenTensor.model_validate(
        {
            "name": name,
            "dtype": str(value.dtype),
            "shape": list(value.shape),
            "file": record_file(folder, relative),
        }
    )
