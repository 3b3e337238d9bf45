"""Files of weights that a quality number depends on, recorded beside the number."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pocketgan.errors import ModelError
from pocketgan.files import sha256_file


@dataclass(frozen=True)
class Weights:
    """Where weights came from, the file's name, and the hex SHA-256 of its bytes."""

    origin: str
    file: str
    sha256: str


def record_weights(path: Path, origin: str) -> Weights:
    """Raises ModelError where the file is missing or cannot be read."""
    try:
        return Weights(origin, path.name, sha256_file(path))
    except OSError as error:
        raise ModelError(f"cannot read the weights {path}: {error.strerror}") from error
