"""Weights saved by public projects, read into networks of ours; `layouts` knows how each project names its layers."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pocketgan.errors import ModelError
from pocketgan.training.generators import GeneratorSpec, build, layers, skeleton, spec_by_name
from pocketgan.training.layouts import LAYOUTS, Names, Reading, laid_out_as, member_widths, strange

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pocketgan.training.generators.spec import Norm

_NESTED = ("state_dict", "generator", "netG", "model")
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Imported:
    """A network in eval mode, its spec, and what was left out of the file because it carries no weight of it."""

    module: nn.Module
    spec: GeneratorSpec
    ignored: tuple[str, ...]


def import_checkpoint(
    path: Path,
    family: str,
    size: tuple[int, int] | None = None,
    levels: int | None = None,
    channels: Sequence[int] | None = None,
) -> Imported:
    """Read a generator's weights from a reference project's file.

    Args:
        path: `.pth` (a state dict, unpickled with `weights_only`) or `.safetensors`.
        family: the generator's name; width, channels and norm are read from the shapes.
        size: (height, width) that the network will be costed and exported at.
        levels: of gaugan and incres-spade, where the file does not tell: 6 ("more") or 5 ("normal") doublings.
        channels: of mobile-resnet9 alone: the file is a supernet, and the member with those channels is cut out of it
            (see `layouts.member_widths`); the largest member where None.
    Raises:
        ModelError: the file is damaged, hostile, or of another network; lists missing and unexpected entries.
    """
    import torch

    if family not in LAYOUTS:
        raise ModelError(f"no public checkpoint has the layout of {family!r}; known: {', '.join(LAYOUTS)}")
    tensors = _fold_spectral_norm(without_prefix(read_tensors(path)))
    if what := strange(tensors):
        raise ModelError(f"{path} does not hold a {family}: it is {what}")
    reading = _described(path, family, levels, tensors)
    spec = reading.spec if size is None else reading.spec.at(*size)
    if channels is not None:
        spec = spec.with_widths(member_widths(spec, channels))
    # Widths from a hostile file may ask for any amount of memory: all shapes are compared before there is a network.
    expected = skeleton(spec).state_dict()
    weights, ignored = _chosen(path, family, expected, reading, tensors)
    if channels is not None:
        # A supernet's members share its weights: each takes the first channels of every layer.
        weights = {name: tensor[_corner(expected[name])] for name, tensor in weights.items()}
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape:
            shapes = " and ".join("x".join(map(str, t.shape)) or "one number" for t in (tensor, expected[name]))
            raise ModelError(f"{path} does not hold a {family}: {name} has the shapes {shapes}")
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{path} holds values that are not finite numbers, in {name}")
    module = build(spec).eval()
    module.load_state_dict(weights)
    return Imported(module, spec, ignored)


def _chosen(
    path: Path, family: str, expected: Mapping[str, Tensor], reading: Reading, tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """By name of our entries the file's tensors, and the names of those that it has and its network never uses.

    Raises:
        ModelError: entries are missing, or there are others; names some of both.
    """
    import torch

    weights, used, missing = {}, set(), []
    for name in expected:
        owner, _, part = name.rpartition(".")
        source = f"{reading.names[owner]}.{part}"
        if source in tensors:
            weights[name] = tensors[source]
            used.add(source)
        elif part == "num_batches_tracked":
            weights[name] = torch.zeros((), dtype=torch.long)
        else:
            missing.append(source)
    unread = sorted(tensors.keys() - used)
    known = set(reading.names.values())
    ignored = [
        name
        for name in unread
        if name.startswith(reading.idle) or (name.endswith(_STATISTICS) and name.rpartition(".")[0] in known)
    ]
    unexpected = [name for name in unread if name not in ignored]
    if missing or unexpected:
        parts = [f"{title} {_some(some)}" for title, some in (("missing", missing), ("unexpected", unexpected)) if some]
        other = laid_out_as(tensors)
        hint = f"; its layout is that of {other}: --family {other}" if other not in (None, family) else ""
        raise ModelError(f"{path} does not hold a {family}: {'; '.join(parts)}{hint}")
    return weights, tuple(ignored)


def _corner(tensor: Tensor) -> tuple[slice, ...]:
    return tuple(slice(length) for length in tensor.shape)


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
    if _is_torchscript(path):
        raise ModelError(
            f"{path} is a TorchScript program, not weights: save the network's state_dict(), or export it to ONNX, "
            "which teaches too"
        )
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
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided:
            raise ModelError(f"{path} holds {name} as a sparse tensor; save the generator's weights as dense ones")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ModelError(f"{path} is damaged: {name} has a shape of more numbers than the file holds for it")
    return tensors


def _is_torchscript(path: Path) -> bool:
    """Whether `torch.jit.save` wrote it: its archives hold code, and constants of their own beside it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


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


