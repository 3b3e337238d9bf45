"""Signed results files: an Ed25519 signature of all their bytes, in a file beside them.

Beside them, because earlier versions of pocketgan refuse a line that they do not know.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pocketgan.bundle.signature import parse_signature, signature_file, verifies
from pocketgan.files import write_atomic

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SUFFIX = ".sig"
# In front of what is signed, so that no signature of a bundle, made with the same key, is one of results.
PURPOSE = b"pocketgan results\n"
_LONGEST = 4096


def signature_path(results: Path) -> Path:
    """Where the signature of a results file lies: `results.jsonl.sig`."""
    return results.with_name(f"{results.name}{SUFFIX}")


def sign_results(results: Path, key: Ed25519PrivateKey) -> None:
    """Sign the file as it is now, in place of an earlier signature.

    Raises:
        StorageError: the disk is full or refuses.
    """
    signature = signature_file(PURPOSE + results.read_bytes(), key)
    write_atomic(signature_path(results), signature, keeps="the results are complete, but not signed")


def signer(results: Path) -> str | None:
    """The public key, in base64, that a results file says it is signed with; None where it says none."""
    try:
        return base64.b64encode(parse_signature(_read(signature_path(results)))[0]).decode()
    except (OSError, ValueError, RecursionError):
        return None


def distrust(results: Path, content: bytes, trusted: Sequence[bytes]) -> str | None:
    """Why `content` of a results file is not to be trusted; None where one of the raw public keys signed it. Hostile
    signatures are a reason, never an exception."""
    path = signature_path(results)
    try:
        data = _read(path)
    except FileNotFoundError:
        return f"is not signed (there is no {path.name} beside it)"
    except OSError as error:
        return f"cannot be trusted: {path.name} cannot be read: {error.strerror or error}"
    try:
        public_key, signature = parse_signature(data)
    except (ValueError, RecursionError) as error:
        return f"cannot be trusted: {path.name} is damaged: {error}"
    if public_key not in trusted:
        return f"is signed by another key ({base64.b64encode(public_key).decode()})"
    if not verifies(public_key, signature, PURPOSE + content):
        return "was changed or appended to after it was signed"
    return None


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LONGEST)
