"""How the files of public projects name the layers of their generators, by the names that those have here.

Module names and the order of layers are facts that each project's public code tells; nothing else of it is here. The
projects are pix2pix and CycleGAN (U-Nets, ResNets), pix2pixHD, SPADE, CAT (IncRes and inception SPADE), GAN Compression
and OMGD (both: ResNets and mobile ResNets; OMGD: U-Nets); students are named as their teachers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from pocketgan.errors import ModelError
from pocketgan.training.generators import pix2pixhd_local, resnet
from pocketgan.training.generators.branches import KERNELS, branch_widths
from pocketgan.training.generators.pix2pixhd_local import LOCAL_BLOCKS
from pocketgan.training.generators.spade import STAGES, spades
from pocketgan.training.generators.spec import GeneratorSpec

if TYPE_CHECKING:
    from torch import Tensor

Names = dict[str, str]
Tensors = Mapping[str, "Tensor"]

# A width of the first layer that makes a small network, until the shapes tell the real one.
_ANY = 2


class Reading(NamedTuple):
    """What the names in a file tell.

    Attributes:
        spec: with the file's number of blocks; branches that the file lacks have width 0, other widths mean nothing.
        names: the file's names, by path of our modules.
        idle: what the names of entries begin with that the file's own network never uses.
    """

    spec: GeneratorSpec
    names: Names
    idle: tuple[str, ...] = ()


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


def _resnet_block(source: str, ours: str, tensors: Tensors) -> Names:
    """A ResNet block: pad, conv, norm, ReLU, (dropout,) pad, conv, norm."""
    second = _second_place(source, "weight", tensors)
    places = {"first.conv": 1, "first.norm": 2, "second": second, "norm": second + 1}
    return {f"{ours}.{part}": f"{source}.conv_block.{place}" for part, place in places.items()}


def _mobile_block(source: str, ours: str, tensors: Tensors) -> Names:
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


def _sequence(block: Callable[[str, str, Tensors], Names]) -> Callable[[GeneratorSpec, Tensors], Reading]:
    """One long sequence: pad, conv, norm, ReLU, then conv, norm, ReLU a stride, blocks, the strides back, pad, conv."""

    def read(spec: GeneratorSpec, tensors: Tensors) -> Reading:
        blocks = _block_count(tensors) or spec.blocks
        spec = replace(spec, blocks=blocks, widths=resnet.widths(_ANY, blocks, spec.levels))
        names, place = _body(spec, tensors, block)
        return Reading(spec, {**names, "head": f"model.{place + 1}"})

    return read


def _block_count(tensors: Iterable[str]) -> int:
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


def _local(spec: GeneratorSpec, tensors: Tensors) -> Reading:
    """pix2pixHD's enhancer: the global sequence without its head, then its own two sequences."""
    blocks = _block_count(tensors) or spec.blocks
    spec = replace(spec, blocks=blocks, widths=pix2pixhd_local.widths(_ANY, blocks, spec.levels))
    names, _ = _body(spec, tensors, _resnet_block, "inner.")
    names |= {
        "stem.conv": "model1_1.1",
        "stem.norm": "model1_1.2",
        "down.conv": "model1_1.4",
        "down.norm": "model1_1.5",
    }
    for i in range(LOCAL_BLOCKS):
        names |= _resnet_block(f"model1_2.{i}", f"blocks.{i}", tensors)
    after = LOCAL_BLOCKS
    names |= {"up.conv": f"model1_2.{after}", "up.norm": f"model1_2.{after + 1}", "head": f"model1_2.{after + 4}"}
    return Reading(spec, names)


def _unet(spec: GeneratorSpec, tensors: Tensors) -> Reading:
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


_STAGE_NAMES = {stage: stage.replace("up", "up_") for stage in STAGES} | {
    "head": "head_0",
    "middle0": "G_middle_0",
    "middle1": "G_middle_1",
}