def _described(path: Path, family: str, levels: int | None, tensors: Mapping[str, Tensor]) -> Reading:
    """The spec whose shapes the file has, and by path of our modules the names that the file uses.

    Raises:
        ModelError: the number of blocks is another family's, or its norms are of a kind that no network here has.
    """
    layout = LAYOUTS[family]
    # Narrow, so that a network is soon built where the file tells of none.
    base = spec_by_name(family, ngf=2)
    reading = layout.read(replace(base, levels=levels or base.levels), tensors)
    spec, names = reading.spec, reading.names
    other = laid_out_as(tensors)
    if spec.blocks != base.blocks and other not in (None, family) and LAYOUTS[other] is layout:
        raise ModelError(f"{path} does not hold a {family}: it has {spec.blocks} blocks: --family {other}")
    spec = replace(
        spec,
        norm=_norm(path, family, spec, names, tensors),
        input_channels=_length(tensors, f"{names[layout.first]}.weight", 1) or spec.input_channels,
        output_channels=_length(tensors, f"{names[layout.last]}.bias", 0) or spec.output_channels,
    )
    return reading._replace(spec=spec.with_widths(_widths(spec, names, tensors)))


def _widths(spec: GeneratorSpec, names: Names, tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Every width by the output channels of the first convolution that makes it."""
    found: dict[str, int] = {}
    for row in layers(spec):
        if row.kind != "norm" and row.writes and row.writes not in found:
            # A transposed convolution's weight begins with its input channels.
            length = _length(tensors, f"{names[row.name]}.weight", 1 if row.kind == "transposed" else 0)
            if length is not None:
                found[row.writes] = length
    return found


def _length(tensors: Mapping[str, Tensor], name: str, axis: int) -> int | None:
    """How long a tensor is along an axis; None where the file lacks it, or it has no such axis."""
    tensor = tensors.get(name)
    return int(tensor.shape[axis]) if tensor is not None and tensor.dim() > axis else None


def _norm(path: Path, family: str, spec: GeneratorSpec, names: Names, tensors: Mapping[str, Tensor]) -> Norm:
    """What the entries of the norms say about their kind.

    Raises:
        ModelError: instance norms that use running statistics, or norms of two kinds.
    """
    layout = LAYOUTS[family]
    name = names[layout.norm]
    scaled, tracked = f"{name}.weight" in tensors, f"{name}.running_var" in tensors
    if spec.norm == "batch-plain":
        return "batch-plain" if tracked else "instance"
    biased = layout.bias_tells and f"{names[layout.first]}.bias" in tensors
    if tracked and biased and (scaled or not layout.old_statistics):
        raise ModelError(
            f"{path} does not hold a {family}: {name} is an instance norm with running statistics, which no generator "
            "here has: give it as a function of your own, package.module:function"
        )
    if not tracked or biased:
        return "instance-affine" if scaled else "instance"
    inner = names.get(layout.inner_norm)
    if inner and f"{inner}.running_var" not in tensors:
        raise ModelError(
            f"{path} does not hold a {family}: {name} is a batch norm and {inner} an instance norm, which no generator "
            "here mixes: give it as a function of your own, package.module:function"
        )
    return "batch" if scaled else "batch-plain"


def _some(names: list[str], most: int = 3) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
