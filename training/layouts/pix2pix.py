"""The sequences of pix2pix, CycleGAN and pix2pixHD, which GAN Compression and OMGD keep: (mobile) ResNets, U-Nets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from pocketgan.errors import ModelError
from pocketgan.training.generators import pix2pixhd_local, resnet
from pocketgan.training.generators.pix2pixhd_local import LOCAL_BLOCKS
from pocketgan.training.generators.spec import GeneratorSpec
from pocketgan.training.layouts.reading import Names, Reading, Tensors

# A width of the first layer that makes a small network, until the shapes tell the real one.
_ANY = 2


def resnet_block(source: str, ours: str, tensors: Tensors) -> Names:
    """A ResNet block: pad, conv, norm, ReLU, (dropout,) pad, conv, norm."""
    second = _second_place(source, "weight", tensors)
    places = {"first.conv": 1, "first.norm": 2, "second": second, "norm": second + 1}
    return {f"{ours}.{part}": f"{source}.conv_block.{place}" for part, place in places.items()}


def mobile_block(source: str, ours: str, tensors: Tensors) -> Names:
    """The same with separable convolutions: depthwise, norm, 1x1 in a sequence of their own."""
    second = _second_place(source, "conv.0.weight", tensors)
    names: Names = {}
    for part, place in (("first", 1), ("second", second)):
        inner = f"{source}.conv_block.{place}.conv"
        names |= {f"{ours}.{part}.depthwise": f"{inner}.0", f"{ours}.{part}.depthwise_norm": f"{inner}.1"}
        names |= {f"{ours}.{part}.pointwise": f"{inner}.2", f"{ours}.{part}.norm": f"{source}.conv_block.{place + 1}"}
    return names


def _second_place(source: str, entry: str, tensors: Tensors) -> int:
    """Where a block's second convolution stands: 6 with dropout between both, 5 without."""
    block = f"{source}.conv_block"
    return 6 if f"{block}.6.{entry}" in tensors and f"{block}.5.{entry}" not in tensors else 5


def sequence(block: Callable[[str, str, Tensors], Names]) -> Callable[[GeneratorSpec, Tensors], Reading]:
    """One long sequence: pad, conv, norm, ReLU, then conv, norm, ReLU a stride, blocks, the strides back, pad, conv."""

    def read(spec: GeneratorSpec, tensors: Tensors) -> Reading:
        blocks = block_count(tensors) or spec.blocks
        spec = replace(spec, blocks=blocks, widths=resnet.widths(_ANY, blocks, spec.levels))
        names, place = _body(spec, tensors, block)
        return Reading(spec, {**names, "head": f"model.{place + 1}"})

    return read


def block_count(tensors: Iterable[str]) -> int:
    return len({match[1] for name in tensors if (match := re.match(r"model\.(\d+)\.conv_block\.", name))})


def _body(
    spec: GeneratorSpec, tensors: Tensors, block: Callable[[str, str, Tensors], Names], inner: str = ""
) -> tuple[Names, int]:
    """The sequence in front of the last pad, and the place of that."""
    names = {f"{inner}stem.conv": "model.1", f"{inner}stem.norm": "model.2"}
    place = 4
    for i in range(1, spec.levels + 1):
        names |= {f"{inner}down{i}.conv": f"model.{place}", f"{inner}down{i}.norm": f"model.{place + 1}"}
        place += 3
    for i in range(spec.blocks):
        names |= block(f"model.{place + i}", f"{inner}blocks.{i}", tensors)
    place += spec.blocks
    for i in range(1, spec.levels + 1):
        names |= {f"{inner}up{i}.conv": f"model.{place}", f"{inner}up{i}.norm": f"model.{place + 1}"}
        place += 3
    return names, place


def local(spec: GeneratorSpec, tensors: Tensors) -> Reading:
    """pix2pixHD's enhancer: the global sequence without its head, then its own two sequences."""
    blocks = block_count(tensors) or spec.blocks
    spec = replace(spec, blocks=blocks, widths=pix2pixhd_local.widths(_ANY, blocks, spec.levels))
    names, _ = _body(spec, tensors, resnet_block, "inner.")
    names |= {
        "stem.conv": "model1_1.1",
        "stem.norm": "model1_1.2",
        "down.conv": "model1_1.4",
        "down.norm": "model1_1.5",
    }
    for i in range(LOCAL_BLOCKS):
        names |= resnet_block(f"model1_2.{i}", f"blocks.{i}", tensors)
    after = LOCAL_BLOCKS
    names |= {"up.conv": f"model1_2.{after}", "up.norm": f"model1_2.{after + 1}", "head": f"model1_2.{after + 4}"}
    return Reading(spec, names)


def unet(spec: GeneratorSpec, tensors: Tensors) -> Reading:
    """Blocks inside blocks: ReLU, conv, norm, the deeper block, ReLU, transposed conv, norm; fewer at both ends."""
    names = {"downs.0.conv": "model.model.0", "head": "model.model.3"}
    path = "model.model.1"
    for level in range(2, spec.levels + 1):
        innermost = level == spec.levels
        up = spec.levels - level
        names[f"downs.{level - 1}.conv"] = f"{path}.model.1"
        if not innermost:
            names[f"downs.{level - 1}.norm"] = f"{path}.model.2"
        place = 3 if innermost else 5
        names |= {f"ups.{up}.conv": f"{path}.model.{place}", f"ups.{up}.norm": f"{path}.model.{place + 1}"}
        path = f"{path}.model.3"
    return Reading(spec, names)


def member_widths(spec: GeneratorSpec, channels: Sequence[int]) -> dict[str, int]:
    """The widths of a member of GAN Compression's mobile ResNet supernet.

    Args:
        spec: of the whole supernet.
        channels: as that project writes them: of the stem, both strides, the blocks (one number, or one for each third
            of them) and both strides back; each counts a quarter of the residual width, or as much at that place.
    Raises:
        ModelError: there are more or fewer numbers, or a member would be wider than the supernet.
    """
    if spec.family != "mobile_resnet" or len(channels) not in (6, 8) or (len(channels) == 8 and spec.blocks % 3):
        raise ModelError(
            "--channels are those of a mobile ResNet supernet's member: stem, two strides, one number for all blocks "
            "or three for their thirds, two strides back, such as 32_32_48_32_48_48_16_16"
        )
    stem, down1, down2, *inner, up1, up2 = channels
    each = spec.blocks // len(inner)
    widths = {"stem": stem, "down1": 2 * down1, "down2": 4 * down2, "up1": 2 * up1, "up2": up2}
    widths |= {f"block{i + 1}": 4 * inner[i // each] for i in range(spec.blocks)}
    if wider := [
        f"{name} {width} (at most {spec.widths[name]})"
        for name, width in widths.items()
        if not 1 <= width <= spec.widths[name]
    ]:
        raise ModelError(f"the supernet has no such channels: {', '.join(wider[:3])}")
    return widths