def _spade(spec: GeneratorSpec, tensors: Tensors) -> Reading:
    """Named layers: fc, head_0, G_middle_0 and 1, up_0 to up_3, conv_img."""
    norms = {"spade0": "norm_0", "spade1": "norm_1", "spade_shortcut": "norm_s"}
    names = {"fc": "fc", "head": "conv_img"}
    for stage, theirs in _STAGE_NAMES.items():
        ours = f"stages.{stage}"
        names |= {f"{ours}.conv0": f"{theirs}.conv_0", f"{ours}.conv1": f"{theirs}.conv_1"}
        names[f"{ours}.shortcut"] = f"{theirs}.conv_s"
        for name in spades(stage):
            there, here = f"{theirs}.{norms[name]}", f"{ours}.{name}"
            names[f"{here}.norm"] = f"{there}.param_free_norm"
            names[f"{here}.modulation.shared"] = f"{there}.mlp_shared.0"
            names[f"{here}.modulation.scale"] = f"{there}.mlp_gamma"
            names[f"{here}.modulation.shift"] = f"{there}.mlp_beta"
    return Reading(spec, names)


@dataclass(frozen=True)
class _BranchPlaces:
    """Where the layers of CAT's two kinds of branches stand inside a branch, by our paths.

    `sized` is the layer whose kernel tells which of the branches it is.
    """

    folder: str
    sized: str
    places: Names


_INCRES_BRANCHES = {
    "plain": _BranchPlaces("res_ops", "first.conv", {"first.conv": "1.0", "first.norm": "1.1", "last": "4"}),
    "depthwise": _BranchPlaces(
        "dw_ops",
        "depthwise.conv",
        {
            "first.conv": "0.0", "first.norm": "0.1", "depthwise.conv": "2.0", "depthwise.norm": "2.1", "last": "4",
        },
    ),
}  # fmt: skip
_SPADE_BRANCHES = {
    "plain": _BranchPlaces("res_ops", "first.conv", {"first.conv": "0.conv", "first.norm": "0.norm", "last": "1"}),
    "depthwise": _BranchPlaces(
        "dw_ops",
        "depthwise.conv",
        {
            "first.conv": "0.conv", "first.norm": "0.norm",
            "depthwise.conv": "1.conv", "depthwise.norm": "1.norm", "last": "2",
        },
    ),
}  # fmt: skip
# In a block the last convolution is wrapped as well.
_STAGE_BRANCHES = {
    kind: replace(places, places={**places.places, "last": f"{places.places['last']}.conv"})
    for kind, places in _SPADE_BRANCHES.items()
}


def _branches(source: str, ours: str, kinds: Mapping[str, _BranchPlaces], tensors: Tensors) -> dict[str, Names]:
    """By name of the branches that the file has at `source`, the names of their layers.

    A branch that was pruned away is not there, and those behind it move up: the kernels tell which are left.
    """
    found: dict[str, Names] = {}
    for kind, branch in kinds.items():
        sized = re.escape(branch.places[branch.sized])
        pattern = re.compile(rf"({re.escape(source)}\.{branch.folder}\.\d+)\.{sized}\.weight")
        for name, tensor in tensors.items():
            match = pattern.fullmatch(name)
            if match is None:
                continue
            kernel = tensor.shape[-1] if tensor.dim() == 4 else 0
            if kernel not in KERNELS:
                raise ModelError(
                    f"{name} has the shape {'x'.join(map(str, tensor.shape))}; branches here have kernels of "
                    f"{', '.join(map(str, KERNELS))}: give such a network as a function of your own"
                )
            branch_name = f"{kind}{kernel}"
            found[branch_name] = {
                f"{ours}.{branch_name}.{part}": f"{match[1]}.{place}" for part, place in branch.places.items()
            }
    return found


def _present(width: str, found: Iterable[str]) -> dict[str, int]:
    """1 for the branches that are there (their widths come from the shapes), 0 for those that are gone."""
    alive = {f"{width}.{branch}" for branch in found}
    return {name: int(name in alive) for name in branch_widths(width)}


