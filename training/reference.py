"""Weights saved by the public pix2pix/CycleGAN, pix2pixHD and SPADE projects, read into networks of ours.

Only names and shapes of their files are known here: which entry of a state dict is which layer.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan.errors import ModelError
from pocketgan.training.generators import GeneratorSpec, build, check, spec_by_name
from pocketgan.training.generators.pix2pixhd_local import LOCAL_BLOCKS
from pocketgan.training.generators.spade import STAGES, spades

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pocketgan.training.generators.spec import Norm

Names = dict[str, str]
_NESTED = ("state_dict", "generator", "netG", "model")


@dataclass(frozen=True)
class Imported:
    """A network in eval mode, its spec, and what was left out of the file because it carries no weight of it."""

    module: nn.Module
    spec: GeneratorSpec
    ignored: tuple[str, ...]


def import_checkpoint(
    path: Path, family: str, size: tuple[int, int] | None = None, levels: int | None = None
) -> Imported:
    """Read a generator's weights from a reference project's file.

    Args:
        path: `.pth` (a state dict, unpickled with `weights_only`) or `.safetensors`.
        family: the generator's name; width, channels and norm are read from the shapes.
        size: (height, width) that the network will be costed and exported at.
        levels: of GauGAN alone, where the file does not tell: 6 ("more") or 5 ("normal") doublings.
    Raises:
        ModelError: the file is damaged, hostile, or of another network; lists missing and unexpected entries.
    """
    import torch

    if family not in _LAYOUTS:
        raise ModelError(f"no public checkpoint has the layout of {family!r}; known: {', '.join(_LAYOUTS)}")
    tensors = _fold_spectral_norm(without_prefix(read_tensors(path)))
    layout = _LAYOUTS[family]
    base = spec_by_name(family)
    base = replace(base, levels=levels or base.levels)
    spec, names = _described(path, family, base, layout, tensors)
    if size is not None:
        spec = spec.at(*size)
    check(spec)
    module = build(spec).eval()
    expected = module.state_dict()
    weights, used = {}, set()
    missing = []
    for name in expected:
        owner, _, part = name.rpartition(".")
        source = f"{names[owner]}.{part}"
        if source in tensors:
            weights[name] = tensors[source]
            used.add(source)
        elif part == "num_batches_tracked":
            weights[name] = torch.zeros((), dtype=torch.long)
        else:
            missing.append(source)
    unread = sorted(tensors.keys() - used)
    ignored = [name for name in unread if name.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    unexpected = [name for name in unread if name not in ignored]
    if missing or unexpected:
        parts = [f"{title} {_some(some)}" for title, some in (("missing", missing), ("unexpected", unexpected)) if some]
        raise ModelError(f"{path} does not hold a {family}: {'; '.join(parts)}")
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape:
            shapes = " and ".join("x".join(map(str, t.shape)) or "one number" for t in (tensor, expected[name]))
            raise ModelError(f"{path} does not hold a {family}: {name} has the shapes {shapes}")
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{path} holds values that are not finite numbers, in {name}")
    module.load_state_dict(weights)
    return Imported(module, spec, tuple(ignored))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict file, by name. Nothing but tensors and plain containers is unpickled.

    Raises:
        ModelError: the file is missing, truncated, asks for code to be run, or holds something else.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        with warnings.catch_warnings(action="ignore"):  # a word on pickle protocols would stand above our one line
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(f"{path} is refused: it {_forbidden(error)}") from error
    except (SafetensorError, OSError, EOFError, RuntimeError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} is damaged or no PyTorch file: it cannot be read to its end") from error
    except Exception as error:  # the unpickler's own asserts, index and type errors on hostile bytes
        raise ModelError(f"{path} is damaged or no PyTorch file: {type(error).__name__} while reading it") from error
    for name in _NESTED:
        if isinstance(loaded, dict) and isinstance(loaded.get(name), dict):
            loaded = loaded[name]
    if not isinstance(loaded, dict) or not all(isinstance(key, str) for key in loaded):
        raise ModelError(f"{path} holds a {type(loaded).__name__}, not the state dict of a network")
    tensors = {key: value for key, value in loaded.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise ModelError(f"{path} holds no tensors by name; give the generator's own file, such as latest_net_G.pth")
    return tensors


def _forbidden(error: pickle.UnpicklingError) -> str:
    name = re.search(r"GLOBAL (\S+)", str(error))
    what = f"asks for {name[1]}" if name else "is damaged or holds more than tensors"
    return f"{what}, and only tensors are read; save the generator's state_dict() alone"


def without_prefix(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefix that DataParallel puts in front of every name."""
    prefix = "module."
    if all(name.startswith(prefix) for name in tensors):
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return dict(tensors)


