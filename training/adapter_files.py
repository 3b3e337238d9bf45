"""An adapter's file: one `.safetensors` with the factors of every layer, the concept's tokens, and JSON metadata.

At E2GAN's full width and the published ranks 453 kB: 371 of float32 factors, 79 of float16 tokens.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pocketgan.errors import ModelError
from pocketgan.files import write_atomic
from pocketgan.training.adapter import TEXT, Adapter, Concept, Factors, Ranks
from pocketgan.training.generators.files import METADATA_KEY
from pocketgan.training.text.encoder import EncoderIdentity

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
_Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Concept(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    text: str
    encoder: str
    encoder_digest: str


class _Described(BaseModel):
    """The metadata, but for the version."""

    model_config = ConfigDict(extra="forbid", strict=True)
    kind: Literal["adapter"]
    spec_digest: _Digest
    base_digest: _Digest
    ranks: dict[str, int]
    concept: _Concept


def save_adapter(path: Path, adapter: Adapter) -> None:
    """Write the whole file or nothing; equal adapters are equal files.

    Raises:
        StorageError: the disk is full or read-only.
    """
    from safetensors.torch import save

    concept = adapter.concept
    described = {
        "version": VERSION,
        "kind": "adapter",
        "spec_digest": adapter.spec_digest,
        "base_digest": adapter.base_digest,
        "ranks": adapter.ranks.to_json(),
        "concept": {
            "name": concept.name,
            "text": concept.text,
            "encoder": concept.encoder.name,
            "encoder_digest": concept.encoder.digest,
        },
    }
    tensors = {TEXT: concept.tokens.half()}
    for layer, factors in adapter.factors.items():
        tensors |= {f"{layer}.{side}": factor for side, factor in zip("ab", factors, strict=True)}
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_atomic(path, save(whole, {METADATA_KEY: json.dumps(described, sort_keys=True)}))


def load_adapter(path: Path) -> Adapter:
    """Read an adapter's file; whether it fits a base is for `adapter.check_fits` to say.

    Raises:
        ModelError: the file is missing, damaged, no adapter, of a later version, holds numbers that are not finite, or
            lacks a tensor.
    """
    if not path.is_file():
        raise ModelError(f"there is no adapter file {path}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    return read_adapter(data, path)


def read_adapter(data: bytes, path: Path | str) -> Adapter:
    """An adapter out of its file's bytes.

    Args:
        path: names them to the user.
    Raises:
        ModelError: as `load_adapter`.
    """
    described, tensors = _read(data, path)
    tokens = tensors.pop(TEXT, None)
    if tokens is None:
        raise ModelError(f"{path} lacks its concept's text, the tensor {TEXT!r}")
    for name, tensor in {TEXT: tokens, **tensors}.items():
        if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
            raise ModelError(f"{path} holds numbers in {name} that are not finite; the training that wrote it diverged")
    try:
        told = described.concept
        concept = Concept(told.name, told.text, EncoderIdentity(told.encoder, told.encoder_digest), tokens)
        ranks = Ranks.from_json(described.ranks)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    return Adapter(described.spec_digest, described.base_digest, ranks, concept, _paired(path, tensors))


def _read(data: bytes, path: Path | str) -> tuple[_Described, dict[str, Tensor]]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(data)
        # A whole file has a header: its length in 8 bytes, then JSON.
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = json.loads(header.get("__metadata__", {}).get(METADATA_KEY, "{}"))
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path} is not a readable adapter file (.safetensors): damaged, or of another kind ({error})"
        ) from error
    return _described(path, metadata), tensors


def _described(path: Path | str, metadata: Any) -> _Described:
    if not isinstance(metadata, dict) or metadata.get("kind") != "adapter":
        whole = isinstance(metadata, dict) and "spec" in metadata
        raise ModelError(
            f"{path} is {'a whole generator' if whole else 'a file of other tensors'}, no adapter; pocketgan adapts a "
            "base to a concept and writes one"
        )
    version = metadata.pop("version", None)
    if version != VERSION:
        raise ModelError(f"{path} is an adapter of version {version!r}; this pocketgan reads version {VERSION}")
    try:
        return _Described.model_validate(metadata)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ModelError(f"{path} is damaged: {where} of its metadata: {first['msg']}") from error


def _paired(path: Path | str, tensors: dict[str, Tensor]) -> dict[str, Factors]:
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        layer, _, side = name.rpartition(".")
        if not layer or side not in ("a", "b"):
            raise ModelError(f"{path} holds a tensor that no adapter has: {name}")
        layers.setdefault(layer, {})[side] = tensor.float()
    for layer, sides in sorted(layers.items()):
        for side in "ab":
            if side not in sides:
                raise ModelError(f"{path} lacks the tensor {layer}.{side}")
    return {layer: (sides["a"], sides["b"]) for layer, sides in sorted(layers.items())}
