"""Ed25519 signatures of bundles: `signature.json` signs the bytes of `manifest.json`, and so every file's hash."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pocketgan.bundle.reader import Bundle, open_bundle
from pocketgan.bundle.sources import SIGNATURE
from pocketgan.errors import BundleError
from pocketgan.files import write_atomic

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ALGORITHM = "Ed25519"
KEY_BYTES = 32
SIGNATURE_BYTES = 64
# y coordinates of the points whose order divides 8: under such a "key" everybody can make signatures that verify. The
# last two solve 2y^2 = 1 - dy^4 (order 8) on the curve of RFC 8032, section 5.1.
_FIELD = (1 << 255) - 19
_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_WEAK_Y = {0, 1, _FIELD - 1, _ORDER_8, _FIELD - _ORDER_8}


@dataclass(frozen=True)
class SignatureState:
    """What a bundle's signature says.

    Attributes:
        signed: there is a `signature.json`.
        public_key: raw public key that it states, in base64; None where it states none.
        problem: what is wrong with it, None if nothing. An unsigned bundle is a problem only where a key is expected.
    """

    signed: bool
    public_key: str | None = None
    problem: str | None = None

    @property
    def valid(self) -> bool:
        """Signed, by the expected key if one was given, and the manifest is unchanged since."""
        return self.signed and self.problem is None

    def __str__(self) -> str:
        if self.problem:
            return f"INVALID: {self.problem}"
        return f"valid, by key {self.public_key}" if self.signed else "unsigned"


def sign(path: Path, key_file: Path) -> SignatureState:
    """Sign a bundle, in place of an earlier signature; its digest does not change.

    Args:
        path: a `.pgb` file, rewritten atomically, or an unpacked bundle.
        key_file: Ed25519 private key in PEM, without a password.
    Raises:
        BundleError: the bundle is damaged, or the key file is none.
        StorageError: the disk is full or refuses; the bundle is as it was.
    """
    key = read_private_key(key_file)
    with open_bundle(path) as bundle:
        # Signing is a promise about the content, so the content has to be what the manifest says.
        for record in bundle.manifest.files():
            for _ in bundle.chunks(record.path):
                pass
        signature = signature_file(bundle.manifest_bytes, key)
        if path.is_dir():
            write_atomic(path / SIGNATURE, signature)
        else:
            bundle.write(path, signature)
        return judge(bundle.manifest_bytes, signature)


def verify_signature(path: Path, public_key_file: Path | None = None) -> SignatureState:
    """Whether the bundle is signed and by whom; with a key, whether by that key. Reads no files' hashes (see check).

    Args:
        path: a `.pgb` file or an unpacked bundle.
        public_key_file: the key expected, in PEM or as the base64 text that `bundle inspect` shows.
    Raises:
        BundleError: the bundle cannot be opened, or the key file is none.
    """
    expected = read_public_key(public_key_file) if public_key_file else None
    with open_bundle(path) as bundle:
        return signature_of(bundle, expected)


def signature_of(bundle: Bundle, expected: bytes | None = None) -> SignatureState:
    """The state of an open bundle's signature; `expected` is the raw public key that it must be from."""
    return judge(bundle.manifest_bytes, bundle.signature_bytes, expected)


def judge(manifest: bytes, signature: bytes | None, expected: bytes | None = None) -> SignatureState:
    """What `signature.json` says about `manifest.json`; hostile bytes are a problem, never an exception."""
    if signature is None:
        return SignatureState(signed=False, problem="is not signed, but a key is expected" if expected else None)
    try:
        public_key, value = parse_signature(signature)
    except (ValueError, RecursionError) as error:
        return SignatureState(signed=True, problem=f"{SIGNATURE} is damaged: {error}")
    shown = base64.b64encode(public_key).decode()
    if expected is not None and public_key != expected:
        return SignatureState(signed=True, public_key=shown, problem=f"is signed by another key ({shown})")
    if not verifies(public_key, value, manifest):
        return SignatureState(signed=True, public_key=shown, problem=f"{SIGNATURE} is not of this manifest")
    return SignatureState(signed=True, public_key=shown)


