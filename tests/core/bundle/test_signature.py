"""Signing bundles and judging signatures."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import kotlin_harness
import pytest
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pocketgan.bundle.check import check
from pocketgan.bundle.manifest import Origin
from pocketgan.bundle.packing import pack_folder, relabel, unpack
from pocketgan.bundle.reader import open_bundle
from pocketgan.bundle.signature import sign, verify_signature
from pocketgan.errors import BundleError


def _write_keys(folder: Path, name: str, seed: int) -> tuple[Path, Path]:
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    private, public = folder / f"{name}.pem", folder / f"{name}-public.pem"
    private.write_bytes(key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return _write_keys(tmp_path, "ours", 7)


@pytest.fixture
def other_keys(tmp_path: Path) -> tuple[Path, Path]:
    return _write_keys(tmp_path, "theirs", 8)


@pytest.mark.parametrize("packed", [True, False])
def test_signing_keeps_digest_and_files_and_is_valid(folder, pgb, keys, files, packed: bool) -> None:
    path = pgb if packed else folder
    with open_bundle(path) as bundle:
        before = bundle.digest
    state = sign(path, keys[0])
    assert state.valid
    with open_bundle(path) as bundle:
        assert bundle.digest == before
        assert {name: bundle.read(name) for name in files} == files
    assert verify_signature(path) == verify_signature(path, keys[1]) == state
    assert check(path) == []
    kotlin_harness.must_agree_about_bundle(path)


def test_a_relabelled_bundle_is_unsigned(pgb: Path, keys, tmp_path: Path) -> None:
    sign(pgb, keys[0])
    given = Origin(kind="bundle", file="tiny.pgb", sha256="0" * 64)
    relabel(pgb, tmp_path / "teacher", name="teacher", role="teacher", teacher=given, quality={})
    assert not verify_signature(tmp_path / "teacher").signed
    assert check(tmp_path / "teacher") == []


def test_signing_twice_gives_the_same_bytes(pgb: Path, keys) -> None:
    sign(pgb, keys[0])
    once = pgb.read_bytes()
    sign(pgb, keys[0])
    assert pgb.read_bytes() == once


def test_a_signed_folder_packs_to_the_same_bytes_as_its_signed_zip(
    folder: Path, pgb: Path, keys, tmp_path: Path
) -> None:
    sign(pgb, keys[0])
    unpack(pgb, tmp_path / "again")
    pack_folder(tmp_path / "again", tmp_path / "again.pgb")
    assert (tmp_path / "again.pgb").read_bytes() == pgb.read_bytes()


def test_a_new_signature_takes_the_place_of_the_old(pgb: Path, keys, other_keys) -> None:
    sign(pgb, other_keys[0])
    sign(pgb, keys[0])
    assert verify_signature(pgb, keys[1]).valid
    assert not verify_signature(pgb, other_keys[1]).valid


def test_an_unsigned_bundle_is_a_problem_only_where_a_key_is_expected(pgb: Path, keys) -> None:
    assert verify_signature(pgb).problem is None
    assert not verify_signature(pgb).valid
    assert "not signed" in str(verify_signature(pgb, keys[1]).problem)


def test_a_bundle_signed_by_another_key_is_a_problem(pgb: Path, keys, other_keys) -> None:
    sign(pgb, other_keys[0])
    assert "another key" in str(verify_signature(pgb, keys[1]).problem)


def test_the_expected_key_may_be_the_text_that_inspect_shows(pgb: Path, keys, tmp_path: Path) -> None:
    state = sign(pgb, keys[0])
    (tmp_path / "key.txt").write_text(f"{state.public_key}\n")
    assert verify_signature(pgb, tmp_path / "key.txt").valid


def test_a_manifest_changed_after_signing_is_a_problem_and_is_not_packed(folder: Path, keys, tmp_path: Path) -> None:
    sign(folder, keys[0])
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"tiny"', b'"evil"'))
    assert "not of this manifest" in str(verify_signature(folder).problem)
    assert check(folder) == ["signature.json is not of this manifest"]
    kotlin_harness.must_agree_about_bundle(folder)
    with pytest.raises(BundleError, match="not of this manifest; delete"):
        pack_folder(folder, tmp_path / "evil.pgb")


def test_a_signature_of_another_bundle_does_not_pass(folder: Path, keys, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "other")
    (other / "manifest.json").write_bytes((folder / "manifest.json").read_bytes().replace(b'"tiny"', b'"more"'))
    sign(other, keys[0])
    shutil.copy(other / "signature.json", folder)
    assert not verify_signature(folder, keys[1]).valid


def _signature(**changes: object) -> bytes:
    fields = {
        "algorithm": "Ed25519",
        "public_key": base64.b64encode(bytes(32)).decode(),
        "signature": base64.b64encode(bytes(64)).decode(),
    }
    return json.dumps({**fields, **changes}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"\xff",
        b"[" * 10_000,
        _signature(),
        _signature(algorithm="none"),
        _signature(public_key="AAAA"),
        _signature(public_key="not base64 \u00e9"),
        _signature(signature=7),
        _signature(signature=""),
        _signature(more=1),
    ],
)
def test_a_hostile_signature_is_a_problem_and_no_exception(folder: Path, keys, data: bytes) -> None:
    (folder / "signature.json").write_bytes(data)
    for state in (verify_signature(folder), verify_signature(folder, keys[1])):
        assert state.signed
        assert state.problem
        assert state.problem.isprintable()
    assert len(check(folder)) == 1
    kotlin_harness.must_agree_about_bundle(folder)


@pytest.mark.parametrize(
    "point",
    [
        "00" * 32,
        "00" * 31 + "80",
        "01" + "00" * 31,
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ],
)
def test_a_key_that_everybody_can_sign_for_is_a_problem(folder: Path, point: str) -> None:
    (folder / "signature.json").write_bytes(_signature(public_key=base64.b64encode(bytes.fromhex(point)).decode()))
    assert "everybody" in str(verify_signature(folder).problem)
    kotlin_harness.must_agree_about_bundle(folder)


def test_a_huge_signature_is_refused(folder: Path) -> None:
    (folder / "signature.json").write_bytes(bytes(20_000))
    with pytest.raises(BundleError, match=r"signature.json is too large"):
        verify_signature(folder)


def test_a_damaged_bundle_is_not_signed(folder: Path, keys) -> None:
    (folder / "LICENSES/Apache-2.0.txt").write_bytes(b"A licence")
    with pytest.raises(BundleError, match="SHA-256"):
        sign(folder, keys[0])
    assert not (folder / "signature.json").exists()


def test_a_key_file_that_is_none_is_named(pgb: Path, keys, tmp_path: Path) -> None:
    before = pgb.read_bytes()
    elliptic = generate_private_key(SECP256R1())
    unencrypted, locked = pem.NoEncryption(), pem.BestAvailableEncryption(b"secret")
    private = {
        "text": b"hello",
        "public": keys[1].read_bytes(),
        "elliptic": elliptic.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, unencrypted),
        "locked": Ed25519PrivateKey.generate().private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, locked),
    }
    for name, data in private.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BundleError, match=f"{name}: .*openssl"):
            sign(pgb, tmp_path / name)
    with pytest.raises(BundleError, match="cannot be read"):
        sign(pgb, tmp_path / "none.pem")
    assert pgb.read_bytes() == before


def test_an_expected_key_that_is_none_is_named(pgb: Path, keys, tmp_path: Path) -> None:
    elliptic = generate_private_key(SECP256R1()).public_key()
    (tmp_path / "elliptic").write_bytes(elliptic.public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "text").write_bytes(b"hello")
    for path, message in (
        (keys[0], "is a private key"),
        (tmp_path / "elliptic", "another kind"),
        (tmp_path / "text", "is not"),
    ):
        with pytest.raises(BundleError, match=message):
            verify_signature(pgb, path)
