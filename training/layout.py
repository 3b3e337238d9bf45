"""How a training's tensors lie in memory, and who computes its layers: by device and processor, never by timing.

Both are the same in every run on one machine, so that a resumed training stays bit-exact.
"""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager, nullcontext

import torch

from pocketgan.processor import has_avx512
from pocketgan.training.bfloat16 import PicturesInFloat32
from pocketgan.training.channels_last import ChannelsLastLayers
from pocketgan.training.convolutions import PlainConvolutions


def memory_format(device: torch.device) -> torch.memory_format:
    """Channels last on a GPU, whose tensor cores read it so, and on processors with AVX-512, in every precision.

    On AVX2 alone oneDNN's weight gradients take up to seven times as long in channels last (AMD Zen 3).
    """
    last = device.type == "cuda" or (device.type == "cpu" and has_avx512())
    return torch.channels_last if last else torch.contiguous_format


def faster_layers(
    device: torch.device, layout: torch.memory_format, bf16: bool = False
) -> AbstractContextManager[object]:
    """Within the context layers that profit are computed otherwise: on a CPU with NNPACK, and of a picture in bf16.

    The results depend on shapes, precision and number of threads alone.
    """
    # Measured on x86-64 only.
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    if device.type == "cpu" and x86 and torch._nnpack_available():
        if layout == torch.channels_last:
            return ChannelsLastLayers()
        if not bf16:
            return PlainConvolutions()
    return PicturesInFloat32() if bf16 else nullcontext()
