"""What an Android app's APK says of itself: its binary manifest, and the libraries in it. No tool of Google's.

The manifest's form is that of AOSP's `frameworks/base/libs/androidfw/include/androidfw/ResourceTypes.h`: chunks of
little-endian numbers, of which the pool of strings and the first element are read here.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pocketgan.errors import DeviceError

_MANIFEST = "AndroidManifest.xml"
_LIBRARY = re.compile(r"lib/([^/]+)/([^/]+\.so)")
# Manifests have some kilobytes.
_LONGEST_MANIFEST = 1 << 22
_STRING_POOL, _START_ELEMENT = 0x0001, 0x0102
_UTF8 = 1 << 8
_NO_STRING = 0xFFFFFFFF
# What reading a file that is none raises: of the ZIP, of what is packed in it, of the manifest.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, KeyError, IndexError, ValueError, struct.error)


@dataclass(frozen=True)
class Apk:
    """One APK.

    Attributes:
        package: its name, such as org.pocketgan.harness. version: its `versionName`; empty where it has none.
        libraries: names of its native libraries, by instruction set, such as arm64-v8a.
    """

    path: Path
    package: str
    version: str
    libraries: Mapping[str, frozenset[str]]


def read_apk(path: Path) -> Apk:
    """Read it.

    Raises:
        DeviceError: there is no such file, or it is no APK.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(_MANIFEST).file_size > _LONGEST_MANIFEST:
                raise DeviceError(f"{path} is no APK: its {_MANIFEST} is too large")
            told = _first_element(archive.read(_MANIFEST))
            libraries: dict[str, set[str]] = {}
            for name in archive.namelist():
                if found := _LIBRARY.fullmatch(name):
                    libraries.setdefault(found[1], set()).add(found[2])
    except OSError as problem:
        raise DeviceError(f"{path} cannot be read: {problem.strerror or problem}") from None
    except _DAMAGE:
        raise DeviceError(f"{path} is no APK: it has no {_MANIFEST} of an Android app") from None
    if not told.get("package"):
        raise DeviceError(f"{path} is no APK: its {_MANIFEST} names no package")
    per_abi = {abi: frozenset(names) for abi, names in libraries.items()}
    return Apk(path, told["package"], told.get("versionName", ""), per_abi)


def _first_element(content: bytes) -> dict[str, str]:
    """The attributes of `<manifest>` that are strings, by name."""
    kind, header, _ = struct.unpack_from("<HHI", content)
    if kind != 0x0003:
        raise ValueError("no binary XML")
    strings: list[str] = []
    at = header
    while at < len(content):
        kind, header, size = struct.unpack_from("<HHI", content, at)
        if size < 8:
            raise ValueError("a chunk without a size")
        if kind == _STRING_POOL:
            strings = _strings(content[at : at + size], header)
        elif kind == _START_ELEMENT:
            return _attributes(content, at + header, strings)
        at += size
    raise ValueError("no element")


def _attributes(content: bytes, at: int, strings: list[str]) -> dict[str, str]:
    first, each, count = struct.unpack_from("<8xHHH", content, at)
    told = {}
    for number in range(count):
        _, name, raw, kind, value = struct.unpack_from("<III3xBI", content, at + first + number * each)
        # 3 is a string by its number in the pool; others (references, numbers) are none.
        index = value if kind == 3 else raw
        if index != _NO_STRING:
            told[strings[name]] = strings[index]
    return told


def _strings(pool: bytes, header: int) -> list[str]:
    count, _, flags, start = struct.unpack_from("<IIII", pool, 8)
    offsets = struct.unpack_from(f"<{count}I", pool, header)
    return [_utf8(pool, start + offset) if flags & _UTF8 else _utf16(pool, start + offset) for offset in offsets]


def _utf8(pool: bytes, at: int) -> str:
    """Length in characters, length in bytes, each of one byte or two; then the text."""
    at += 2 if pool[at] & 0x80 else 1
    length = pool[at]
    if length & 0x80:
        length, at = (length & 0x7F) << 8 | pool[at + 1], at + 1
    return pool[at + 1 : at + 1 + length].decode()


def _utf16(pool: bytes, at: int) -> str:
    """Length in units of two bytes, in one of them or two; then the text."""
    (length,) = struct.unpack_from("<H", pool, at)
    if length & 0x8000:
        length, at = (length & 0x7FFF) << 16 | struct.unpack_from("<H", pool, at + 2)[0], at + 2
    return pool[at + 2 : at + 2 + 2 * length].decode("utf-16-le")
