"""Thousands of broken bundles, made by a seeded mutator: each is read as it was meant, or refused, and nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kotlin_harness
import pytest

from pocketgan.bundle.packing import unpack
from pocketgan.errors import BundleError

Members = list[tuple[str, bytes]]
MUTANTS = 5_000
# One in so many is judged in Kotlin as well; prime to the number of mutators.
JUDGED_TWICE = 5

# Takes the sound bundle's files and gives the bytes of a broken one, or of one broken where it does not matter.
Mutator = Callable[[random.Random, Members], bytes]


def _zip(members: Members) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data)
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
    manifest = json.loads(members[0][1])
    node: Any = manifest
    while True:
        key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        if not isinstance(node[key], dict | list) or not node[key] or rng.random() < 0.2:
            break
        node = node[key]
    node[key] = rng.choice((None, -1, 1 << 70, 1.5, "", "../../x", "models/x", "\x1b[2J", [], {}, [[]], True, "9.9"))
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
    """One lie, told in one to all four places that state a member's size."""
    data = bytearray(_zip(members))
    index = rng.randrange(len(members))
    central = [match.start() for match in re.finditer(rb"PK\x01\x02", data)][index]
    local = [match.start() for match in re.finditer(rb"PK\x03\x04", data)][index]
    lie = rng.choice((0, 1, 10, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF))
    for place in rng.sample((central + 20, central + 24, local + 18, local + 22), rng.randint(1, 4)):
        struct.pack_into("<L", data, place, lie)
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
        if index % JUDGED_TWICE == 0:
            kotlin_harness.must_agree_about_bundle(path)
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
