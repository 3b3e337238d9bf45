"""results.jsonl: every bundle that was measured and every Result, one JSON object a line, appended and fsynced.

A record counts once its line is whole, newline included. A crash while appending leaves at most half a last line:
readers pass over it, the next writer cuts it off.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from pocketgan import console
from pocketgan.bench.schema.job import SCHEMA_VERSION
from pocketgan.bench.schema.result import Result
from pocketgan.bench.signed import distrust, sign_results, signature_path
from pocketgan.bundle.manifest import FORMAT_VERSION, Manifest, Name, Sha256, Strict
from pocketgan.errors import ResultsError, storage_errors

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MAX_SAMPLES = MAX_GALLERY = 4
# How every line of a results file begins, so that half a line can be told from a foreign file.
LINE_START = b'{"record":"'

Record = TypeVar("Record", bound=BaseModel)


class SampleRow(Strict):
    """Pictures that belong together, each a base64 PNG or null."""

    input: str | None = None
    target: str | None = None
    teacher: str | None = None
    output: str | None = None


class GalleryRow(Strict):
    """A photo and what the concepts of a pack make of it, by their names: base64 JPEGs or PNGs."""

    input: str
    outputs: dict[Name, str]


class BundleRecord(Strict):
    """What the results say of a bundle: its digest, its manifest, up to four sample rows, and of a pack as many rows of
    its gallery."""

    record: Literal["bundle"] = "bundle"
    digest: Sha256
    manifest: Manifest
    samples: list[SampleRow] = Field(default_factory=list, max_length=MAX_SAMPLES)
    gallery: list[GalleryRow] = Field(default_factory=list, max_length=MAX_GALLERY)


@dataclass
class Results:
    """The content of one or more results files."""

    bundles: dict[str, BundleRecord] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)

    def add(self, record: BundleRecord | Result) -> None:
        """Add a record; of two records of one bundle the pictures of the later one count, where it has some."""
        if isinstance(record, Result):
            self.results.append(record)
            return
        before = self.bundles.setdefault(record.digest, record)
        pictures = {"samples": record.samples or before.samples, "gallery": record.gallery or before.gallery}
        self.bundles[record.digest] = before.model_copy(update=pictures)


class Journal:
    """A results file open for appending; use it in a `with` statement.

    A file that is there must be a valid results file: it is continued, and half a last line is cut off. `results` is
    what it held when it was opened. With `sign_with` the whole file is signed as the block ends, unless it ends with an
    exception; without, what is appended makes an earlier signature invalid.

    Raises:
        ResultsError: the file is foreign or broken, or another process is appending to it.
        StorageError: the disk is full or refuses.
    """

    def __init__(self, path: Path, sign_with: Ed25519PrivateKey | None = None) -> None:
        self.path = path
        self._sign_with = sign_with
        self._has_appended = False
        try:
            with storage_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise ResultsError(f"{path}: cannot write results there: {error.strerror or error}") from error
        try:
            self._lock()
            self.results = read_results([path])
            self._cut_half_line()
            self._tell_what_is_signed_as_well()
        except BaseException:
            os.close(self._descriptor)
            raise
        self._bundles = dict(self.results.bundles)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._sign_with is not None and kind is None:
                # Before the lock goes: nobody else's lines are signed.
                sign_results(self.path, self._sign_with)
            elif self._has_appended and signature_path(self.path).exists():
                console.note(
                    f"{self.path} was signed; what was appended is not, so that its signature is not valid any more: "
                    "sign it anew with --resume --sign-results KEY.pem"
                )
        finally:
            os.close(self._descriptor)

    def has_gallery(self, digest: str) -> bool:
        """Whether the file holds a gallery of that bundle."""
        return digest in self._bundles and bool(self._bundles[digest].gallery)

    def append_bundle(
        self,
        digest: str,
        manifest: Manifest,
        samples: Sequence[SampleRow] = (),
        gallery: Sequence[GalleryRow] = (),
    ) -> None:
        """Add a bundle, unless the file has it already and these pictures add nothing: samples where it has none, a
        gallery that is another.

        Raises:
            StorageError: the disk is full or refuses; the records before it are intact.
        """
        there = self._bundles.get(digest)
        shown = list(samples)[:MAX_SAMPLES], list(gallery)[:MAX_GALLERY]
        if there is not None and (there.samples or not shown[0]) and shown[1] in ([], there.gallery):
            return
        record = BundleRecord(digest=digest, manifest=manifest, samples=shown[0], gallery=shown[1])
        self._append(record)
        seen = Results({} if there is None else {digest: there})
        seen.add(record)
        self._bundles[digest] = seen.bundles[digest]

    def append_result(self, result: Result) -> None:
        """Add a result.

        Raises:
            StorageError: the disk is full or refuses; the records before it are intact.
        """
        self._append(result)

    def _append(self, record: BundleRecord | Result) -> None:
        line = line_of(record)
        with storage_errors(self.path, keeps="the results before it are intact"):
            size = os.fstat(self._descriptor).st_size
            try:
                rest = memoryview(line)
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
                os.fsync(self._descriptor)
            except BaseException:
                os.ftruncate(self._descriptor, size)
                raise
        self._has_appended = True

    def _tell_what_is_signed_as_well(self) -> None:
        """What the file held before is signed with the rest, whoever measured it."""
        if self._sign_with is None or not self.results.results:
            return
        ours = [self._sign_with.public_key().public_bytes_raw()]
        if (reason := distrust(self.path, self.path.read_bytes(), ours)) is not None:
            console.note(f"{self.path} {reason}; what it holds already is signed as well")

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ResultsError(
                f"{self.path}: another pocketgan is appending to it; wait for it to end or choose another --out"
            ) from None

    def _cut_half_line(self) -> None:
        """Only after reading: a file that is not ours is never cut."""
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with storage_errors(self.path, keeps="the results before it are intact"):
                os.ftruncate(self._descriptor, whole)
                os.fsync(self._descriptor)


def line_of(record: BundleRecord | Result) -> bytes:
    """The record as a line of a results file."""
    fields = _bundle_fields(record) if isinstance(record, BundleRecord) else _result_fields(record)
    return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _result_fields(result: Result) -> dict[str, Any]:
    return {"record": "result", **result.model_dump(mode="json")}


def _bundle_fields(bundle: BundleRecord) -> dict[str, Any]:
    """Without what is as it always was, so that earlier versions read the record of a bundle that has nothing new. They
    refuse that of a pack, whose concepts they would take for each other."""
    fields = {"record": "bundle", **bundle.model_dump(mode="json", exclude={"manifest", "gallery"})}
    fields["manifest"] = {
        "format_version": bundle.manifest.format_version,
        **bundle.manifest.model_dump(mode="json", exclude_defaults=True),
    }
    return fields | ({"gallery": [row.model_dump() for row in bundle.gallery]} if bundle.gallery else {})


def read_results(paths: Iterable[Path], trusted: Sequence[bytes] = ()) -> Results:
    """Read results files as one.

    Half a last line, which a crash leaves behind, is passed over with a note.

    Args:
        trusted: raw public keys; where there are some, each file must be signed by one of them, as it is.
    Raises:
        ResultsError: a file is missing, or a line is broken or foreign; names file and line. Files that are not to be
            trusted; names each.
    """
    results, distrusted = Results(), []
    for path in paths:
        # Once: what is judged is what is read.
        content = _content(path)
        reason = distrust(path, content, trusted) if trusted else None
        if reason is not None:
            distrusted.append(f"{path} {reason}")
        elif not distrusted:
            for number, line in _lines(path, content):
                results.add(_parse(path, number, line))
    if distrusted:
        raise ResultsError("; ".join(distrusted))
    return results


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ResultsError(f"{path}: cannot read results: {error.strerror or error}") from error


def _lines(path: Path, content: bytes) -> Iterator[tuple[int, bytes]]:
    """Whole lines with their numbers, from 1."""
    lines = content.split(b"\n")
    half = lines.pop()
    yield from enumerate(lines, start=1)
    if not half:
        return
    if half[: len(LINE_START)] != LINE_START[: len(half)]:
        raise ResultsError(f"{path}: line {len(lines) + 1} is no record of a results file")
    console.note(f"{path}: line {len(lines) + 1} is incomplete (a crash while writing it); ignored")


def _parse(path: Path, number: int, line: bytes) -> BundleRecord | Result:
    where = f"{path}: line {number}"
    try:
        value: Any = json.loads(line)
    except ValueError:
        raise ResultsError(f"{where} is not JSON; is this a results file?") from None
    kind = value.get("record") if isinstance(value, dict) else None
    if kind == "bundle":
        return _validate(where, BundleRecord, value, _of_later_format(value))
    if kind == "result":
        del value["record"]
        return _validate(where, Result, value, _added_later(where, value.get("schema_version")))
    raise ResultsError(f"{where} is neither a bundle nor a result record; is this a results file?")


def _added_later(where: str, version: Any) -> bool:
    """Whether a later minor version, whose new fields are left out, wrote the record; a newer major is refused."""
    ours = tuple(int(part) for part in SCHEMA_VERSION.split("."))
    if not isinstance(version, str) or not re.fullmatch(r"[0-9]{1,4}\.[0-9]{1,4}", version):
        return False  # validation says what is wrong with it
    theirs = tuple(int(part) for part in version.split("."))
    if theirs[0] > ours[0]:
        raise ResultsError(
            f"{where} has schema version {version}, which is newer than this pocketgan reads ({ours[0]}.x); "
            "upgrade pocketgan: pip install -U pocketgan"
        )
    return theirs > ours


def _of_later_format(value: dict[str, Any]) -> bool:
    """Whether a later minor version of the manifest's format, whose new fields are left out, is in a bundle record."""
    manifest = value.get("manifest")
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if not isinstance(version, str) or not re.fullmatch(r"1\.[0-9]{1,4}", version):
        return False
    return int(version[2:]) > int(FORMAT_VERSION[2:])


def _validate(where: str, model: type[Record], value: dict[str, Any], added_later: bool = False) -> Record:
    try:
        return model.model_validate(value, extra="ignore" if added_later else "forbid")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field_name = ".".join(str(part) for part in first["loc"]) or "the record"
        raise ResultsError(
            f"{where} is a broken {value.get('record', 'result')} record: {field_name}: {first['msg']}"
        ) from None
