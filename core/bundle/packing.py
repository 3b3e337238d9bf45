"""Making bundles (`.pgb`) of folders, and folders of bundles: atomic, and reproducible to the byte.

A bundle is a ZIP (its form: `strict_zip.py`) or the same files in a folder: `manifest.json`, what it lists, and perhaps
`signature.json`, the only file that it does not list. The SHA-256 of `manifest.json` is the bundle's identity.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pocketgan.bundle.damage import DamageError, must_be_safe, reading
from pocketgan.bundle.manifest import FORMAT_VERSION, FileRecord, Manifest, Origin, Role
from pocketgan.bundle.manifest_file import manifest_bytes
from pocketgan.bundle.named_files import named_file_problems
from pocketgan.bundle.reader import open_bundle
from pocketgan.bundle.signature import judge
from pocketgan.bundle.sources import MANIFEST, SIGNATURE
from pocketgan.errors import BundleError
from pocketgan.files import sha256_file, write_atomic


def unpack(path: Path, out: Path, entry: str | None = None, concept: str | None = None) -> None:
    """Write a bundle's files to a new folder (see Bundle.extract); a concept goes with an entry.

    Raises:
        BundleError: the bundle is damaged, has no such entry or concept, or `out` is there and not empty.
        StorageError: the disk is full or refuses.
    """
    if concept is not None and entry is None:
        raise BundleError("--concept goes with --entry: what one entry needs to draw it")
    with open_bundle(path) as bundle:
        bundle.extract(out, entry, concept=concept)


def pack_folder(folder: Path, out: Path) -> str:
    """Make a `.pgb` of an unpacked bundle whose every file is checked, and return its digest.

    The same files give the same bytes, and `manifest.json` keeps its own.

    Raises:
        BundleError: a listed file is missing or differs, another is there, the signature is of another manifest, or a
            model names files that are not its entry's.
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
        problems = named_file_problems(bundle)
        if problems:
            raise BundleError(f"{folder}: {problems[0]}")
        bundle.write(out, bundle.signature_bytes)
        return bundle.digest


def relabel(
    path: Path, folder: Path, *, name: str, role: Role, teacher: Origin, quality: Mapping[str, float]
) -> Manifest:
    """Unpack a bundle to a new folder under another name, as a teacher that was given, and return its manifest.

    Its entries, golden tensors and files stay; its signature, which is of the old manifest, does not.

    Raises:
        BundleError: the bundle is damaged, or `folder` is there and not empty.
        StorageError: the disk is full or refuses.
    """
    unpack(path, folder)
    with open_bundle(folder) as bundle:
        said = bundle.manifest.model_dump()
    (folder / SIGNATURE).unlink(missing_ok=True)
    changed = {"format_version": FORMAT_VERSION, "name": name, "role": role, "teacher": teacher, "quality": quality}
    manifest = Manifest.model_validate({**said, **changed})
    write_manifest(folder, manifest)
    return manifest


@contextmanager
def packed(out: Path) -> Iterator[Path]:
    """Yield a folder beside `out` for an unpacked bundle, which is packed there if the block succeeds.

    Raises:
        BundleError, StorageError: as `pack_folder`.
    """
    folder = out.with_name(f".{out.name}.unpacked")
    try:
        yield folder
        pack_folder(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
