"""Golden tensors: inputs, and what the source module makes of them in float32. Raw little-endian C-order files.

There are two contracts of what goes in and comes out of an exported file: a tensor, or the pixels of a picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from pocketgan.bundle.manifest import GoldenSet, TensorSpec
from pocketgan.bundle.tensors import store_tensor
from pocketgan.errors import ExportError
from pocketgan.export.targets.target import INPUT, OUTPUT
from pocketgan.targets import IO

if TYPE_CHECKING:
    from torch import nn

_SETS = {"tensor": "nchw-float32", "image": "nhwc-uint8"}
SEED = 20_240_229
# Red, green, blue and a mask; a label map has one channel a class.
MOST_PICTURE_CHANNELS = 4


def check_contracts(io: Sequence[str]) -> None:
    """Raises ExportError where one is no contract."""
    if not io or not set(io) <= set(IO):
        raise ExportError(f"--io is {' or '.join(IO)}, or both with a comma between, not {','.join(io)!r}")


@dataclass(frozen=True)
class Golden:
    """What files take and give, `n` times.

    Attributes:
        io: "tensor": `inputs` (n, 1, c, h, w) and `outputs` (n, 1, c', h', w'), float32 in [-1, 1]. "image": `inputs`
            (n, 1, h, w, 3) uint8, and `outputs` (n, 1, h', w', 3) float32 in [0, 255], not rounded.
    """

    inputs: np.ndarray
    outputs: np.ndarray
    io: str = "tensor"

    @property
    def digest(self) -> str:
        """SHA-256 of all values and shapes."""
        digest = hashlib.sha256()
        for array in (self.inputs, self.outputs):
            digest.update(f"{array.shape}".encode())
            digest.update(np.ascontiguousarray(array, "<f4").tobytes())
        return digest.hexdigest()

    @property
    def id(self) -> str:
        """The golden set's name in the manifest."""
        return _SETS[self.io]

    @property
    def peak(self) -> float:
        """From black to white."""
        return 255.0 if self.io == "image" else 2.0

    def to(self, io: str) -> Golden:
        """The same in another contract; inputs lie on the 256 levels already (see `on_levels`).

        Raises:
            ExportError: the network does not turn RGB into RGB.
        """
        if io == self.io:
            return self
        assert io == "image"
        channels = self.inputs.shape[2], self.outputs.shape[2]
        if channels != (3, 3):
            raise ExportError(
                f"--io image is for networks from RGB to RGB; this one goes from {channels[0]} channels "
                f"to {channels[1]}"
            )
        levels = np.clip((self.outputs + 1) * np.float32(127.5), 0, 255)
        return Golden(pixels(self.inputs), np.ascontiguousarray(levels.transpose(0, 1, 3, 4, 2)), "image")

    def specs(self) -> tuple[TensorSpec, TensorSpec]:
        """Contract of the input and of the output."""
        return _spec(INPUT, self.inputs.shape[1:], self.io), _spec(OUTPUT, self.outputs.shape[1:], self.io)


def pixels(images: np.ndarray) -> np.ndarray:
    """(..., 3, h, w) float32 in [-1, 1] -> (..., h, w, 3) uint8, rounded."""
    return np.ascontiguousarray(np.moveaxis(_levels(images).astype(np.uint8), -3, -1))


def on_levels(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] on the nearest of the 256 levels that pixels have."""
    return (_levels(images) / 127.5 - 1).astype(np.float32)


def _levels(images: np.ndarray) -> np.ndarray:
    return np.clip(np.round((images.astype(np.float64) + 1) * 127.5), 0, 255)


def golden_outputs(module: nn.Module, inputs: np.ndarray) -> Golden:
    """What `module`, put into eval mode on the CPU in float32 as a copy, gives for `inputs` (n, c, h, w).

    Raises:
        ExportError: the module does not take them, gives something else than one batch of one image each, or is random.
    """
    import torch

    from pocketgan.export.randomness import must_be_repeatable
    from pocketgan.export.tracing import forward_failure
    from pocketgan.training.generators.copying import copied_network

    copied = copied_network(module).cpu().float().eval()
    batches = np.ascontiguousarray(inputs, np.float32)[:, None]
    outputs: list[np.ndarray] = []

    def run(batch: np.ndarray) -> torch.Tensor:
        # A copy each time: a network may change what it is given.
        with torch.no_grad():
            output: torch.Tensor = copied(torch.from_numpy(batch.copy()))
        return output

    for batch in batches:
        try:
            output = run(batch)
        except Exception as error:  # whatever the module's own code raises
            shape = "x".join(map(str, batch.shape))
            why = forward_failure(error, copied)
            raise ExportError(f"{type(module).__name__} does not take an input of {shape}: {why}") from error
        if not isinstance(output, torch.Tensor) or output.dim() != 4 or output.shape[0] != 1:
            shape_made = "x".join(map(str, output.shape)) if isinstance(output, torch.Tensor) else type(output).__name__
            raise ExportError(
                f"{type(module).__name__} gives {shape_made}; one image (1, channels, height, width) was expected"
            )
        if not torch.isfinite(output).all():
            raise ExportError(
                f"{type(module).__name__} itself gives values that are not finite numbers, of inputs in [-1, 1]: are "
                "its weights finite?"
            )
        outputs.append(output.numpy())
    must_be_repeatable(copied, lambda: run(batches[0]), torch.from_numpy(outputs[0]))
    return Golden(batches, np.stack(outputs))


def natural_images(channels: int, height: int, width: int, count: int = 1) -> np.ndarray:
    """Seeded stand-ins for photos, (count, channels, height, width) float32 on the 256 levels of [-1, 1].

    Their spectrum falls steeply with the frequency, as that of photos does, so that they exercise a network as photos
    do and white noise does not.
    """
    random = np.random.default_rng(SEED)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = 1.0
    noise = np.fft.rfft2(random.standard_normal((count, channels, height, width))) / frequency**1.5
    noise[..., 0, 0] = 0
    images = np.fft.irfft2(noise, s=(height, width))
    images /= images.std(axis=(-2, -1), keepdims=True)
    # Two standard deviations reach black and white; 8-bit levels make the values the same with every FFT library.
    return on_levels(images / 2)


def label_maps(channels: int, height: int, width: int) -> np.ndarray:
    """A seeded stand-in for a label map, (1, channels, height, width) float32: one channel is 1, all others 0."""
    strongest = natural_images(channels, height, width)[0].argmax(0)
    return (strongest == np.arange(channels)[:, None, None])[None].astype(np.float32)


def seeded_inputs(channels: int, height: int, width: int) -> np.ndarray:
    """One input, (1, channels, height, width): a stand-in for a photo, or for a label map where there are more channels
    than any picture has."""
    return (natural_images if channels <= MOST_PICTURE_CHANNELS else label_maps)(channels, height, width)


def write_golden(folder: Path, golden: Golden) -> GoldenSet:
    """Write the first input and its output below `folder`/golden, and return the manifest's entry for them.

    Raises:
        StorageError: the disk is full or read-only.
    """
    records = [
        store_tensor(folder, f"golden/{golden.id}/{name}.bin", name, array)
        for name, array in ((INPUT, golden.inputs[0]), (OUTPUT, golden.outputs[0]))
    ]
    return GoldenSet(id=golden.id, inputs=records[:1], outputs=records[1:])


def _spec(name: str, shape: tuple[int, ...], io: str) -> TensorSpec:
    sizes = [int(size) for size in shape]
    if io == "image":
        return TensorSpec(
            name=name, shape=sizes, layout="NHWC", dtype="uint8", value_range=(0.0, 255.0), colour_space="RGB"
        )
    colour_space: Literal["RGB"] | None = "RGB" if shape[1] == 3 else None
    value_range = (-1.0, 1.0) if shape[1] <= MOST_PICTURE_CHANNELS else (0.0, 1.0)
    return TensorSpec(
        name=name, shape=sizes, layout="NCHW", dtype="float32", value_range=value_range, colour_space=colour_space
    )
