"""Bundles from strangers: read as they were meant, or refused with a BundleError, and nothing outside is written."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pocketgan.bundle import check, open_bundle, unpack
from pocketgan.errors import BundleError

Members = list[tuple[str, bytes]]
MUTANTS = 5_000


def _refused(path: Path, message: str) -> None:
    """Opening, checking and unpacking all say what is wrong on one line, and unpacking writes nothing."""
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(BundleError, match=message) as caught:
        unpack(path, path.parent / "out")
    text = str(caught.value)
    assert text.startswith(str(path))
    assert text.isprintable()
    assert any(re.search(message, problem) for problem in check(path))
    assert sorted(path.parent.rglob("*")) == before


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


def test_a_zip_without_manifest_is_no_bundle(zip_of) -> None:
    for read in (open_bundle, check):
        with pytest.raises(BundleError, match=r"is no bundle: there is no manifest.json"):
            read(zip_of([("word/document.xml", b"<a/>")]))


# What a mutant may be: the sound files and what its manifest says of them, changed by one of the mutators below.
Mutator = Callable[[random.Random, Members], bytes]


def _zip(members: Members) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members:
            archive.writestr(_info(name), data)
    return buffer.getvalue()


def _flip_bits(rng: random.Random, members: Members) -> bytes:
    data = bytearray(_zip(members))
    for _ in range(rng.choice((1, 1, 2, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _cut(rng: random.Random, members: Members) -> bytes:
    data = _zip(members)
    start, stop = sorted(rng.sample(range(len(data)), 2))
    return rng.choice((data[:stop], data[:start] + data[stop:], data[start:]))


def _splice_header(rng: random.Random, members: Members) -> bytes:
    data = bytearray(_zip(members))
    marks = [match.start() for match in re.finditer(rb"PK(\x01\x02|\x03\x04|\x05\x06)", data)]
    target, other = rng.choice(marks), rng.choice(marks)
    start = rng.randrange(4, 46)
    data[target + start : target + start + rng.choice((1, 2, 4, 8))] = data[other + start : other + start + 4]
    return bytes(data)


def _rename_member(rng: random.Random, members: Members) -> bytes:
    index = rng.randrange(len(members))
    name = members[index][0]
    renamed = rng.choice(
        (f"../{name}", f"/{name}", f"x/../../{name}", name.upper(), f"{name}/", f"c:{name}", f"./{name}")
    )
    return _zip([*members[:index], (renamed, members[index][1]), *members[index + 1 :]])


def _duplicate(rng: random.Random, members: Members) -> bytes:
    name, data = rng.choice(members)
    return _zip([*members, (rng.choice((name, name.lower(), name.swapcase())), rng.choice((data, b"other")))])


def _edit_manifest(rng: random.Random, members: Members) -> bytes:
    """Change a random node and make the hashes and sizes of all files true again."""
    files = dict(members[1:])

    def edit(manifest: dict[str, Any]) -> None:
        node: Any = manifest
        while True:
            key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
            if not isinstance(node[key], dict | list) or not node[key] or rng.random() < 0.2:
                break
            node = node[key]
        node[key] = rng.choice(
            (None, -1, 1 << 70, 1.5, "", "../../x", "models/x", "\x1b[2J", [], {}, [[]], True, "9.9")
        )

    changed = _with_manifest(members, edit)
    manifest = json.loads(changed[0][1])
    for record in _records(manifest):
        if record["path"] in files:
            record.update(bytes=len(files[record["path"]]), sha256=hashlib.sha256(files[record["path"]]).hexdigest())
    return _zip([("manifest.json", json.dumps(manifest).encode()), *members[1:]])


def _records(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, dict):
        own = [node] if isinstance(node.get("path"), str) and {"bytes", "sha256"} <= node.keys() else []
        return own + [record for value in node.values() for record in _records(value)]
    return [record for value in node for record in _records(value)] if isinstance(node, list) else []


def _lie_about_size(rng: random.Random, members: Members) -> bytes:
    data = bytearray(_zip(members))
    mark, offset = rng.choice(((b"PK\x01\x02", 20), (b"PK\x01\x02", 24), (b"PK\x03\x04", 18), (b"PK\x03\x04", 22)))
    at = rng.choice([match.start() for match in re.finditer(mark, data)])
    for place in rng.choice(((offset,), (offset - offset % 4 - 2, offset))):
        struct.pack_into("<L", data, at + place, rng.choice((0, 1, 10, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)))
    return bytes(data)


MUTATORS: tuple[Mutator, ...] = (
    _flip_bits,
    _cut,
    _splice_header,
    _rename_member,
    _duplicate,
    _edit_manifest,
    _lie_about_size,
)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_thousands_of_mutants_are_read_as_they_were_meant_or_refused(members: Members, tmp_path: Path, files) -> None:
    rng = random.Random(20240607)
    cage = tmp_path / "cage"
    cage.mkdir()
    path, out = cage / "mutant.pgb", cage / "out"
    outside = sorted(tmp_path.rglob("*"))
    read, refused = 0, 0
    for index in range(MUTANTS):
        mutator = MUTATORS[index % len(MUTATORS)]
        path.write_bytes(mutator(rng, members))
        try:
            unpack(path, out)
        except BundleError:
            refused += 1
            assert sorted(cage.iterdir()) == [path], mutator.__name__
            continue
        read += 1
        written = {str(file.relative_to(out)): file.read_bytes() for file in out.rglob("*") if file.is_file()}
        manifest = written.pop("manifest.json")
        assert written == files, mutator.__name__
        assert manifest == members[0][1] or mutator is _edit_manifest
        for file in sorted(out.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        out.rmdir()
    path.unlink()
    assert [item for item in sorted(tmp_path.rglob("*")) if item != path] == [item for item in outside if item != path]
    # Both happen often: most damage is found, harmless header bits (a date, a permission) change nothing.
    assert read > MUTANTS / 100
    assert refused > MUTANTS / 2
