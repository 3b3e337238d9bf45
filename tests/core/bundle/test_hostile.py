"""Bundles from strangers: read as they were meant, or refused with a BundleError, and nothing outside is written."""

from __future__ import annotations

import hashlib
import json
import re
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kotlin_harness
import pytest

from pocketgan.bundle.check import check
from pocketgan.bundle.packing import unpack
from pocketgan.bundle.reader import open_bundle
from pocketgan.errors import BundleError

Members = list[tuple[str, bytes]]


def _refused(path: Path, message: str) -> None:
    """Opening, checking and unpacking all say what is wrong on one line, Kotlin too, and unpacking writes nothing."""
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(BundleError, match=message) as caught:
        unpack(path, path.parent / "out")
    text = str(caught.value)
    assert text.startswith(str(path))
    assert text.isprintable()
    assert any(re.search(message, problem) for problem in check(path))
    assert sorted(path.parent.rglob("*")) == before
    kotlin_harness.must_agree_about_bundle(path)


def _info(name: str, **fields: Any) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def _with_manifest(members: Members, change: Callable[[dict[str, Any]], object]) -> Members:
    manifest = json.loads(members[0][1])
    change(manifest)
    return [("manifest.json", json.dumps(manifest).encode()), *members[1:]]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/etc/cron.d/x", "is absolute"),
        ("../../evil", r"\.\. part"),
        ("models/../../evil", r"\.\. part"),
        ("models//x", r"\.\. part"),
        ("models\\..\\evil", "backslash"),
        ("C:/evil", "drive letter"),
        ("models/x\n\x1b[2J", "characters other than"),
        ("models/", "is a folder"),
        ("models/na\u0301me", "not ASCII"),
        ("models/extra", "which the manifest does not list"),
        ("MANIFEST.json", "twice"),
        ("licenses/apache-2.0.TXT", "twice"),
    ],
)
def test_a_bad_name_is_refused(zip_of, members: Members, name: str, message: str) -> None:
    _refused(zip_of([*members, (name, b"evil")]), message)


def test_a_zero_byte_in_a_name_is_refused(zip_of, members: Members) -> None:
    path = zip_of([*members, ("models/aXb", b"evil")])
    path.write_bytes(path.read_bytes().replace(b"models/aXb", b"models/a\0b"))
    _refused(path, "zero byte")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_duplicate_name_is_refused(zip_of, members: Members) -> None:
    _refused(zip_of([*members, members[1]]), "twice")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFDIR, stat.S_IFSOCK])
def test_a_member_that_is_no_regular_file_is_refused(zip_of, members: Members, kind: int) -> None:
    name, data = members[-1]
    path = zip_of([*members[:-1], (_info(name, external_attr=(kind | 0o777) << 16, create_system=3), data)])
    _refused(path, "is a link" if kind == stat.S_IFLNK else "folder or device")


def test_a_compression_bomb_is_refused_unread(zip_of, members: Members) -> None:
    _refused(zip_of([*members, ("models/bomb", bytes(50_000_000))], compression=zipfile.ZIP_DEFLATED), "is compressed")


def test_an_encrypted_member_is_refused(zip_of, members: Members) -> None:
    path = zip_of(members)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(data))
    _refused(path, "is encrypted")


