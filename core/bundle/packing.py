"""Bundles (`.pgb`): pack, open, check, unpack. Reading trusts nothing; writing is atomic and reproducible to the byte.

A bundle is a ZIP (its form: `strict_zip.py`) or the same files in a folder: `manifest.json`, what it lists, and perhaps
`signature.json`, the only file that it does not list. The SHA-256 of `manifest.json` is the bundle's identity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from pocketgan.bundle.damage import DamageError, NotABundleError, must_be_safe, reading
from pocketgan.bundle.manifest import FileRecord, Manifest
from pocketgan.bundle.manifest_file import manifest_bytes
from pocketgan.bundle.reader import Bundle, open_bundle
from pocketgan.bundle.signature import judge
from pocketgan.bundle.sources import MANIFEST, SIGNATURE, must_look_like_bundle, open_source
from pocketgan.errors import BundleError
from pocketgan.files import sha256_file, write_atomic

__all__ = ["Bundle", "check", "open_bundle", "pack_folder", "record_file", "unpack", "write_manifest"]


def check(path: Path) -> list[str]:
    """Every problem found in the bundle, all hashes and the signature included; empty for a sound one.

    Raises:
        BundleError: there is nothing at `path` that could be a bundle.
    """
    with reading(path):
        must_look_like_bundle(path)
    problems: list[str] = []
    try:
        with reading(path), closing(open_source(path)) as source:
            bundle = Bundle(path, source)
            problems += bundle.listing_problems()
            problems += _content_problems(bundle, source.sizes.keys())
            state = judge(bundle.manifest_bytes, bundle.signature_bytes)
            problems += [state.problem] if state.problem else []
    except NotABundleError:
        raise
    except BundleError as error:
        problems.append(str(error).removeprefix(f"{path}: "))
    return problems


def _content_problems(bundle: Bundle, there: Collection[str]) -> list[str]:
    """Listed files that are there, but whose content is not what the manifest says."""
    problems = []
    for record in bundle.manifest.files():
        if record.path not in there:
            continue
        try:
            for _ in bundle.chunks(record.path):
                pass
        except BundleError as error:
            problems.append(str(error).removeprefix(f"{bundle.path}: "))
    return problems


def unpack(path: Path, out: Path, entry: str | None = None) -> None:
    """Write a bundle's files to a new folder (see Bundle.extract).

    Raises:
        BundleError: the bundle is damaged, has no such entry, or `out` is there and not empty.
        StorageError: the disk is full or refuses.
    """
    with open_bundle(path) as bundle:
        bundle.extract(out, entry)


def pack_folder(folder: Path, out: Path) -> str:
    """Make a `.pgb` of an unpacked bundle whose every file is checked, and return its digest.

    The same files give the same bytes, and `manifest.json` keeps its own.

    Raises:
        BundleError: a listed file is missing or differs, another is there, or the signature is of another manifest.
        StorageError: the disk is full or refuses; an earlier `out` is as it was.
    """
    if not folder.is_dir():
        raise BundleError(f"{folder}: is not a folder")
    if folder.resolve() in out.resolve().parents:
        raise BundleError(f"{out}: lies in the folder that is to be packed; write the bundle elsewhere")
    with open_bundle(folder) as bundle:
        problem = judge(bundle.manifest_bytes, bundle.signature_bytes).problem
        if problem:
            raise BundleError(f"{folder}: {problem}; delete {SIGNATURE} and sign the bundle again")
        bundle.write(out, bundle.signature_bytes)
        return bundle.digest


def write_manifest(folder: Path, manifest: Manifest) -> str:
    """Write `manifest.json` into `folder` and return the bundle's digest.

    Raises:
        StorageError: the disk is full or refuses.
    """
    data = manifest_bytes(manifest)
    write_atomic(folder / MANIFEST, data)
    return hashlib.sha256(data).hexdigest()


def record_file(folder: Path, relative: str) -> FileRecord:
    """The manifest's line for the file `relative` (with / between parts) in `folder`.

    Raises:
        BundleError: there is no such file, or a bundle cannot hold a file of that name.
    """
    path = folder / relative
    with reading(path):
        must_be_safe(relative)
        if path.is_symlink() or not path.is_file():
            raise DamageError("there is no such file")
        return FileRecord(path=relative, bytes=path.stat().st_size, sha256=sha256_file(path))
