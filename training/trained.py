"""Teachers that are trained already: model files, public checkpoints, and state dicts of the user's own functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pocketgan.errors import ModelError
from pocketgan.training.generators import GeneratorSpec, build, check, spec_by_name
from pocketgan.training.generators.files import LoadedGenerator, holds_spec, load_generator, read_spec

if TYPE_CHECKING:
    from torch import Tensor, nn


def trained_spec(path: Path, generator: str | None, size: tuple[int, int]) -> GeneratorSpec:
    """The architecture of a trained generator, at `size` = (height, width).

    Args:
        path: a model file, or a public project's checkpoint (`reference.import_checkpoint`), which needs `generator`.
        generator: name of what the file holds; a model file says it itself, and must agree.
    Raises:
        ModelError: the file is missing, of another network, or cannot take that size.
    """
    spec = _model_file(path, generator) if holds_spec(path) else _imported(path, generator).spec
    spec = spec.at(*size)
    try:
        check(spec)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    return spec


def load_trained(path: Path, generator: str | None, size: tuple[int, int]) -> LoadedGenerator:
    """The trained generator in eval mode, its spec at `size`; arguments and errors are those of `trained_spec`."""
    spec = trained_spec(path, generator, size)
    loaded = load_generator(path) if holds_spec(path) else _imported(path, generator)
    if loaded.spec == spec:
        return loaded
    module = build(spec)  # some networks know their size
    module.load_state_dict(loaded.module.state_dict())
    return replace(loaded, module=module.eval(), spec=spec)


def _model_file(path: Path, generator: str | None) -> GeneratorSpec:
    spec = read_spec(path)
    if generator is not None:
        named = spec_by_name(generator)
        if (named.family, named.blocks, named.levels) != (spec.family, spec.blocks, spec.levels):
            raise ModelError(
                f"{path} holds a generator of the family {spec.family} with {spec.blocks} blocks, no {generator}; "
                "leave teacher.generator out: the file says what it is"
            )
    return spec


def _imported(path: Path, generator: str | None) -> LoadedGenerator:
    from pocketgan.training.reference import import_checkpoint

    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    if generator is None:
        raise ModelError(f"{path} does not say which network it is for: name it, such as teacher.generator: resnet9")
    imported = import_checkpoint(path, generator)
    return LoadedGenerator(imported.module, imported.spec, {"trained": "yes"})


def load_state(module: nn.Module, path: Path, function: str) -> nn.Module:
    """The module that the user's `function` gave, in eval mode with the weights of a state dict file.

    Raises:
        ModelError: the file is missing or unreadable, or does not fit: says what is missing and what is unexpected.
    """
    from pocketgan.training.reference import read_tensors

    expected = module.state_dict()
    tensors = _of_network(read_tensors(path), expected)
    missing, unexpected = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    others = [
        f"{name} of {_shape(tensors[name])}, not {_shape(expected[name])}"
        for name in sorted(expected.keys() & tensors.keys())
        if tensors[name].shape != expected[name].shape
    ]
    found: Mapping[str, list[str]] = {"missing": missing, "unexpected": unexpected, "of other shapes": others}
    if any(found.values()):
        parts = [f"{title}: {_first(names)}" for title, names in found.items() if names]
        raise ModelError(f"{path} does not fit what {function} returns; {'; '.join(parts)}")
    module.load_state_dict(tensors)
    return module.eval()


def _of_network(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The entries of a checkpoint that are the network's: all, or those behind a prefix, such as `module.` or, where a
    file holds discriminators too, `net_G.`."""
    if tensors.keys() == expected.keys() or not expected:
        return tensors
    longest = max(expected, key=len)
    prefixes = [name.removesuffix(longest) for name in tensors if name.endswith(f".{longest}")]
    for prefix in prefixes:
        own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        if own.keys() == expected.keys():
            return own
    return tensors


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "one number"


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
