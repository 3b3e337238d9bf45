"""Features of texts in a file, for computers without an encoder: one `.safetensors` of (n, 77, 512) float32.

Its metadata, JSON under one key, lists the texts in the order of the rows and names the encoder that made them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pocketgan.errors import DataError, ModelError
from pocketgan.files import write_atomic
from pocketgan.training.text.encoder import SHAPE, TextIdentity, checked

METADATA_KEY = "pocketgan-text"
VERSION = 1
_NEXT = "write it again: pocketgan text TEXT... --out FILE"
_SHOWN = 3


class PrecomputedText:
    """Features that were computed before; their identity is that of the encoder that made them.

    Attributes:
        texts: those in the file, in its order.
        features: (n, 77, 512) float32, a row a text.
    Raises:
        ModelError: the file is missing, damaged, newer, or was not written by `write_features`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.texts, self.features, self.identity = _read(path)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """See TextEncoder."""
        rows = {text: row for row, text in enumerate(self.texts)}
        wanted = [checked(text) for text in texts]
        if absent := [text for text in wanted if text not in rows]:
            known = ", ".join(map(repr, self.texts[:_SHOWN])) + (", ..." if len(self.texts) > _SHOWN else "")
            raise DataError(
                f"{self._path} has no features of {absent[0]!r}, but of {known}; compute all texts into one file: "
                "pocketgan text TEXT... --out FILE"
            )
        return self.features[[rows[text] for text in wanted]]


def write_features(path: Path, texts: Sequence[str], features: Tensor, identity: TextIdentity) -> None:
    """Write the whole file or nothing.

    Args:
        features: (n, 77, 512) float32, a row for each of the `texts`.
    Raises:
        DataError: there is no text, an empty one, or one twice.
        StorageError: the disk is full or read-only.
    """
    stripped = [checked(text) for text in texts]
    if not stripped:
        raise DataError("there is no text to write features of")
    if twice := [text for row, text in enumerate(stripped) if text in stripped[:row]]:
        raise DataError(f"the text {twice[0]!r} is there twice; name each once")
    if features.shape != (len(stripped), *SHAPE):
        raise ValueError(f"{len(stripped)} texts have features of (n, 77, 512), not {tuple(features.shape)}")
    encoder = {"name": identity.name, "digest": identity.digest}
    described = json.dumps({"version": VERSION, "texts": stripped, "encoder": encoder}, sort_keys=True)
    write_atomic(path, save({"features": features.float().contiguous()}, {METADATA_KEY: described}))


def _read(path: Path) -> tuple[list[str], Tensor, TextIdentity]:
    if not path.is_file():
        raise ModelError(f"there is no file of text features {path}; {_NEXT}")
    try:
        with safe_open(path, "pt") as file:
            described = json.loads((file.metadata() or {})[METADATA_KEY])
            features = file.get_tensor("features")
        version, texts, encoder = described["version"], described["texts"], described["encoder"]
        identity = TextIdentity(str(encoder["name"]), str(encoder["digest"]))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} holds no text features of pocketgan's, or is damaged; {_NEXT}") from error
    if version != VERSION:
        raise ModelError(f"{path} is of version {version!r} of text features, this pocketgan reads {VERSION}; {_NEXT}")
    fits = isinstance(texts, list) and all(isinstance(text, str) for text in texts) and len(set(texts)) == len(texts)
    if not fits or features.shape != (len(texts), *SHAPE) or features.dtype != torch.float32:
        raise ModelError(f"{path} does not hold 77x512 numbers for each of its texts; {_NEXT}")
    if not features.isfinite().all():
        raise ModelError(f"{path} holds features that are not finite numbers; {_NEXT}")
    return texts, features, identity
