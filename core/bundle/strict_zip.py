"""The ZIP of a bundle: one strict form, whose headers are not trusted.

Members are stored as they are, one after the other from the first byte to the directory; local and central headers
agree, and there are no comments, descriptors, foreign extra fields or bytes outside. So all readers, the phones'
included, see the same files, a member cannot unfold to more than the archive's own size, and a runtime can map weights
in place. Deflate would save a few percent on weights and would make the bytes depend on the zlib that wrote them.
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pocketgan.bundle.damage import DamageError, must_be_safe, must_differ, quote

CHUNK_BYTES = 1 << 20
MAX_FILES = 10_000
MAX_DIRECTORY_BYTES = 8 << 20

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_UTF8_FLAG = 0x0800
_FULL = 0xFFFFFFFF


@dataclass(frozen=True)
class _Member:
    """Header fields of one ZIP member; `offset` is where its local header starts."""

    name: str
    flags: int
    crc: int
    size: int
    offset: int


class ZipSource:
    """The members of a strict ZIP, checked when it is opened."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb")
        try:
            members, directory_start = _read_directory(self._file)
            self._starts = _data_starts(self._file, members, directory_start)
        except BaseException:
            self._file.close()
            raise
        self._members = {member.name: member for member in members}
        self.sizes = {member.name: member.size for member in members}

    def chunks(self, name: str) -> Iterator[bytes]:
        member = self._members[name]
        position, left, crc = self._starts[name], member.size, 0
        while left:
            self._file.seek(position)
            chunk = self._file.read(min(CHUNK_BYTES, left))
            if not chunk:
                raise DamageError(f"ends within {name}")
            position, left, crc = position + len(chunk), left - len(chunk), zlib.crc32(chunk, crc)
            yield chunk
        if crc != member.crc:
            raise DamageError(f"{name} is damaged: its CRC is not the one in the ZIP header")

    def close(self) -> None:
        self._file.close()


def _read_directory(file: BinaryIO) -> tuple[list[_Member], int]:
    """The central directory's members, and where it starts."""
    size = file.seek(0, os.SEEK_END)
    if size < _END.size:
        raise DamageError("is cut off: too short for a ZIP")
    file.seek(size - _END.size)
    mark, *numbers, comment = _END.unpack(file.read(_END.size))
    if mark != b"PK\x05\x06" or comment:
        raise DamageError("does not end as a ZIP does: it is cut off, or something was appended")
    disk, first_disk, here, count, length, start = numbers
    stop = size - _END.size
    wide = _read_end64(file, stop)
    if wide:
        full = (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, _FULL, _FULL)
        if any(short not in (long, top) for short, long, top in zip(numbers, wide, full, strict=True)):
            raise DamageError("its two ZIP end records disagree")
        disk, first_disk, here, count, length, start = wide
        stop -= _END64.size + _LOCATOR64.size
    if disk or first_disk or here != count:
        raise DamageError("is one piece of a split ZIP")
    if count > MAX_FILES or length > MAX_DIRECTORY_BYTES:
        raise DamageError(f"holds too many files ({count}; at most {MAX_FILES})")
    if start + length != stop:
        raise DamageError("has bytes before or behind the ZIP")
    file.seek(start)
    directory = file.read(length)
    members, position = [], 0
    for _ in range(count):
        member, position = _read_central(directory, position)
        members.append(member)
    if position != len(directory):
        raise DamageError("its ZIP directory has bytes that belong to no file")
    must_differ(member.name for member in members)
    return members, start


def _read_end64(file: BinaryIO, stop: int) -> tuple[int, ...] | None:
    """The end record of archives above 4 GiB, or None; `stop` is where the ordinary end record starts."""
    if stop < _END64.size + _LOCATOR64.size:
        return None
    file.seek(stop - _LOCATOR64.size)
    mark, disk, offset, disks = _LOCATOR64.unpack(file.read(_LOCATOR64.size))
    if mark != b"PK\x06\x07":
        return None
    if disk or disks != 1 or offset != stop - _LOCATOR64.size - _END64.size:
        raise DamageError("its ZIP end record is not where it should be")
    file.seek(offset)
    mark, length, _made, _need, *numbers = _END64.unpack(file.read(_END64.size))
    if mark != b"PK\x06\x06" or length != _END64.size - 12:
        raise DamageError("its ZIP end record is damaged")
    return tuple(numbers)


