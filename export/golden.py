"""Golden tensors: inputs, and what the source module makes of them in float32. Raw little-endian C-order files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from pocketgan.errors import ExportError
from pocketgan.export.targets.target import INPUT, OUTPUT
from pocketgan.manifest import GoldenSet, GoldenTensor, TensorSpec

if TYPE_CHECKING:
    from torch import nn

# The one contract that targets have so far: float32 NCHW in [-1, 1].
CONTRACT = "nchw-float32"
SEED = 20_240_229
# Red, green, blue and a mask; a label map has one channel a class.
MOST_PICTURE_CHANNELS = 4


@dataclass(frozen=True)
class Golden:
    """`inputs` (n, 1, c, h, w) and `outputs` (n, 1, c', h', w'), float32 in [-1, 1]; each image is a batch of one."""

    inputs: np.ndarray
    outputs: np.ndarray

    @property
    def digest(self) -> str:
        """SHA-256 of all values and shapes."""
        digest = hashlib.sha256()
        for array in (self.inputs, self.outputs):
            digest.update(f"{array.shape}".encode())
            digest.update(np.ascontiguousarray(array, "<f4").tobytes())
        return digest.hexdigest()

    def specs(self) -> tuple[TensorSpec, TensorSpec]:
        """Contract of the input and of the output."""
        return _spec(INPUT, self.inputs.shape[1:]), _spec(OUTPUT, self.outputs.shape[1:])


def golden_outputs(module: nn.Module, inputs: np.ndarray) -> Golden:
    """What `module`, put into eval mode on the CPU in float32 as a copy, gives for `inputs` (n, c, h, w).

    Raises:
        ExportError: the module does not take them, or gives something else than one batch of one image each.
    """
    import copy

    import torch

    from pocketgan.export.unsupported import forward_failure

    copied = copy.deepcopy(module).cpu().float().eval()
    batches = np.ascontiguousarray(inputs, np.float32)[:, None]
    outputs = []
    for batch in batches:
        try:
            with torch.no_grad():
                output = copied(torch.from_numpy(batch.copy()))
        except Exception as error:  # whatever the module's own code raises
            shape = "x".join(map(str, batch.shape))
            why = forward_failure(error, copied)
            raise ExportError(f"{type(module).__name__} does not take an input of {shape}: {why}") from error
        if not isinstance(output, torch.Tensor) or output.dim() != 4 or output.shape[0] != 1:
            found = "x".join(map(str, output.shape)) if isinstance(output, torch.Tensor) else type(output).__name__
            raise ExportError(
                f"{type(module).__name__} gives {found}; one image (1, channels, height, width) was expected"
            )
        outputs.append(output.numpy())
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
    levels = np.clip(np.round((images / 2 + 1) * 127.5), 0, 255)
    return (levels / 127.5 - 1).astype(np.float32)


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
    from pocketgan.bundle import record_file
    from pocketgan.files import write_atomic

    records = []
    for name, array in ((INPUT, golden.inputs[0]), (OUTPUT, golden.outputs[0])):
        relative = f"golden/{CONTRACT}/{name}.bin"
        write_atomic(folder / relative, np.ascontiguousarray(array, "<f4").tobytes())
        shape = [int(size) for size in array.shape]
        records.append(GoldenTensor(name=name, dtype="float32", shape=shape, file=record_file(folder, relative)))
    return GoldenSet(id=CONTRACT, inputs=records[:1], outputs=records[1:])


def _spec(name: str, shape: tuple[int, ...]) -> TensorSpec:
    colour_space: Literal["RGB"] | None = "RGB" if shape[1] == 3 else None
    value_range = (-1.0, 1.0) if shape[1] <= MOST_PICTURE_CHANNELS else (0.0, 1.0)
    sizes = [int(size) for size in shape]
    return TensorSpec(
        name=name, shape=sizes, layout="NCHW", dtype="float32", value_range=value_range, colour_space=colour_space
    )
