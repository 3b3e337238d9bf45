"""How the files of public projects name the layers of their generators, by the names that those have here.

Module names and the order of layers are facts that each project's public code tells; nothing else of it is here. The
projects are pix2pix and CycleGAN (U-Nets, ResNets), pix2pixHD, SPADE, CAT (IncRes and inception SPADE), GAN Compression
and OMGD (both: ResNets and mobile ResNets; OMGD: U-Nets); students are named as their teachers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pocketgan.training.generators.spec import GeneratorSpec
from pocketgan.training.layouts import cat, pix2pix, spade
from pocketgan.training.layouts.pix2pix import member_widths
from pocketgan.training.layouts.reading import Names, Reading, Tensors

__all__ = ["LAYOUTS", "Layout", "Names", "Reading", "laid_out_as", "member_widths", "strange"]


@dataclass(frozen=True)
class Layout:
    """How a project names its layers.

    Attributes:
        read: from a spec of the family and the file's tensors to what the names tell.
        first, last: our paths of the layers that read the image and write it.
        norm: our path of a norm that tells the kind of all.
        inner_norm: our path of a norm that some projects keep of another kind; it must be of the same.
        bias_tells: whether convolutions have a bias in front of instance norms alone.
        old_statistics: whether instance norms without scales may have left statistics in the file, which they do not
            use (pix2pix's project drops them too).
    """

    read: Callable[[GeneratorSpec, Tensors], Reading]
    first: str
    last: str
    norm: str
    inner_norm: str = ""
    bias_tells: bool = True
    old_statistics: bool = True


_RESNET = Layout(pix2pix.sequence(pix2pix.resnet_block), "stem.conv", "head", "stem.norm")
_UNET = Layout(pix2pix.unet, "downs.0.conv", "head", "downs.1.norm")
LAYOUTS = {
    "resnet6": _RESNET,
    "resnet9": _RESNET,
    "unet128": _UNET,
    "unet256": _UNET,
    "mobile-resnet9": Layout(
        pix2pix.sequence(pix2pix.mobile_block),
        "stem.conv",
        "head",
        "stem.norm",
        inner_norm="blocks.0.first.depthwise_norm",
    ),
    "pix2pixhd": _RESNET,
    "pix2pixhd-local": Layout(pix2pix.local, "stem.conv", "head", "stem.norm"),
    "gaugan": Layout(spade.spade, "fc", "head", "stages.head.spade0.norm", bias_tells=False),
    "incres9": Layout(cat.incres, "stem.conv", "head", "stem.norm", old_statistics=False),
    "incres-spade": Layout(cat.incres_spade, "fc", "head", "fc_norm", bias_tells=False),
}

_OWN = "no generator here is of that form: give it as a function of your own, package.module:function"
# Entries that only networks have which no family here can express, and what those are.
_STRANGE = {
    r".*\.conv_block\.12\.weight": "one of OMGD's deep teachers, with expansion blocks behind every stride",
    r".*\.mlp_(gamma|beta)\.conv\.0\.weight": "GAN Compression's mobile SPADE, whose modulations are separable",
    r"up_4\..*": "a SPADE generator of seven doublings (`most`)",
}


def strange(tensors: Iterable[str]) -> str | None:
    """What a file holds, and what to do with it, where no family here can express it."""
    for name in tensors:
        for pattern, what in _STRANGE.items():
            if re.fullmatch(pattern, name):
                return f"{what} ({name}); {_OWN}"
    return None


def laid_out_as(tensors: Tensors) -> str | None:
    """The family among LAYOUTS whose names a file has; None where it is of none."""
    if "down_sampling.1.weight" in tensors:
        return "incres9"
    if "fc_norm.weight" in tensors:
        return "incres-spade"
    if "head_0.norm_0.mlp_shared.0.weight" in tensors:
        return "gaugan"
    if "model1_1.1.weight" in tensors:
        return "pix2pixhd-local"
    if "model.model.0.weight" in tensors:
        depth = max(name.count("model.") for name in tensors)
        # model. once for the whole, once for every level
        return {8: "unet128", 9: "unet256"}.get(depth)
    if any(".conv_block.1.conv.0." in name for name in tensors):
        return "mobile-resnet9"
    blocks = pix2pix.block_count(tensors)
    if "model.16.conv_block.1.weight" in tensors and "model.10.conv_block.1.weight" not in tensors:
        return "pix2pixhd"
    return {6: "resnet6", 9: "resnet9"}.get(blocks)
