"""Where the files of a bundle lie: in a ZIP or in a folder. Neither is trusted."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from pocketgan.bundle.damage import DamageError, NotABundleError, must_be_safe, must_differ
from pocketgan.bundle.strict_zip import CHUNK_BYTES, MAX_FILES, ZipSource

MANIFEST = "manifest.json"
SIGNATURE = "signature.json"


class Source(Protocol):
    """Files by name. `sizes` is what is really there, in bytes."""

    sizes: dict[str, int]

    def chunks(self, name: str) -> Iterator[bytes]:
        """The file's bytes, piece by piece; DamageError if they are not what the headers promise."""

    def close(self) -> None: ...


def open_source(path: Path) -> Source:
    """The files of the ZIP or the folder at `path`.

    Raises:
        DamageError, OSError, ValueError, struct.error: call it within `reading`.
    """
    return FolderSource(path) if path.is_dir() else ZipSource(path)


def must_look_like_bundle(path: Path) -> None:
    """NotABundleError unless there is a folder with a manifest, or a file that starts as a ZIP does."""
    if path.is_dir():
        if not (path / MANIFEST).is_file():
            raise NotABundleError(f"{path}: is no bundle: the folder has no {MANIFEST}{_how_to_pack(path)}")
        return
    if not path.is_file():
        raise NotABundleError(
            f"{path}: {'is neither a file nor a folder' if path.exists() else 'there is no such file'}"
        )
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            raise NotABundleError(f"{path}: is no bundle (a .pgb file is a ZIP){_how_to_pack(path)}")


def _how_to_pack(path: Path) -> str:
    """The command, for a model file that can become a bundle."""
    kind = path.suffix.removeprefix(".")
    file, bundle = shlex.quote(str(path)), shlex.quote(f"{path.stem}.pgb")
    if kind == "safetensors":
        return f"; make one of it: pocketgan export {file} --target onnx --out {bundle}"
    if kind not in ("onnx", "pte", "mlpackage"):
        return ""
    return f"; make one of it: pocketgan bundle pack --{kind} {file} --out {bundle}"


class FolderSource:
    """The files of an unpacked bundle; links and devices in it are refused."""

    def __init__(self, path: Path) -> None:
        self._root = path
        self.sizes: dict[str, int] = {}
        folders = [""]
        while folders:
            folder = folders.pop()
            with os.scandir(path / folder) as items:
                for item in items:
                    name = f"{folder}/{item.name}" if folder else item.name
                    must_be_safe(name)
                    if item.is_dir(follow_symlinks=False):
                        folders.append(name)
                        continue
                    status = item.stat(follow_symlinks=False)
                    if not stat.S_ISREG(status.st_mode):
                        raise DamageError(
                            f"{name} is a {'link' if item.is_symlink() else 'device'}; a bundle holds files only"
                        )
                    self.sizes[name] = status.st_size
                    if len(self.sizes) + len(folders) > MAX_FILES:
                        raise DamageError(f"holds too many files (at most {MAX_FILES})")
        must_differ(self.sizes)

    def chunks(self, name: str) -> Iterator[bytes]:
        # The folder may change between the listing and this: a link put in its place is not followed.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        left = self.sizes[name]
        with os.fdopen(os.open(self._root / name, flags), "rb") as file:
            while chunk := file.read(min(CHUNK_BYTES, left + 1)):
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
        if left:
            raise DamageError(f"{name} changed while it was read")

    def close(self) -> None:
        """Nothing stays open."""