@pytest.mark.parametrize(("header", "offset"), [(b"PK\x01\x02", 20), (b"PK\x01\x02", 24), (b"PK\x03\x04", 18)])
@pytest.mark.parametrize("lie", [0, 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_zip_header_that_lies_about_a_size_is_refused(zip_of, members: Members, header, offset, lie) -> None:
    path = zip_of(members)
    data = bytearray(path.read_bytes())
    struct.pack_into("<L", data, data.rindex(header) + offset, lie)
    path.write_bytes(bytes(data))
    _refused(path, "sizes|disagree|hidden|does not|damaged")


def test_a_manifest_that_lies_about_a_size_is_refused(zip_of, members: Members) -> None:
    def lie(manifest: dict[str, Any]) -> None:
        manifest["licenses"][0]["bytes"] = 10**15

    _refused(zip_of(_with_manifest(members, lie)), "has 9 bytes, the manifest says 1000000000000000")


@pytest.mark.parametrize("count", [1, 22, 70_000])
def test_bytes_around_the_zip_are_refused(pgb: Path, count: int) -> None:
    sound = pgb.read_bytes()
    pgb.write_bytes(sound + bytes(count))
    _refused(pgb, "appended|cut off")
    pgb.write_bytes(b"PK\x03\x04" + bytes(count) + sound)
    _refused(pgb, "before or behind")


def test_bytes_hidden_between_members_are_refused(zip_of, members: Members) -> None:
    path = zip_of(members)
    data = path.read_bytes()
    start = data.index(b"PK\x01\x02")
    length = len(data) - start - 22
    end = data[-22:-6] + struct.pack("<LH", start + 7, 0)
    path.write_bytes(data[:start] + b"secrets" + data[start : start + length] + end)
    _refused(path, "hidden bytes")


def test_a_directory_that_points_elsewhere_is_refused(zip_of, members: Members) -> None:
    path = zip_of(members)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02") + 42
    struct.pack_into("<L", data, entry, struct.unpack_from("<L", data, entry)[0] + 1)
    path.write_bytes(bytes(data))
    _refused(path, "hidden bytes before LICENSES/Apache-2.0.txt, or files that overlap")


def test_a_wrong_hash_is_refused_before_anything_stands(zip_of, members: Members) -> None:
    name, data = members[-1]
    _refused(zip_of([*members[:-1], (name, data[::-1])]), "SHA-256 is not the one")


def test_a_missing_file_is_named(zip_of, members: Members) -> None:
    _refused(zip_of(members[:-1]), f"misses {members[-1][0]}")


def test_a_newer_major_version_asks_to_upgrade(zip_of, members: Members) -> None:
    _refused(zip_of(_with_manifest(members, lambda m: m.update(format_version="2.0", entries=7))), "upgrade pocketgan")


def test_a_newer_minor_version_is_read_without_its_new_fields(zip_of, members: Members) -> None:
    def extend(manifest: dict[str, Any]) -> None:
        manifest.update(format_version="1.7", mood="sunny")
        manifest["entries"][0]["components"][0]["colour"] = {"a": [1]}

    with open_bundle(zip_of(_with_manifest(members, extend))) as bundle:
        assert bundle.manifest.format_version == "1.7"
        assert bundle.manifest.name == "tiny"


def test_an_unknown_field_of_this_version_is_refused(zip_of, members: Members) -> None:
    _refused(zip_of(_with_manifest(members, lambda m: m.update(mood="sunny"))), "mood: Extra inputs")


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[]", "not a JSON object"),
        (b"[" * 2_000_000, "nested too deeply"),
        (b'{"format_version":' * 100_000, "nested too deeply"),
        (b'{"format_version": ' + b"9" * 5000 + b"}", "damaged"),
        (b'{"format_version": NaN}', "NaN"),
        (b'{"format_version": 1e999}', "out of range"),
        (b'{"format_version": "1.0", "format_version": "1.0"}', "same key twice"),
        (b'{"format_version": 1.0}', "no format version"),
        (b'{"format_version": "0.9"}', "never was"),
        (b'{"format_version": "1.0"}', r"name: Field required.*\(and 1 more\)"),
        (b'{"format_version": "1.0", "name": "\\ud800"}', "not valid"),
        (b" " * (8 << 20) + b"{}", "too large"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_refused(zip_of, manifest: bytes, message: str) -> None:
    _refused(zip_of([("manifest.json", manifest)]), message)


def _rename(manifest: dict[str, Any], path: str) -> None:
    manifest["entries"][0]["components"][0]["files"][0]["path"] = path


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../evil", "String should match"),
        ("models/onnx-fp32/../../evil", "String should match"),
        ("models/onnx-fp32/.hidden", "String should match"),
        ("models/onnx-fp32/dot.", "String should match"),
        ("manifest.json", "String should match"),
        ("models/coreml-fp16/model.onnx", "does not lie under models/onnx-fp32/"),
        ("LICENSES/model.onnx", "does not lie under models/onnx-fp32/"),
        ("models/onnx-fp32/" + "a" * 600, "at most 512"),
    ],
)
def test_a_manifest_path_outside_its_place_is_refused(zip_of, members: Members, path: str, message: str) -> None:
    _refused(zip_of(_with_manifest(members, lambda manifest: _rename(manifest, path))), message)


def test_a_licence_or_golden_file_outside_its_place_is_refused(zip_of, members: Members) -> None:
    licence = _with_manifest(members, lambda manifest: manifest["licenses"][0].update(path="golden/licence.txt"))
    _refused(zip_of(licence), "golden/licence.txt does not lie under LICENSES/")
    golden = _with_manifest(members, lambda m: m["golden"][0]["inputs"][0]["file"].update(path="models/input.bin"))
    _refused(zip_of(golden), "models/input.bin does not lie under golden/")


@pytest.mark.parametrize("path", ["LICENSES/APACHE-2.0.txt", "LICENSES/Apache-2.0.txt/more"])
def test_manifest_paths_that_meet_on_some_file_system_are_refused(zip_of, members: Members, path: str) -> None:
    record = {"path": path, "bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    changed = _with_manifest(members, lambda manifest: manifest["licenses"].append(record))
    _refused(zip_of([*changed, ("LICENSES/other", b"")]), "same path|a file and a folder")


def test_a_golden_tensor_of_another_size_than_its_shape_is_refused(zip_of, members: Members) -> None:
    changed = _with_manifest(members, lambda manifest: manifest["golden"][0]["inputs"][0].update(shape=[1 << 20] * 16))
    _refused(zip_of(changed), "input.bin has 48 bytes, but float32 of shape")


def test_too_many_files_are_refused(zip_of, members: Members) -> None:
    _refused(zip_of([*members, *((f"models/{index}", b"") for index in range(10_001))]), "too many files")


@pytest.mark.parametrize("data", [b"", b"PK", b"a text\n" * 100, b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_what_is_no_bundle_at_all_is_said_to_be_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.pgb"
    path.write_bytes(data)
    for read in (open_bundle, check):
        with pytest.raises(BundleError, match="is no bundle"):
            read(path)


@pytest.mark.parametrize("name", ["my model.onnx", "net.pte", "net.mlpackage"])
def test_a_model_file_is_told_how_it_becomes_one(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.mkdir() if name.endswith(".mlpackage") else path.write_bytes(b"some graph")
    kind = name.partition(".")[2]
    with pytest.raises(BundleError, match=rf"is no bundle.*: pocketgan bundle pack --{kind} .*{name}'? --out "):
        open_bundle(path)


def test_a_zip_without_manifest_is_no_bundle(zip_of) -> None:
    for read in (open_bundle, check):
        with pytest.raises(BundleError, match=r"is no bundle: there is no manifest.json"):
            read(zip_of([("word/document.xml", b"<a/>")]))
