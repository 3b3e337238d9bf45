"""The session folder that is handed to a device that is elsewhere; see `bench.schema.session`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pocketgan.bench.devices.transport import SessionFile
from pocketgan.bench.schema.job import Job
from pocketgan.bench.schema.session import Session
from pocketgan.bundle.manifest import FileRecord
from pocketgan.bundle.reader import Bundle
from pocketgan.bundle.sources import MANIFEST, SIGNATURE
from pocketgan.files import atomic_file, sha256_file

SESSION, RESULTS = "session.json", "results.jsonl"


def files_of(work: Sequence[tuple[Bundle, Job]]) -> dict[str, str]:
    """SHA-256 of every file of the bundles that these jobs need, by its path in the session folder."""
    return {path: sha256 for path, _, sha256, _ in _needed(work)}


def write_session(
    folder: Path, session: Session, work: Sequence[tuple[Bundle, Job]], there: Mapping[str, str]
) -> list[SessionFile]:
    """Write to `folder` what a device lacks for a session: files of its bundles, of the asked entries and components
    alone, and last `session.json`, so that where it is, all is.

    Args:
        work: every job of the session with its bundle.
        there: SHA-256 of the files that the device has, by path; those that are right, and those that lie in `folder`
            already, are not written again.
    Returns:
        What the device lacks, in the order in which it is to be sent.
    Raises:
        BundleError: a bundle is damaged.
        StorageError: the disk is full or refuses.
    """
    lacking = []
    for path, size, sha256, chunks in _needed(work):
        if there.get(path) != sha256:
            lacking.append(_write(folder, path, size, sha256, chunks))
    content = session.model_dump_json().encode()
    lacking.append(_write(folder, SESSION, len(content), hashlib.sha256(content).hexdigest(), _constant(content)))
    return lacking


def worth_keeping(there: Mapping[str, str], needed: Mapping[str, str]) -> set[str]:
    """Paths on a device whose files are right, as `files_of` says."""
    return {path for path, sha256 in needed.items() if there.get(path) == sha256}


def _needed(work: Sequence[tuple[Bundle, Job]]) -> Iterator[tuple[str, int, str, Callable[[], Iterator[bytes]]]]:
    """Path, size, SHA-256 and content of each file, each once."""
    told: set[str] = set()
    for bundle, job in work:
        root = f"bundles/{bundle.digest}"
        stored = {MANIFEST: bundle.manifest_bytes}
        if bundle.signature_bytes is not None:
            stored[SIGNATURE] = bundle.signature_bytes
        for record in _records(bundle, job):
            path = f"{root}/{record.path}"
            if path not in told:
                told.add(path)
                yield path, record.bytes, record.sha256, _reader(bundle, record.path)
        for name, content in stored.items():
            path = f"{root}/{name}"
            if path not in told:
                told.add(path)
                yield path, len(content), hashlib.sha256(content).hexdigest(), _constant(content)


def _records(bundle: Bundle, job: Job) -> list[FileRecord]:
    """Files of the asked entry, or of its component, with its golden tensors; parity is checked on the device.

    Of a pack those that the asked concept needs, or its default.
    """
    entry = bundle.manifest.entry(job.entry, job.concept)
    models = [file for one in entry.components if job.component in (None, one.name) for file in one.files]
    return [*models, *bundle.manifest.golden_files(entry.golden)]


def _reader(bundle: Bundle, name: str) -> Callable[[], Iterator[bytes]]:
    return lambda: bundle.chunks(name)


def _constant(content: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter([content])


def _write(folder: Path, path: str, size: int, sha256: str, chunks: Callable[[], Iterator[bytes]]) -> SessionFile:
    target = folder / path
    if path == SESSION or not target.is_file() or sha256_file(target) != sha256:
        with atomic_file(target) as temporary, temporary.open("wb") as file:
            for chunk in chunks():
                file.write(chunk)
    return SessionFile(path, target, size, sha256)