def _fold_spectral_norm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """weight = original / sigma with the stored vectors, sigma = u' W v (Miyato et al. 2018), as in eval mode.

    Both of PyTorch's parametrisations are read, and files that leave out v.
    """
    import torch
    from torch.nn.functional import normalize

    forms = (
        ("weight_orig", "weight_u", "weight_v"),
        ("parametrizations.weight.original", "parametrizations.weight.0._u", "parametrizations.weight.0._v"),
    )
    folded = dict(tensors)
    for original, u_name, v_name in forms:
        for name in [name for name in tensors if name.endswith(f".{original}")]:
            owner = name.removesuffix(original)
            weight, u = folded.pop(name), folded.pop(f"{owner}{u_name}", None)
            v = folded.pop(f"{owner}{v_name}", None)
            if u is None:
                raise ModelError(f"{name} is spectrally normalised, but {owner}{u_name} is missing")
            matrix = weight.reshape(weight.shape[0], -1)
            v = normalize(matrix.T @ u, dim=0) if v is None else v
            folded[f"{owner}weight"] = weight / torch.dot(u, matrix @ v)
    return folded


def _described(
    path: Path, family: str, base: GeneratorSpec, layout: _Layout, tensors: Mapping[str, Tensor]
) -> tuple[GeneratorSpec, Names]:
    """The spec whose shapes the file has, and by path of our modules the names that the file uses."""
    names = layout.names(base, tensors)
    first, last, norm = (names.get(row) for row in (layout.first, layout.last, layout.norm))
    try:
        ngf, channels = tensors[f"{first}.weight"].shape[0] // layout.multiple, tensors[f"{first}.weight"].shape[1]
        outputs = tensors[f"{last}.bias"].shape[0]
    except (KeyError, IndexError) as error:
        entries = _some(sorted(tensors))
        raise ModelError(
            f"{path} does not hold a {family}: it has {entries} but neither {first}.weight nor {last}.bias"
        ) from error
    spec = spec_by_name(family, ngf=max(2, ngf), input_channels=channels, output_channels=outputs)
    return replace(spec, levels=base.levels, norm=_norm(base, str(norm), tensors)), names


def _norm(base: GeneratorSpec, name: str, tensors: Mapping[str, Tensor]) -> Norm:
    """What the entries of one norm say about its kind."""
    if base.norm == "batch-plain":
        return "batch-plain" if f"{name}.running_mean" in tensors else "instance"
    if f"{name}.weight" not in tensors:
        return "instance"
    return "batch" if f"{name}.running_var" in tensors else "instance-affine"


@dataclass(frozen=True)
class _Layout:
    """How a project names its layers.

    Attributes:
        names: from a spec and the file's tensors to the file's names, by path of our modules.
        first, last, norm: our paths of the layers that tell width, channels and kind of norm.
        multiple: width of the first layer in units of ngf.
    """

    names: Callable[[GeneratorSpec, Mapping[str, Tensor]], Names]
    first: str
    last: str
    norm: str
    multiple: int = 1


def _block_names(source: str, ours: str, tensors: Mapping[str, Any]) -> Names:
    """A ResNet block: pad, conv, norm, ReLU, (dropout,) pad, conv, norm."""
    second = 6 if f"{source}.conv_block.6.weight" in tensors and f"{source}.conv_block.5.weight" not in tensors else 5
    places = {"first.conv": 1, "first.norm": 2, "second": second, "norm": second + 1}
    return {f"{ours}.{part}": f"{source}.conv_block.{place}" for part, place in places.items()}


