"""Generators by name, and the way from a spec to a network."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING

from pocketgan.errors import ModelError
from pocketgan.training.generators.extras import check_extras, without_extras
from pocketgan.training.generators.spec import MIDDLE, NORMS, GeneratorSpec, Layer, Norm, TransformerPlace

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "NAMES", "GeneratorSpec", "Layer", "build", "check", "extra_parts", "extra_places", "followers", "grid", "layers",
    "narrowed", "prunable", "scales", "skeleton", "smallest_norm", "spec_by_name", "takes_dropout", "units",
    "use_dropout", "vanishing",
]  # fmt: skip


@dataclass(frozen=True)
class _Preset:
    """What a name stands for: family, norm, depth, and the paper's width and input.

    Attributes:
        times_ngf: widths that are other multiples of ngf than the family's.
    """

    family: str
    norm: Norm
    blocks: int = 9
    levels: int = 2
    ngf: int = 64
    channels: int = 3
    height: int = 256
    width: int = 256
    times_ngf: Mapping[str, int] = field(default_factory=dict)


# Cityscapes has 35 classes; the 36th channel is the edges between instances.
_CITYSCAPES = 36
_PRESETS = {
    "resnet6": _Preset("resnet", "instance", blocks=6),
    "resnet9": _Preset("resnet", "instance"),
    "resnet9-bn": _Preset("resnet", "batch"),
    "unet128": _Preset("unet", "batch", blocks=0, levels=7, height=128, width=128),
    "unet256": _Preset("unet", "batch", blocks=0, levels=8),
    "mobile-resnet9": _Preset("mobile_resnet", "instance"),
    "pix2pixhd": _Preset("resnet", "instance", levels=4, channels=_CITYSCAPES, height=512, width=1024),
    "pix2pixhd-local": _Preset(
        "pix2pixhd_local", "instance", levels=4, ngf=32, channels=_CITYSCAPES, height=1024, width=2048
    ),
    "gaugan": _Preset("spade", "batch-plain", blocks=0, levels=6, channels=_CITYSCAPES, height=256, width=512),
    "incres9": _Preset("incres", "batch"),
    "incres-spade": _Preset("incres_spade", "batch", blocks=0, levels=6, channels=_CITYSCAPES, height=256, width=512),
    "e2gan": _Preset("e2gan", "batch", blocks=3, levels=2),
    # Narrow where pictures are large, since a frame's time lies there (docs/generators.md).
    "e2gan-mobile": _Preset(
        "e2gan", "batch", blocks=3, levels=2, ngf=16,
        times_ngf={**dict.fromkeys(("down2", "us", "block1", "block2", "block3"), 6), "tb": 12},
    ),
}  # fmt: skip
NAMES = tuple(_PRESETS)

# What the names of a family's widths held in an earlier form and hold no more, and what to say of such a network.
_EARLIER = {
    "incres_spade": (
        ".spade_shortcut.",
        "this is the earlier form of incres-spade, which is not CAT's: train again, or use the pocketgan that wrote it",
    ),
    "e2gan": (
        "transformer",
        "this is the earlier form of e2gan, with transposed convolutions, which LoRA cannot adapt: train again, or use "
        "the pocketgan that wrote it",
    ),
}


def spec_by_name(
    name: str,
    *,
    ngf: int | None = None,
    norm: Norm | None = None,
    height: int | None = None,
    width: int | None = None,
    input_channels: int | None = None,
    output_channels: int = 3,
    transformer_after: TransformerPlace = MIDDLE,
) -> GeneratorSpec:
    """The unpruned spec that a name stands for, at the paper's size unless told otherwise.

    Args:
        transformer_after: of an e2gan alone.
    Raises:
        ModelError: the name is unknown or a width is below 1.
    """
    if name not in _PRESETS:
        raise ModelError(f"no generator is called {name!r}; there are {', '.join(NAMES)}")
    preset = _PRESETS[name]
    ngf = preset.ngf if ngf is None else ngf
    if ngf < 2:
        raise ModelError(f"--ngf is the number of channels of the first layer, at least 2, not {ngf}")
    other_widths = {width: times * ngf for width, times in preset.times_ngf.items()}
    return GeneratorSpec(
        preset.family,
        {**_family(preset.family).widths(ngf, preset.blocks, preset.levels), **other_widths},
        norm=norm or preset.norm,
        blocks=preset.blocks,
        levels=preset.levels,
        input_channels=input_channels or preset.channels,
        output_channels=output_channels,
        height=height or preset.height,
        width=width or preset.width,
        transformer_after=transformer_after,
    )


def grid(spec: GeneratorSpec) -> tuple[int, int]:
    """What the network's height and width must be a multiple of, and their least, in pixels."""
    return _family(spec.family).grid(spec)


def extra_places(spec: GeneratorSpec) -> dict[str, str]:
    """Layers that extra residual blocks may follow (`extras`), each with the width that such blocks are on.

    Empty of a family that takes none.
    """
    family = _family(spec.family)
    return family.extra_places(spec) if hasattr(family, "extra_places") else {}


def extra_parts(spec: GeneratorSpec) -> tuple[str, ...]:
    """What names the widths of an extra block, behind `extras.extra_name`; the first is its inner width."""
    return getattr(_family(spec.family), "EXTRA_PARTS", ("",))


