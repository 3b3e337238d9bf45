"""Which classes and native methods Android's bytecode has: a part of the DEX format."""

from __future__ import annotations

import struct
from collections.abc import Iterator

ACCESS_NATIVE = 0x100
# Where the header tells of strings, types, methods and classes: how many, and where.
STRINGS, TYPES, METHODS, CLASSES = 56, 64, 88, 96


class Dex:
    """A `classes.dex`."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def classes(self) -> list[str]:
        """Their names, such as org/pytorch/executorch/Module."""
        return [self._type(index) for index, _ in self._class_definitions()]

    def native_methods(self) -> list[tuple[str, str]]:
        """Class and name of each method whose code is a library's."""
        found = []
        for _, data in self._class_definitions():
            if data:
                found += [self._method(number) for number, access in self._methods_at(data) if access & ACCESS_NATIVE]
        return found

    def _class_definitions(self) -> Iterator[tuple[int, int]]:
        """The number of each class's type, and where its methods are listed; 0 where it has none."""
        count, at = struct.unpack_from("<II", self._content, CLASSES)
        for number in range(count):
            yield struct.unpack_from("<I20xI", self._content, at + 32 * number)

    def _methods_at(self, at: int) -> Iterator[tuple[int, int]]:
        """Number and access flags of the methods of one class."""
        numbers = self._numbers(at)
        static_fields, fields, direct, virtual = (next(numbers) for _ in range(4))
        for _ in range(2 * (static_fields + fields)):
            next(numbers)
        for count in (direct, virtual):
            method = 0
            for _ in range(count):
                # Each is the difference to the one before.
                method += next(numbers)
                yield method, next(numbers)
                next(numbers)

    def _numbers(self, at: int) -> Iterator[int]:
        """Unsigned LEB128 numbers, one after the other."""
        while True:
            value = shift = 0
            while True:
                byte = self._content[at]
                at += 1
                value |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
            yield value

    def _method(self, number: int) -> tuple[str, str]:
        (table,) = struct.unpack_from("<I", self._content, METHODS + 4)
        owner, name = struct.unpack_from("<H2xI", self._content, table + 8 * number)
        return self._type(owner), self._string(name)

    def _type(self, number: int) -> str:
        (table,) = struct.unpack_from("<I", self._content, TYPES + 4)
        (name,) = struct.unpack_from("<I", self._content, table + 4 * number)
        return self._string(name).removeprefix("L").removesuffix(";")

    def _string(self, number: int) -> str:
        (table,) = struct.unpack_from("<I", self._content, STRINGS + 4)
        (at,) = struct.unpack_from("<I", self._content, table + 4 * number)
        while self._content[at] >= 0x80:
            at += 1
        return self._content[at + 1 : self._content.index(b"\0", at + 1)].decode("utf-8", "replace")
