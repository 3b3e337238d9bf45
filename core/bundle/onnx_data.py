"""The files that an ONNX model names: weights beside it, whose names a stranger may choose.

A runtime opens what the model names, so it is looked at before: only regular files inside of the model's own folder,
and only bytes that are there. Models that name files in other ways are refused. Read from the protobuf itself
(onnx.proto), because bundles are checked where no onnx package is installed.
"""

from __future__ import annotations

import math
import posixpath
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, overload

from pocketgan.bundle.damage import DamageError, quote

# Deeper graphs inside of graphs are nobody's; names of files are short.
_MOST_DEPTH, _MOST_NAME_BYTES = 64, 4096
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Begins a field of an old kind, which no model has, and which a runtime's parser passes over.
_GROUP_BEGINS = 3
# Messages by the fields that lead to tensors and nodes, and the fields' kinds.
_MESSAGES: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {4: "operator", 5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_DIMS, _TYPE, _EXTERNAL, _LOCATION = 1, 2, 13, 14
_IS_EXTERNAL = 1
# Enums are read from the low bits of what is stored.
_INT32 = (1 << 32) - 1
# Bits of a number of each of TensorProto's data types that may lie outside.
_BITS = {
    **{1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16},
    **{17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8},
}
# Nodes that hold, or name the file of, what another runtime compiled for one device.
_NAMES_FILES = frozenset({"EPContext"})


@dataclass(frozen=True)
class ExternalData:
    """Where a tensor's bytes lie: `location` as the model writes it, and the bytes from `start` to `end`."""

    location: str
    start: int
    end: int


def named_files(model: Path) -> list[str]:
    """What a model on disk names, as paths from its folder: regular files inside of that folder, links resolved, which
    hold all the bytes that it reads of them.

    Raises:
        DamageError: what else it names, as the end of a sentence about the model; or it is no ONNX model.
    """
    with model.open("rb") as file:
        if file.read(8)[4:] == b"ORTM":
            return []  # ONNX Runtime's own format names no files
        found = list(external_data(_File(file)))
    inside = model.parent.resolve()

    def size_of(location: str) -> int | None:
        path = (model.parent / location).resolve()
        if not path.is_relative_to(inside):
            raise DamageError(f"names {quote(location)}, which lies outside of its folder")
        try:
            status = path.stat()
        except OSError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    _must_be_there(found, size_of)
    return list(dict.fromkeys(posixpath.normpath(data.location) for data in found))


def must_name_listed_files(name: str, chunks: Iterable[bytes], sizes: dict[str, int]) -> None:
    """Refuse a model in a bundle that names other files than those of its entry, beside it or below.

    Args:
        name: the model's path in the bundle.
        chunks: its bytes.
        sizes: of the entry's files by their paths.
    Raises:
        DamageError: as for `named_files`. What is no ONNX model names nothing: no runtime loads it.
    """
    folder = posixpath.dirname(name)

    def size_of(location: str) -> int | None:
        path = posixpath.normpath(posixpath.join(folder, location))
        if not path.startswith(f"{folder}/"):
            raise DamageError(f"names {quote(location)}, which lies outside of its folder")
        return sizes.get(path)

    try:
        found = list(external_data(_Chunks(iter(chunks))))
    except NotOnnxError:
        return
    _must_be_there(found, size_of)


class NotOnnxError(DamageError):
    """No protobuf of the form of onnx.proto."""


class _Stream(Protocol):
    """Bytes that come one after the other."""

    position: int

    def read(self, count: int) -> bytes:
        """So many bytes, fewer at the end."""
        ...

    def skip(self, count: int) -> None: ...


def external_data(stream: _Stream) -> Iterator[ExternalData]:
    """All tensors of a model whose bytes lie elsewhere, whatever graph or attribute they are in.

    Raises:
        NotOnnxError: the bytes are no ONNX model.
        DamageError: a tensor does not say where its bytes lie, or a node names files in a way of its own.
    """
    yield from _walk(stream, None, "model", 0)


def _walk(stream: _Stream, end: int | None, kind: str, depth: int) -> Iterator[ExternalData]:
    """What lies in a message that ends at `end`, None: where the stream ends."""
    if depth > _MOST_DEPTH:
        raise DamageError("is nested too deeply")
    if kind == "tensor":
        yield from _tensor(stream, end)
        return
    for number, wire in _fields(stream, end):
        inner = _MESSAGES[kind].get(number) if wire == _BYTES else None
        if inner is None:
            _skip(stream, wire, end)
            continue
        last = _last(stream, end)
        if inner == "operator":
            operator = _text(stream, last)
            if operator in _NAMES_FILES:
                raise DamageError(f"holds a node {operator}, which names files of its own; it cannot be checked")
        else:
            yield from _walk(stream, last, inner, depth + 1)


def _tensor(stream: _Stream, end: int | None) -> Iterator[ExternalData]:
    entries: dict[str, str] = {}
    dims: list[int] = []
    bits, external = 0, False
    for number, wire in _fields(stream, end):
        if (number, wire) == (_EXTERNAL, _BYTES):
            key, value = _entry(stream, _last(stream, end))
            if key in entries:
                raise DamageError(f"says twice what the {quote(key)} of a tensor is")
            entries[key] = value
        elif number == _DIMS and wire == _VARINT:
            dims.append(_varint(stream, end))
        elif number == _DIMS and wire == _BYTES:
            last = _last(stream, end)
            while stream.position < last:
                dims.append(_varint(stream, last))
        elif (number, wire) == (_TYPE, _VARINT):
            bits = _BITS.get(_varint(stream, end) & _INT32, 0)
        elif (number, wire) == (_LOCATION, _VARINT):
            external |= _varint(stream, end) & _INT32 == _IS_EXTERNAL
        else:
            _skip(stream, wire, end)
    if external or entries:
        if not entries.get("location"):
            raise DamageError("has a tensor in another file and does not say in which")
        start = _number(entries.get("offset", "0"))
        needed = -(-math.prod(dims) * bits // 8)
        yield ExternalData(entries["location"], start, start + max(needed, _number(entries.get("length", "0"))))


def _must_be_there(found: Iterable[ExternalData], size_of: Callable[[str], int | None]) -> None:
    for data in found:
        # As a path is read on every system; a name that is an address in memory, as ONNX Runtime has them, is no file.
        if "\\" in data.location or "\0" in data.location or posixpath.isabs(data.location) or ":" in data.location:
            raise DamageError(f"names {quote(data.location)}, which is no path in its folder")
        size = size_of(data.location)
        if size is None:
            raise DamageError(f"names {quote(data.location)}, which is no file in its folder")
        if data.end > size:
            raise DamageError(
                f"names bytes {data.start:,} to {data.end:,} of {quote(data.location)}, which has {size:,}"
            )


def _entry(stream: _Stream, end: int) -> tuple[str, str]:
    """Key and value of a StringStringEntryProto."""
    pair = {1: "", 2: ""}
    for number, wire in _fields(stream, end):
        if wire == _BYTES and number in pair:
            pair[number] = _text(stream, _last(stream, end))
        else:
            _skip(stream, wire, end)
    return pair[1], pair[2]


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise DamageError(f"has a tensor whose offset or length is {quote(text)}")
    return int(text)


def _fields(stream: _Stream, end: int | None) -> Iterator[tuple[int, int]]:
    """Number and wire type of each field; the reader takes its value before it asks for the next."""
    while end is None or stream.position < end:
        key = _varint(stream, end, may_end=end is None)
        if key is None:
            return
        if key >> 3 == 0:
            raise NotOnnxError("is no ONNX model")
        yield key >> 3, key & 7


def _last(stream: _Stream, end: int | None) -> int:
    """Where the value that begins with its length ends."""
    length = _varint(stream, end)
    last = stream.position + length
    if end is not None and last > end:
        raise NotOnnxError("is no ONNX model: a field reaches beyond its message")
    return last


def _text(stream: _Stream, last: int) -> str:
    count = last - stream.position
    if count > _MOST_NAME_BYTES:
        raise DamageError(f"holds a name of {count:,} bytes")
    data = stream.read(count)
    if len(data) < count:
        raise NotOnnxError("is no ONNX model: it ends too early")
    return data.decode("utf-8", errors="surrogateescape")


def _skip(stream: _Stream, wire: int, end: int | None) -> None:
    if wire == _VARINT:
        _varint(stream, end)
    elif wire == _BYTES:
        stream.skip(_last(stream, end) - stream.position)
    elif wire in (_FIXED64, _FIXED32):
        stream.skip(8 if wire == _FIXED64 else 4)
    elif wire == _GROUP_BEGINS:
        raise DamageError("holds a field of a kind that models do not have")
    else:
        raise NotOnnxError("is no ONNX model")


@overload
def _varint(stream: _Stream, end: int | None) -> int: ...
@overload
def _varint(stream: _Stream, end: int | None, *, may_end: bool) -> int | None: ...
def _varint(stream: _Stream, end: int | None, *, may_end: bool = False) -> int | None:
    value = shift = 0
    while True:
        byte = stream.read(1)
        if not byte and may_end and shift == 0:
            return None
        if not byte or shift > 63 or (end is not None and stream.position > end):
            raise NotOnnxError("is no ONNX model: it ends too early")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value & ((1 << 64) - 1)
        shift += 7


class _File:
    """A file, of which only what is looked at is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.position = file, 0
        self._size = file.seek(0, 2)
        file.seek(0)

    def read(self, count: int) -> bytes:
        data = self._file.read(count)
        self.position += len(data)
        return data

    def skip(self, count: int) -> None:
        self.position += count
        if self.position > self._size:
            raise NotOnnxError("is no ONNX model: it ends too early")
        self._file.seek(self.position)


class _Chunks:
    """Pieces of a file, one after the other."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._here, self._at, self.position = chunks, b"", 0, 0

    def read(self, count: int) -> bytes:
        parts = []
        while count > 0 and self._fill():
            part = self._here[self._at : self._at + count]
            self._at += len(part)
            self.position += len(part)
            count -= len(part)
            parts.append(part)
        return b"".join(parts)

    def skip(self, count: int) -> None:
        while count > 0:
            if not self._fill():
                raise NotOnnxError("is no ONNX model: it ends too early")
            step = min(count, len(self._here) - self._at)
            self._at += step
            self.position += step
            count -= step

    def _fill(self) -> bool:
        """Whether there is a byte left."""
        while self._at == len(self._here):
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._here, self._at = chunk, 0
        return True