def check(spec: GeneratorSpec) -> None:
    """Raises ModelError for sizes or widths that the family cannot have."""
    family = _family(spec.family)
    if spec.norm not in NORMS:
        raise ModelError(f"there is no norm {spec.norm!r}; there are {', '.join(NORMS)}")
    multiple, least = grid(spec)
    if spec.height % multiple or spec.width % multiple or min(spec.height, spec.width) < least:
        raise ModelError(
            f"{spec.family} takes heights and widths that are multiples of {multiple} and at least {least}, "
            f"not {spec.height}x{spec.width}"
        )
    family_widths = family.widths(2, spec.blocks, spec.levels)
    check_extras(spec, extra_places(spec), extra_parts(spec))
    if unknown := sorted(without_extras(spec).keys() - family_widths.keys()):
        mark, message = _EARLIER.get(spec.family, ("", ""))
        if mark and any(mark in name for name in unknown):
            raise ModelError(message)
        raise ModelError(f"{spec.family} has no widths called {', '.join(unknown)}")
    may_vanish = set(family.vanishing(spec))
    missing = [
        name for name in family_widths if name not in spec.widths or (name not in may_vanish and spec.widths[name] < 1)
    ]
    if missing:
        raise ModelError(f"{spec.family} needs a width of at least 1 for {', '.join(missing)}")
    if hasattr(family, "check_transformer"):
        family.check_transformer(spec)
    elif spec.transformer_after != MIDDLE:
        raise ModelError(f"{spec.family} has no transformer block that could stand after {spec.transformer_after}")


def build(spec: GeneratorSpec, seed: int = 0) -> nn.Module:
    """A network with fresh weights: convolutions from N(0, 0.02), norm scales from N(1, 0.02) (pix2pix).

    The same spec and seed give the same weights whatever random numbers were drawn before.

    Raises:
        ModelError: the spec's sizes or widths make no network.
    """
    import torch
    from torch import nn

    check(spec)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _family(spec.family).build(spec)
    for name, parameter in module.named_parameters():
        # torch reads only the low 32 bits of a seed
        generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}/{name}".encode()))
        owner = module.get_submodule(name.rpartition(".")[0])
        is_norm = isinstance(owner, nn.BatchNorm2d | nn.InstanceNorm2d | nn.LayerNorm)
        with torch.no_grad():
            if name.endswith("bias"):
                parameter.zero_()
            else:
                parameter.normal_(1.0 if is_norm else 0.0, 0.02, generator=generator)
    return module


def skeleton(spec: GeneratorSpec) -> nn.Module:
    """The network without memory for its weights (device `meta`): the names and shapes of what it holds.

    Raises:
        ModelError: the spec's sizes or widths make no network.
    """
    import torch

    check(spec)
    with torch.device("meta"):
        return _family(spec.family).build(spec)


def layers(spec: GeneratorSpec) -> Iterator[Layer]:
    """The layer rows of a spec, in the order of execution, without making a tensor."""
    return _family(spec.family).layers(spec)


def smallest_norm(spec: GeneratorSpec) -> int:
    """Pixels of the smallest map that has a norm; of a single pixel neither batch nor instance norm makes anything."""
    return min(row.out_pixels for row in layers(spec) if row.kind == "norm")


def prunable(spec: GeneratorSpec) -> tuple[str, ...]:
    """Names of the widths that norm scales decide about; empty where the norms have none."""
    from pocketgan.training.generators.blocks import has_scale

    return tuple(_family(spec.family).deciders(spec)) if has_scale(spec.norm) else ()


def scales(module: nn.Module, spec: GeneratorSpec) -> dict[str, Tensor]:
    """Norm scales (gamma) by the name of the width that they decide about."""
    deciders = _family(spec.family).deciders(spec)
    return {name: module.get_submodule(deciders[name]).weight for name in prunable(spec)}  # type: ignore[misc]


def takes_dropout(spec: GeneratorSpec) -> bool:
    """Whether the family's paper trains it with dropout (pix2pix's U-Nets)."""
    return hasattr(_family(spec.family), "use_dropout")


def use_dropout(module: nn.Module, spec: GeneratorSpec) -> None:
    """Train the network of that spec with its paper's dropout; it is no part of the spec or of model files.

    Raises:
        ModelError: the family has none.
    """
    if not takes_dropout(spec):
        raise ModelError(f"dropout is of pix2pix's U-Nets (unet128, unet256); {spec.family} has none")
    _family(spec.family).use_dropout(module)


def vanishing(spec: GeneratorSpec) -> tuple[str, ...]:
    """Names of the widths that a search may bring to 0."""
    return _family(spec.family).vanishing(spec)


def followers(spec: GeneratorSpec) -> dict[str, tuple[str, int]]:
    """Widths that no norm decides about: by name, the one that it follows, and how many times as wide that is."""
    return _family(spec.family).followers(spec)


def units(spec: GeneratorSpec) -> dict[str, int]:
    """By the name of a width that others follow, what it is a multiple of, so that theirs are whole."""
    multiples: dict[str, int] = {}
    for source, times in followers(spec).values():
        multiples[source] = max(times, multiples.get(source, 1))
    return multiples


def narrowed(spec: GeneratorSpec, widths: Mapping[str, int]) -> GeneratorSpec:
    """The spec with those `widths`, which norms decide about, and with what follows from them.

    A width that others follow is rounded down to its unit.
    """
    whole = {name: widths[name] // unit * unit for name, unit in units(spec).items() if name in widths}
    following = {name: whole[source] // times for name, (source, times) in followers(spec).items() if source in whole}
    return spec.with_widths({**widths, **whole, **following})


def _family(name: str) -> ModuleType:
    if name not in {preset.family for preset in _PRESETS.values()}:
        raise ModelError(f"generators of the family {name!r} are not known to this version of pocketgan")
    import importlib

    return importlib.import_module(f"pocketgan.training.generators.{name}")
