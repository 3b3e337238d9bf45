"""Kotlin's Ed25519 says of every signature what Python's `cryptography` says."""

from __future__ import annotations

import hashlib
import random

import kotlin_harness
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ORDER = (1 << 252) + 27742317777372353535851937790883648493
FIELD = (1 << 255) - 19
# y of the points of order 1, 2, 4 and 8, and the two of them that may be written above the field's size.
LOW_ORDER_Y = [
    1,
    FIELD - 1,
    0,
    0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
    FIELD - 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
    FIELD,
    FIELD + 1,
]
LOW_ORDER = [(y | sign << 255).to_bytes(32, "little") for y in LOW_ORDER_Y for sign in (0, 1)]


def _python_verifies(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _signed(seed: int, length: int) -> tuple[bytes, bytes, bytes]:
    private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(str(seed).encode()).digest())
    message = random.Random(seed).randbytes(length)
    return private.public_key().public_bytes_raw(), message, private.sign(message)


@pytest.mark.parametrize("length", [0, 1, 63, 64, 127, 128, 1023, 100_000])
def test_a_signature_of_python_is_valid(length: int) -> None:
    kotlin_harness.must_agree_about_signature(*_signed(length, length), valid=True)


def test_every_flipped_byte_is_found() -> None:
    key, message, signature = _signed(7, 40)
    for at in range(64):
        broken = bytearray(signature)
        broken[at] ^= 1 << at % 8
        kotlin_harness.must_agree_about_signature(key, message, bytes(broken), valid=False)


def test_a_second_form_of_s_is_refused() -> None:
    for seed in range(8):
        key, message, signature = _signed(seed, 10)
        s = int.from_bytes(signature[32:], "little") + ORDER
        again = signature[:32] + s.to_bytes(32, "little")
        assert not _python_verifies(key, message, again)
        kotlin_harness.must_agree_about_signature(key, message, again, valid=False)


@pytest.mark.parametrize("key", LOW_ORDER, ids=lambda key: key.hex()[:8])
def test_points_of_low_order_are_judged_as_python_judges_them(key: bytes) -> None:
    """With S = 0 the equation asks for R = -kA, which is one of the low-order points for every message."""
    verdicts = set()
    for number in range(16):
        message = bytes([number])
        for point in LOW_ORDER[:10]:
            signature = point + bytes(32)
            verdict = _python_verifies(key, message, signature)
            verdicts.add(verdict)
            kotlin_harness.must_agree_about_signature(key, message, signature, verdict)
    # Both verdicts occur, except under a key that OpenSSL takes for no point.
    assert False in verdicts


def test_random_bytes_are_judged_alike() -> None:
    rng = random.Random(1)
    for _ in range(50):
        key, message, signature = rng.randbytes(32), rng.randbytes(8), rng.randbytes(63) + b"\x00"
        kotlin_harness.must_agree_about_signature(key, message, signature, _python_verifies(key, message, signature))