def _sequence_names(spec: GeneratorSpec, tensors: Mapping[str, Any], inner: str = "") -> Names:
    """One long sequence: pad, conv, norm, ReLU, then conv, norm, ReLU a stride, blocks, the strides back, pad, conv."""
    names = {f"{inner}stem.conv": "model.1", f"{inner}stem.norm": "model.2"}
    place = 4
    for i in range(1, spec.levels + 1):
        names |= {f"{inner}down{i}.conv": f"model.{place}", f"{inner}down{i}.norm": f"model.{place + 1}"}
        place += 3
    for i in range(spec.blocks):
        names |= _block_names(f"model.{place + i}", f"{inner}blocks.{i}", tensors)
    place += spec.blocks
    for i in range(1, spec.levels + 1):
        names |= {f"{inner}up{i}.conv": f"model.{place}", f"{inner}up{i}.norm": f"model.{place + 1}"}
        place += 3
    return names if inner else {**names, "head": f"model.{place + 1}"}


def _local_names(spec: GeneratorSpec, tensors: Mapping[str, Any]) -> Names:
    """pix2pixHD's enhancer: the global sequence without its head, then its own two sequences."""
    names = _sequence_names(spec, tensors, "inner.")
    names |= {
        "stem.conv": "model1_1.1",
        "stem.norm": "model1_1.2",
        "down.conv": "model1_1.4",
        "down.norm": "model1_1.5",
    }
    for i in range(LOCAL_BLOCKS):
        names |= _block_names(f"model1_2.{i}", f"blocks.{i}", tensors)
    after = LOCAL_BLOCKS
    return {
        **names,
        "up.conv": f"model1_2.{after}",
        "up.norm": f"model1_2.{after + 1}",
        "head": f"model1_2.{after + 4}",
    }


def _unet_names(spec: GeneratorSpec, tensors: Mapping[str, Any]) -> Names:
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
    return names


def _spade_names(spec: GeneratorSpec, tensors: Mapping[str, Any]) -> Names:
    """Named layers: fc, head_0, G_middle_0 and 1, up_0 to up_3, conv_img."""
    source = {"head": "head_0", "middle0": "G_middle_0", "middle1": "G_middle_1"}
    norms = {"spade0": "norm_0", "spade1": "norm_1", "spade_shortcut": "norm_s"}
    names = {"fc": "fc", "head": "conv_img"}
    for stage in STAGES:
        theirs, ours = source.get(stage, stage.replace("up", "up_")), f"stages.{stage}"
        names |= {f"{ours}.conv0": f"{theirs}.conv_0", f"{ours}.conv1": f"{theirs}.conv_1"}
        names[f"{ours}.shortcut"] = f"{theirs}.conv_s"
        for name in spades(stage):
            there, here = f"{theirs}.{norms[name]}", f"{ours}.{name}"
            names[f"{here}.norm"] = f"{there}.param_free_norm"
            names[f"{here}.modulation.shared"] = f"{there}.mlp_shared.0"
            names[f"{here}.modulation.scale"] = f"{there}.mlp_gamma"
            names[f"{here}.modulation.shift"] = f"{there}.mlp_beta"
    return names


_SEQUENCE = _Layout(_sequence_names, "stem.conv", "head", "stem.norm")
_UNET = _Layout(_unet_names, "downs.0.conv", "head", "downs.1.norm")
_LAYOUTS = {
    "resnet6": _SEQUENCE,
    "resnet9": _SEQUENCE,
    "unet128": _UNET,
    "unet256": _UNET,
    "pix2pixhd": _SEQUENCE,
    "pix2pixhd-local": _Layout(_local_names, "stem.conv", "head", "stem.norm"),
    "gaugan": _Layout(_spade_names, "fc", "head", "stages.head.spade0.norm", multiple=16),
}
FAMILIES = tuple(_LAYOUTS)


def _some(names: list[str], most: int = 5) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