def _joined(found: Mapping[str, Names]) -> Names:
    return {path: name for names in found.values() for path, name in names.items()}


def _incres(spec: GeneratorSpec, tensors: Tensors) -> Reading:
    """CAT's three sequences: down_sampling, features (one block each), up_sampling."""
    numbers = {int(match[1]) for name in tensors if (match := re.match(r"features\.(\d+)\.", name))}
    spec = replace(spec, blocks=max(numbers) + 1 if numbers else spec.blocks)
    names = {"stem.conv": "down_sampling.1", "stem.norm": "down_sampling.2"}
    for i in (1, 2):
        names |= {f"down{i}.conv": f"down_sampling.{1 + 3 * i}", f"down{i}.norm": f"down_sampling.{2 + 3 * i}"}
        names |= {f"up{i}.conv": f"up_sampling.{3 * i - 3}", f"up{i}.norm": f"up_sampling.{3 * i - 2}"}
    names["head"] = "up_sampling.7"
    widths = {name: spec.widths[name] for name in ("stem", "down1", "down2", "up1", "up2")}
    idle = []
    for i in range(spec.blocks):
        found = _branches(f"features.{i}", f"blocks.{i}.branches", _INCRES_BRANCHES, tensors)
        names |= {**_joined(found), f"blocks.{i}.norm": f"features.{i}.pw_bn"}
        widths |= _present(f"block{i + 1}", found)
        if not found:
            idle.append(f"features.{i}.pw_bn.")
    return Reading(replace(spec, widths=widths), names, tuple(idle))


def _incres_spade(spec: GeneratorSpec, tensors: Tensors) -> Reading:
    """SPADE's named layers, with CAT's branches in each and in the SPADE of each."""
    names = {"fc": "fc", "fc_norm": "fc_norm", "head": "conv_img"}
    widths = dict(spec.widths)
    idle = []
    for stage, theirs in _STAGE_NAMES.items():
        ours, spade = f"stages.{stage}", f"{theirs}.spade"
        found = _branches(theirs, f"{ours}.branches", _STAGE_BRANCHES, tensors)
        inside = _branches(spade, f"{ours}.spade.modulation.branches", _SPADE_BRANCHES, tensors)
        names |= {**_joined(found), **_joined(inside), f"{ours}.spade.norm": f"{spade}.param_free_norm"}
        names |= {f"{ours}.shortcut_norm": f"{theirs}.shortcut.0", f"{ours}.shortcut": f"{theirs}.shortcut.1.conv"}
        widths |= {**_present(stage, found), **_present(f"{stage}.spade", inside)}
        if not found:
            idle.append(f"{spade}.")
    return Reading(replace(spec, widths=widths), names, tuple(idle))


_RESNET = Layout(_sequence(_resnet_block), "stem.conv", "head", "stem.norm")
_UNET = Layout(_unet, "downs.0.conv", "head", "downs.1.norm")
LAYOUTS = {
    "resnet6": _RESNET,
    "resnet9": _RESNET,
    "unet128": _UNET,
    "unet256": _UNET,
    "mobile-resnet9": Layout(
        _sequence(_mobile_block), "stem.conv", "head", "stem.norm", inner_norm="blocks.0.first.depthwise_norm"
    ),
    "pix2pixhd": _RESNET,
    "pix2pixhd-local": Layout(_local, "stem.conv", "head", "stem.norm"),
    "gaugan": Layout(_spade, "fc", "head", "stages.head.spade0.norm", bias_tells=False),
    "incres9": Layout(_incres, "stem.conv", "head", "stem.norm", old_statistics=False),
    "incres-spade": Layout(_incres_spade, "fc", "head", "fc_norm", bias_tells=False),
}


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
    blocks = _block_count(tensors)
    if "model.16.conv_block.1.weight" in tensors and "model.10.conv_block.1.weight" not in tensors:
        return "pix2pixhd"
    return {6: "resnet6", 9: "resnet9"}.get(blocks)
