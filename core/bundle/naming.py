"""Names of bundles."""

from __future__ import annotations

import re
from pathlib import Path

from pocketgan.bundle.manifest import NAME_PATTERN
from pocketgan.errors import BundleError


def bundle_name(name: str | None, model: str) -> str:
    """What the user said, or the last name of what the user calls the model; letters, digits, '.', '_' and '-'.

    Raises:
        BundleError: the user's name has other characters.
    """
    if name is None:
        last = model.rpartition(":")[2] if ":" in model else Path(model).name.removesuffix(".safetensors")
        return re.sub(r"[^A-Za-z0-9._-]", "-", last).lstrip("._-")[:128] or "model"
    if not is_name(name):
        raise BundleError(
            f"--name takes letters, digits, '.', '_' and '-', and starts with one of the first two, not {name!r}"
        )
    return name


def is_name(text: str) -> bool:
    """Whether something can be called so: letters, digits, '.', '_' and '-', beginning with one of the first two."""
    return re.fullmatch(NAME_PATTERN, text) is not None
