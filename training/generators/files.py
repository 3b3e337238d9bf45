"""A model file is one `.safetensors` with the spec as JSON metadata.

All metadata stands under one key: safetensors writes several in a random order, and equal models shall be equal files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pocketgan.errors import ModelError
from pocketgan.files import write_atomic
from pocketgan.training.generators import build, check
from pocketgan.training.generators.spec import GeneratorSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

METADATA_KEY = "pocketgan"


@dataclass(frozen=True)
class LoadedGenerator:
    """A network in eval mode, its spec, and what the file says about it (`trained` is "yes" or "no")."""

    module: nn.Module
    spec: GeneratorSpec
    metadata: dict[str, str]

    @property
    def trained(self) -> bool:
        return self.metadata.get("trained") == "yes"


def save_generator(path: Path, module: nn.Module, spec: GeneratorSpec, metadata: Mapping[str, str]) -> None:
    """Write the whole model file or nothing.

    Raises:
        StorageError: the disk is full or read-only.
    """
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    described = json.dumps({**metadata, "spec": spec.to_json()}, sort_keys=True)
    write_atomic(path, save(tensors, {METADATA_KEY: described}))


def load_generator(path: Path) -> LoadedGenerator:
    """Read a model file.

    Raises:
        ModelError: the file is missing, no safetensors file, has no spec or one that this version cannot build, or its
            tensors do not fit the spec.
    """
    import torch

    spec, metadata, tensors = _read(path, with_tensors=True)
    module = build(spec)
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit its own spec: {str(error).splitlines()[1].strip()}") from error
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values() if tensor.is_floating_point()):
        raise ModelError(f"{path} holds weights that are not finite numbers; the training that wrote it diverged")
    return LoadedGenerator(module.eval(), spec, metadata)


def holds_spec(path: Path) -> bool:
    """Whether the file is a model file of pocketgan's, sound or not."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            return METADATA_KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def read_spec(path: Path) -> GeneratorSpec:
    """The spec of a model file, without its tensors. Raises ModelError like load_generator."""
    return _read(path, with_tensors=False)[0]


def _read(path: Path, with_tensors: bool) -> tuple[GeneratorSpec, dict[str, str], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ModelError(f"there is no model file {path}")
    try:
        with safe_open(path, "pt") as file:
            described = (file.metadata() or {})[METADATA_KEY]
            names = list(file.keys()) if with_tensors else []
            tensors = {name: file.get_tensor(name) for name in names}
        metadata = json.loads(described)
        if "function" in metadata:
            raise ModelError(
                f"{path} holds weights of {metadata['function']}, a generator of your own; pocketgan calls no function "
                "that a file names"
            )
        if metadata.get("kind") == "adapter":
            raise ModelError(
                f"{path} is the adapter of a base, no whole generator; make one: pocketgan merge BASE {path} --out FILE"
            )
        stored = metadata.pop("spec")
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"{path} is not a readable model file (.safetensors): damaged, or of another kind ({error})"
        ) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path} holds tensors but no pocketgan spec: it was not written by pocketgan. Weights of a public "
            "project: pocketgan import-checkpoint; of your own network: package.module:function, which builds it and "
            "loads them"
        ) from error
    spec = GeneratorSpec.from_json(stored)
    try:
        check(spec)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    return spec, metadata, tensors
