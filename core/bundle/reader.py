"""An open bundle: its manifest, its files with their hashes checked, and ways to write them elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from pocketgan.bundle.damage import DamageError, NotABundleError, quote, reading
from pocketgan.bundle.manifest import Entry, FileRecord, GoldenTensor
from pocketgan.bundle.manifest_file import MAX_MANIFEST_BYTES, read_manifest, shape_problems
from pocketgan.bundle.sources import MANIFEST, SIGNATURE, Source, must_look_like_bundle, open_source
from pocketgan.bundle.strict_zip import write_zip
from pocketgan.errors import BundleError, StorageError
from pocketgan.files import atomic_file, atomic_folder

if TYPE_CHECKING:
    import numpy as np

MAX_SIGNATURE_BYTES = 16 << 10


class Bundle:
    """An open bundle, made by `open_bundle`. Its files' hashes are checked whenever they are read.

    Attributes:
        path: the `.pgb` file or folder.
        manifest: what the bundle says of itself.
        digest: hex SHA-256 of `manifest.json`, the bundle's identity.
        manifest_bytes: `manifest.json` as it is stored.
        signature_bytes: `signature.json` as it is stored, None in an unsigned bundle; `signature.py` judges it.
    """

    def __init__(self, path: Path, source: Source) -> None:
        self.path = path
        self._source = source
        if MANIFEST not in source.sizes:
            raise NotABundleError(f"{path}: is no bundle: there is no {MANIFEST} in it")
        self.manifest_bytes = _read_small(source, MANIFEST, MAX_MANIFEST_BYTES)
        self.signature_bytes = (
            _read_small(source, SIGNATURE, MAX_SIGNATURE_BYTES) if SIGNATURE in source.sizes else None
        )
        self.manifest = read_manifest(self.manifest_bytes)
        self.digest = hashlib.sha256(self.manifest_bytes).hexdigest()
        self._records = {record.path: record for record in self.manifest.files()}

    def __enter__(self) -> Bundle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; reading is over."""
        self._source.close()

    def read(self, name: str) -> bytes:
        """The bytes of a listed file, all of which lie in memory then.

        Raises:
            BundleError: the manifest does not list it, or its content is not what the manifest says.
        """
        return b"".join(self.chunks(name))

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of a listed file, piece by piece. Believe them only once the last piece has come.

        Raises:
            BundleError: as for `read`; a wrong hash shows at the end.
        """
        with reading(self.path):
            if name not in self._records:
                raise DamageError(f"lists no file {quote(name)}")
            record = self._records[name]
            digest = hashlib.sha256()
            for chunk in self._source.chunks(name):
                digest.update(chunk)
                yield chunk
            if digest.hexdigest() != record.sha256:
                raise DamageError(f"{name} is damaged: its SHA-256 is not the one in the manifest")

    def golden(self, golden_id: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Inputs and expected outputs of a golden set, by tensor name, in native byte order.

        Raises:
            BundleError: there is no such set, or a file of it is damaged.
        """
        try:
            golden = self.manifest.golden_set(golden_id)
        except KeyError:
            there = ", ".join(golden.id for golden in self.manifest.golden)
            raise BundleError(f"{self.path}: has no golden set {quote(golden_id)}; it has: {there}") from None
        return self._tensors(golden.inputs), self._tensors(golden.outputs)

    def entry(self, entry_id: str, concept: str | None = None) -> Entry:
        """The entry with that id, of a pack as it draws the concept, or its default where None.

        Raises:
            BundleError: there is no such entry or concept, or the entry does not draw it; says what there is.
        """
        if entry_id not in (there := [entry.id for entry in self.manifest.entries]):
            raise BundleError(f"{self.path}: has no entry {entry_id}; it has: {', '.join(there)}")
        if concept is not None:
            self.must_have_concept(concept)
            if concept not in (drawn := self.manifest.concepts_of(entry_id)):
                raise BundleError(f"{self.path}: {entry_id} does not draw {concept}; it draws: {', '.join(drawn)}")
        return self.manifest.entry(entry_id, concept)

    def must_have_concept(self, concept: str) -> None:
        """Raises BundleError where the bundle is no pack or has no such concept."""
        there = [one.name for one in self.manifest.concepts]
        if not there:
            raise BundleError(f"{self.path}: is no pack of concepts, it draws one effect alone; leave --concept out")
        if concept not in there:
            raise BundleError(f"{self.path}: has no concept {concept or quote(concept)}; it has: {', '.join(there)}")

    def _tensors(self, tensors: list[GoldenTensor]) -> dict[str, np.ndarray]:
        import numpy as np

        arrays = {}
        for tensor in tensors:
            stored = np.frombuffer(self.read(tensor.file.path), np.dtype(tensor.dtype).newbyteorder("<"))
            arrays[tensor.name] = stored.astype(tensor.dtype).reshape(tensor.shape)
        return arrays

    def extract(
        self, folder: Path, entry: str | None = None, component: str | None = None, concept: str | None = None
    ) -> None:
        """Write the bundle's files, or those that `entry` needs, to a new folder: all of them or none.

        With `entry`: its models (of one `component` alone, if it is named), its golden set, the licences, and manifest
        and signature as they are, so that the folder still tells which bundle it is from. `open_bundle` refuses it: it
        is not the whole bundle. Of a pack what all concepts need, or with `concept` that one alone.

        Raises:
            BundleError: there is no such entry, component or concept, a file is damaged, or `folder` is there and not
                empty.
            StorageError: the disk is full or refuses.
        """
        names = [record.path for record in self._needed(entry, component, concept)]
        folder = folder.absolute()
        _must_be_new(folder)
        with _writing(folder), atomic_folder(folder) as temporary:
            (temporary / MANIFEST).write_bytes(self.manifest_bytes)
            if self.signature_bytes is not None:
                (temporary / SIGNATURE).write_bytes(self.signature_bytes)
            for name in names:
                target = temporary / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    for chunk in self.chunks(name):
                        file.write(chunk)

    def write(self, out: Path, signature: bytes | None) -> None:
        """Write the bundle as a ZIP with that signature, atomically; the same content gives the same bytes.

        Raises:
            BundleError: a file is damaged.
            StorageError: the disk is full or refuses; an earlier `out` is as it was.
        """
        files: list[tuple[str, int, Iterator[bytes]]] = [
            (MANIFEST, len(self.manifest_bytes), iter([self.manifest_bytes]))
        ]
        if signature is not None:
            files.append((SIGNATURE, len(signature), iter([signature])))
        files += [(name, self._records[name].bytes, self.chunks(name)) for name in sorted(self._records)]
        with _writing(out), atomic_file(out) as temporary:
            write_zip(temporary, files)

    def _needed(self, entry_id: str | None, component: str | None, concept: str | None) -> list[FileRecord]:
        if entry_id is None:
            return list(self._records.values())
        concepts = [concept] if concept is not None else [None, *self.manifest.concepts_of(entry_id)[1:]]
        drawn = [self.entry(entry_id, one) for one in concepts]
        parts = [part for entry in drawn for part in entry.components if component in (None, part.name)]
        if not parts:
            there = ", ".join(one.name for one in drawn[0].components)
            raise BundleError(f"{self.path}: {entry_id} has no component {quote(str(component))}; it has: {there}")
        models = [file for part in parts for file in part.files]
        tensors = [file for entry in drawn for file in self.manifest.golden_files(entry.golden)]
        needed = [*models, *tensors, *self.manifest.licenses]
        return list({file.path: file for file in needed}.values())

    def listing_problems(self) -> list[str]:
        """Where the files that are there are not those that the manifest lists."""
        sizes = {name: size for name, size in self._source.sizes.items() if name not in (MANIFEST, SIGNATURE)}
        missing = [f"misses {name}" for name in sorted(self._records.keys() - sizes.keys())]
        extra = [
            f"holds {name}, which the manifest does not list" for name in sorted(sizes.keys() - self._records.keys())
        ]
        wrong = [
            f"{name} has {sizes[name]} bytes, the manifest says {record.bytes}"
            for name, record in sorted(self._records.items())
            if sizes.get(name, record.bytes) != record.bytes
        ]
        return [*missing, *extra, *wrong, *shape_problems(self.manifest)]


