"""From pictures to tensors and back, as an app does it around every inference. Pictures are uint8 HWC RGB."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Contract(Protocol):
    """The part of a tensor's contract that tells how a picture is laid out in it."""

    @property
    def layout(self) -> str | None: ...
    @property
    def dtype(self) -> str: ...
    @property
    def value_range(self) -> tuple[float, float] | None: ...
    @property
    def colour_space(self) -> str | None: ...


def is_picture(contract: Contract) -> bool:
    """Whether the tensor holds an RGB picture."""
    return contract.layout is not None and contract.colour_space == "RGB"


def needs_conversion(contract: Contract) -> bool:
    """Whether an app converts pixels itself: a float32 NCHW RGB tensor. Pixel entries take the picture as it is."""
    return is_picture(contract) and contract.layout == "NCHW" and contract.dtype == "float32"


def to_tensor(picture: np.ndarray, contract: Contract) -> np.ndarray:
    """(h, w, 3) uint8 -> a batch of one in the contract's layout, dtype and value range (black and white)."""
    values = picture[None] if contract.layout == "NHWC" else picture.transpose(2, 0, 1)[None]
    if contract.dtype == "uint8":
        return np.ascontiguousarray(values)
    low, high = contract.value_range or (0.0, 1.0)
    tensor = values.astype(np.float32, order="C")
    tensor *= np.float32((high - low) / 255)
    tensor += np.float32(low)
    return tensor if contract.dtype == "float32" else tensor.astype(contract.dtype)


def to_picture(tensor: np.ndarray, contract: Contract) -> np.ndarray:
    """A batch of one in the contract's layout -> (h, w, 3) uint8, values outside black and white clipped."""
    values = tensor[0] if contract.layout == "NHWC" else tensor[0].transpose(1, 2, 0)
    if values.dtype == np.uint8:
        return np.array(values, order="C")  # a copy: runtimes write the next output to the same place
    low, high = contract.value_range or (0.0, 1.0)
    scaled = values.astype(np.float32, order="C")
    scaled -= np.float32(low)
    scaled *= np.float32(255 / (high - low))
    scaled += np.float32(0.5)
    np.clip(scaled, 0, 255, out=scaled)
    return scaled.astype(np.uint8)
