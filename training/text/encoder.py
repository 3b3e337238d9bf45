"""What makes a text into features: one interface, whoever computes them, and a cache that spares loading a model."""

from __future__ import annotations

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from pocketgan.errors import DataError, StorageError
from pocketgan.files import cache_folder, write_atomic
from pocketgan.training.generators.e2gan import TEXT_TOKENS, TEXT_WIDTH

SHAPE = (TEXT_TOKENS, TEXT_WIDTH)


@dataclass(frozen=True)
class TextIdentity:
    """Which encoder made features: a name for people, and the hex SHA-256 of all that its features depend on."""

    name: str
    digest: str

    def __str__(self) -> str:
        return f"{self.name} ({self.digest[:12]})"


class TextEncoder(Protocol):
    """Features of texts, the same for the same text and identity, whatever else is encoded with it."""

    @property
    def identity(self) -> TextIdentity: ...

    def encode(self, texts: Sequence[str]) -> Tensor:
        """(n, 77, 512) float32, one row a text.

        Raises:
            DataError: a text is empty, too long, or not among those that were computed before.
            ModelError: the encoder's model cannot be used.
        """
        ...


class CachedEncoder(ABC):
    """An encoder that computes, and keeps what it computed in the cache folder under its digest and the text's.

    A subclass loads its model when `states` is first called: with all texts in the cache it never does.
    """

    identity: TextIdentity

    def encode(self, texts: Sequence[str]) -> Tensor:
        """See TextEncoder."""
        return torch.stack([self._features(checked(text)) for text in texts])

    @abstractmethod
    def states(self, text: str) -> Tensor:
        """(77, 512) float32 of one text that is not empty."""

    def _features(self, text: str) -> Tensor:
        name = hashlib.sha256(text.encode()).hexdigest()
        path = cache_folder() / "text" / self.identity.digest / f"{name}.safetensors"
        kept = _kept(path)
        if kept is not None:
            return kept
        found = self.states(text).contiguous()
        with contextlib.suppress(StorageError):  # a cache that cannot be written costs time alone
            write_atomic(path, save({"features": found}))
        return found


def _kept(path: Path) -> Tensor | None:
    """What an earlier call left; None where that is nothing, or damaged."""
    try:
        found = load_file(path)["features"]
    except (OSError, SafetensorError, KeyError):
        return None
    return found if found.shape == SHAPE and found.dtype == torch.float32 and found.isfinite().all() else None


def checked(text: str) -> str:
    """The text without spaces around it.

    Raises:
        DataError: nothing is left.
    """
    if not (stripped := text.strip()):
        raise DataError("a text is empty; say what the effect is, such as 'a comic drawn in ink'")
    return stripped


def too_long(text: str, tokens: int) -> DataError:
    """For a text of more tokens than the generator reads."""
    return DataError(f"{text[:40]!r}... has {tokens} tokens; a concept's text has {TEXT_TOKENS} at most")
