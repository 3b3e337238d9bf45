"""Generators by name, and the way from a spec to a network."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from pocketgan.errors import ModelError
from pocketgan.training.generators.spec import GeneratorSpec, Layer, Norm

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["NAMES", "GeneratorSpec", "Layer", "bounded", "build", "layers", "scales", "spec_by_name"]


@dataclass(frozen=True)
class _Preset:
    """What a name stands for: family, norm and the paper's input size (height, width)."""

    family: str
    norm: Norm
    blocks: int = 9
    ngf: int = 64
    height: int = 256
    width: int = 256


_PRESETS = {
    "resnet9": _Preset("resnet", "instance"),
    "resnet9-bn": _Preset("resnet", "batch"),
    "incres9": _Preset("incres", "batch"),
}
NAMES = tuple(_PRESETS)


def spec_by_name(
    name: str, *, ngf: int | None = None, norm: Norm | None = None, height: int | None = None, width: int | None = None
) -> GeneratorSpec:
    """The unpruned spec that a name stands for, at the paper's size unless told otherwise.

    Raises:
        ModelError: the name is unknown or a width is below 1.
    """
    if name not in _PRESETS:
        raise ModelError(f"no generator is called {name!r}; there are {', '.join(NAMES)}")
    preset = _PRESETS[name]
    ngf = preset.ngf if ngf is None else ngf
    if ngf < 2:
        raise ModelError(f"--ngf is the number of channels of the first layer, at least 2, not {ngf}")
    size = (height or preset.height, width or preset.width)
    return _family(preset.family).spec(ngf, norm or preset.norm, preset.blocks, *size)


def build(spec: GeneratorSpec, seed: int = 0) -> nn.Module:
    """A network with fresh weights: convolutions from N(0, 0.02), norm scales from N(1, 0.02) (pix2pix).

    The same spec and seed give the same weights whatever random numbers were drawn before.

    Raises:
        ModelError: the spec's sizes or widths make no network.
    """
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _family(spec.family).build(spec)
    for name, parameter in module.named_parameters():
        # torch reads only the low 32 bits of a seed
        generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}/{name}".encode()))
        owner = module.get_submodule(name.rpartition(".")[0])
        is_norm = isinstance(owner, nn.BatchNorm2d | nn.InstanceNorm2d)
        with torch.no_grad():
            if name.endswith("bias"):
                parameter.zero_()
            else:
                parameter.normal_(1.0 if is_norm else 0.0, 0.02, generator=generator)
    return module


def layers(spec: GeneratorSpec) -> Iterator[Layer]:
    """The layer rows of a spec, in the order of execution, without making a tensor."""
    return _family(spec.family).layers(spec)


def scales(module: nn.Module, spec: GeneratorSpec) -> dict[str, Tensor]:
    """Norm scales (gamma) by the name of the width that they decide about; only for norms that have them."""
    return _family(spec.family).scales(module)


def bounded(spec: GeneratorSpec) -> tuple[str, ...]:
    """Names of the widths that a search may not bring below its least width."""
    return _family(spec.family).bounded(spec)


def _family(name: str) -> ModuleType:
    if name not in {preset.family for preset in _PRESETS.values()}:
        raise ModelError(f"generators of the family {name!r} are not known to this version of pocketgan")
    import importlib

    return importlib.import_module(f"pocketgan.training.generators.{name}")
