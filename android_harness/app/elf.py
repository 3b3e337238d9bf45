"""What a shared library says of itself: a part of ELF, for 64-bit little-endian files, as arm64's are."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC, CLASS_64 = b"\x7fELF", 2
SEGMENT_LOAD = 1
SECTION_DYNAMIC, SECTION_SYMBOLS = 6, 11
SECTION_VERSIONS, SECTION_NEEDED_VERSIONS = 0x6FFFFFFF, 0x6FFFFFFE
NEEDED = 1
GLOBAL, WEAK = 1, 2
# Set in the version of a symbol that another one hides.
HIDDEN = 0x8000


class NotALibraryError(Exception):
    """One line that says why."""


@dataclass(frozen=True)
class Library:
    """A shared library.

    Attributes:
        machine: ELF's number of the processor.
        alignment: the least alignment of a segment that is loaded, in bytes.
        needed: names of the libraries that it is loaded with.
        exports: symbols that it defines for others.
        wanted: symbols that others must define, each with the library that must, where the file names one.
    """

    machine: int
    alignment: int
    needed: tuple[str, ...]
    exports: frozenset[str]
    wanted: tuple[tuple[str, str | None], ...]


def read_library(content: bytes) -> Library:
    """Raises NotALibraryError."""
    if content[:4] != MAGIC or content[4] != CLASS_64:
        raise NotALibraryError("is no 64-bit library")
    (machine,) = struct.unpack_from("<H", content, 18)
    segments, sections = struct.unpack_from("<QQ", content, 32)
    segment_size, segment_count, section_size, section_count = struct.unpack_from("<HHHH", content, 54)
    loaded = [struct.unpack_from("<I44xQ", content, segments + segment_size * at) for at in range(segment_count)]
    table = _Sections(content, [sections + section_size * at for at in range(section_count)])
    return Library(
        machine=machine,
        alignment=min((alignment for kind, alignment in loaded if kind == SEGMENT_LOAD), default=0),
        needed=tuple(table.needed()),
        exports=frozenset(name for name, defined, _, _ in table.symbols() if defined),
        wanted=tuple(
            (name, source) for name, defined, bound, source in table.symbols() if not defined and bound == GLOBAL
        ),
    )


@dataclass(frozen=True)
class _Sections:
    content: bytes
    headers: list[int]

    def needed(self) -> Iterator[str]:
        for offset, size, link, _ in self._of(SECTION_DYNAMIC):
            for kind, value in struct.iter_unpack("<QQ", self.content[offset : offset + size]):
                if kind == NEEDED:
                    yield self._text(link, value)

    def symbols(self) -> Iterator[tuple[str, bool, int, str | None]]:
        """Each symbol's name, whether it is defined here, how it is bound, and the library that must define it."""
        sources = self._sources()
        versions = [self.content[offset : offset + size] for offset, size, _, _ in self._of(SECTION_VERSIONS)]
        for offset, size, link, _ in self._of(SECTION_SYMBOLS):
            entries = struct.iter_unpack("<IBBHQQ", self.content[offset : offset + size])
            for number, (name, info, _, section, _, _) in enumerate(entries):
                if name == 0:
                    continue
                version = struct.unpack_from("<H", versions[0], 2 * number)[0] & ~HIDDEN if versions else 0
                yield self._text(link, name), section != 0, info >> 4, sources.get(version)

    def _sources(self) -> dict[int, str]:
        """The library of each version that symbols are wanted in, by the number of the version."""
        found = {}
        for offset, _, link, count in self._of(SECTION_NEEDED_VERSIONS):
            library = offset
            for _ in range(count):
                versions, file, first, following = struct.unpack_from("<2xHIII", self.content, library)
                version = library + first
                for _ in range(versions):
                    number, after = struct.unpack_from("<6xH4xI", self.content, version)
                    found[number] = self._text(link, file)
                    version += after
                library += following
        return found

    def _of(self, kind: int) -> Iterator[tuple[int, int, int, int]]:
        """Offset, size, linked section and count of each section of that kind."""
        for header in self.headers:
            found, offset, size, link, count = struct.unpack_from("<4xI16xQQII", self.content, header)
            if found == kind:
                yield offset, size, link, count

    def _text(self, section: int, at: int) -> str:
        (offset,) = struct.unpack_from("<24xQ", self.content, self.headers[section])
        return self.content[offset + at : self.content.index(b"\0", offset + at)].decode()