def _read_central(directory: bytes, position: int) -> tuple[_Member, int]:
    """The directory record at `position`, and where the next one starts."""
    fields = _CENTRAL.unpack_from(directory, position)
    mark, _made, _need, flags, method, _time, _date, crc, packed, size = fields[:10]
    name_length, extra_length, comment_length, disk, _internal, attributes, offset = fields[10:]
    if mark != b"PK\x01\x02":
        raise DamageError("its ZIP directory is damaged")
    name_at = position + _CENTRAL.size
    extra_at = name_at + name_length
    end = extra_at + extra_length
    if end > len(directory) or comment_length or disk:
        raise DamageError("its ZIP directory is damaged or holds comments")
    raw = directory[name_at:extra_at]
    if not raw.isascii():
        raise DamageError(f"file name {quote(raw.decode('utf-8', 'replace'))} is not ASCII")
    name = raw.decode("ascii")
    must_be_safe(name)
    kind = stat.S_IFMT(attributes >> 16)
    if kind not in (0, stat.S_IFREG) or attributes & 0x10:
        raise DamageError(
            f"{name} is a {'link' if kind == stat.S_IFLNK else 'folder or device'}; a bundle holds files only"
        )
    if flags & 1:
        raise DamageError(f"{name} is encrypted")
    if method != zipfile.ZIP_STORED or flags & ~_UTF8_FLAG:
        raise DamageError(
            f"{name} is compressed or streamed; bundles are stored as `pocketgan bundle pack` writes them"
        )
    size, packed, offset = _widen(directory[extra_at:end], [size, packed, offset], name)
    if size != packed:
        raise DamageError(f"{name} states two sizes, {size} and {packed} bytes")
    return _Member(name, flags, crc, size, offset), end


def _widen(extra: bytes, values: list[int], name: str) -> list[int]:
    """32-bit header values, the full ones replaced by the 64-bit values of the zip64 extra field."""
    if not extra:
        return values
    full = [index for index, value in enumerate(values) if value == _FULL]
    if not full or extra[:4] != struct.pack("<HH", 1, 8 * len(full)) or len(extra) != 4 + 8 * len(full):
        raise DamageError(f"the ZIP header of {name} holds fields that bundles do not use")
    wide = dict(zip(full, struct.unpack(f"<{len(full)}Q", extra[4:]), strict=True))
    return [wide.get(index, value) for index, value in enumerate(values)]


def _data_starts(file: BinaryIO, members: list[_Member], directory_start: int) -> dict[str, int]:
    """Where each member's bytes start; members fill the file up to the directory, else it is a DamageError."""
    starts: dict[str, int] = {}
    position = 0
    for member in sorted(members, key=lambda member: member.offset):
        if member.offset != position:
            raise DamageError(f"has hidden bytes before {member.name}, or files that overlap")
        file.seek(position)
        header = file.read(_LOCAL.size)
        mark, _need, flags, method, _time, _date, crc, packed, size, name_length, extra_length = _LOCAL.unpack(header)
        name, extra = file.read(name_length), file.read(extra_length)
        if mark != b"PK\x03\x04" or name != member.name.encode():
            raise DamageError(f"the two ZIP headers of {member.name} disagree about its name")
        size, packed = _widen(extra, [size, packed], member.name)
        if (flags, method, crc, size, packed) != (
            member.flags,
            zipfile.ZIP_STORED,
            member.crc,
            member.size,
            member.size,
        ):
            raise DamageError(f"the two ZIP headers of {member.name} disagree about its size or form")
        starts[member.name] = position + _LOCAL.size + name_length + extra_length
        position = starts[member.name] + size
    if position != directory_start:
        raise DamageError("has hidden bytes before the ZIP directory, or is cut off")
    return starts


def write_zip(out: Path, files: Sequence[tuple[str, int, Iterable[bytes]]]) -> None:
    """Write (name, size in bytes, pieces) in that order: the same files give the same bytes on every machine.

    Raises:
        OSError: the disk refuses; `out` is then half-written, so call it on a temporary file.
    """
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, size, pieces in files:
            member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system = 3
            member.external_attr = (stat.S_IFREG | 0o644) << 16
            member.file_size = size
            with archive.open(member, "w") as target:
                for piece in pieces:
                    target.write(piece)