def verifies(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the signature is that key's, of this message; all raw bytes."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def read_public_key(key_file: Path) -> bytes:
    """The raw 32 bytes of an Ed25519 public key, in PEM or base64.

    Raises:
        BundleError: the file cannot be read or holds something else.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data = _read_key_file(key_file)
    if b"PRIVATE KEY" in data:
        raise BundleError(
            f"{key_file}: is a private key, the public one is needed; get it with: "
            f"openssl pkey -in {key_file} -pubout -out public.pem"
        )
    try:
        if b"-----BEGIN" not in data:
            return _exactly(KEY_BYTES, base64.b64decode(data.strip(), validate=True))
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BundleError(f"{key_file}: is not an Ed25519 public key in PEM or base64") from error
    if not isinstance(key, Ed25519PublicKey):
        raise BundleError(f"{key_file}: is not an Ed25519 key but another kind")
    return key.public_bytes_raw()


def read_private_key(key_file: Path) -> Ed25519PrivateKey:
    """The key that a PEM file without a password holds.

    Raises:
        BundleError: the file cannot be read or holds something else; says how a key is made.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_read_key_file(key_file), password=None)
    except TypeError as error:
        raise BundleError(
            f"{key_file}: is protected by a password; decrypt it with: openssl pkey -in {key_file} -out key.pem"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BundleError(
            f"{key_file}: is not a private key in PEM; make one with: openssl genpkey -algorithm ed25519 -out key.pem"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BundleError(
            f"{key_file}: is not an Ed25519 key; make one with: openssl genpkey -algorithm ed25519 -out key.pem"
        )
    return key


def _read_key_file(key_file: Path) -> bytes:
    try:
        return key_file.read_bytes()
    except OSError as error:
        raise BundleError(f"{key_file}: the key file cannot be read: {error.strerror or error}") from error


def signature_file(message: bytes, key: Ed25519PrivateKey) -> bytes:
    """What a signature of the message is kept as: JSON with algorithm, public_key and signature."""
    value = {
        "algorithm": ALGORITHM,
        "public_key": base64.b64encode(key.public_key().public_bytes_raw()).decode(),
        "signature": base64.b64encode(key.sign(message)).decode(),
    }
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def parse_signature(data: bytes) -> tuple[bytes, bytes]:
    """Raw public key and signature that a `signature_file` holds.

    Raises:
        ValueError, RecursionError: anything but the three fields as they should be, or a key that proves nothing.
    """
    value = json.loads(data.decode("utf-8"))
    if not isinstance(value, dict) or value.keys() != {"algorithm", "public_key", "signature"}:
        raise ValueError("it has to hold algorithm, public_key and signature")
    if value["algorithm"] != ALGORITHM:
        raise ValueError(f"its algorithm is not {ALGORITHM}")
    public_key = _decoded(value["public_key"], KEY_BYTES)
    if _is_weak(public_key):
        raise ValueError("its key is one that everybody can sign for")
    return public_key, _decoded(value["signature"], SIGNATURE_BYTES)


def _is_weak(public_key: bytes) -> bool:
    """Whether the point is of low order; the top bit is the sign of x and does not matter."""
    return (int.from_bytes(public_key, "little") & ((1 << 255) - 1)) % _FIELD in _WEAK_Y


def _decoded(value: object, length: int) -> bytes:
    if not isinstance(value, str):
        raise ValueError("it holds something other than text")
    try:
        return _exactly(length, base64.b64decode(value, validate=True))
    except binascii.Error as error:
        raise ValueError("it holds text that is not base64") from error


def _exactly(length: int, data: bytes) -> bytes:
    if len(data) != length:
        raise ValueError(f"it holds {len(data)} bytes where {length} belong")
    return data