def open_bundle(path: Path) -> Bundle:
    """Open a `.pgb` file or an unpacked bundle; use it in a `with` statement.

    Names, sizes, headers and the manifest are checked here, the hash of each file when it is read.

    Raises:
        BundleError: there is no bundle, or it is damaged, hostile, incomplete or of a newer format.
    """
    with reading(path):
        must_look_like_bundle(path)
        source = open_source(path)
        try:
            bundle = Bundle(path, source)
            problems = bundle.listing_problems()
            if problems:
                partly = path.is_dir() and all(problem.startswith("misses ") for problem in problems)
                more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
                hint = "; a folder unpacked with --entry is not a whole bundle" if partly else ""
                raise DamageError(f"{problems[0]}{more}{hint}")
        except BaseException:
            source.close()
            raise
    return bundle


def _read_small(source: Source, name: str, limit: int) -> bytes:
    if source.sizes[name] > limit:
        raise DamageError(f"{name} is too large ({source.sizes[name]} bytes; at most {limit})")
    return b"".join(source.chunks(name))


def _must_be_new(folder: Path) -> None:
    """Unpacking replaces the folder, so one that holds anything is refused."""
    with _writing(folder):
        if (
            folder.is_symlink()
            or (folder.exists() and not folder.is_dir())
            or (folder.is_dir() and any(folder.iterdir()))
        ):
            raise BundleError(f"{folder}: is there already and not an empty folder; choose a new one")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """What `storage_errors` leaves over (a file where a folder should be, a name too long), said in one line."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
