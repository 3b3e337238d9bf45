"""What a task gives back, as bytes: packed where it ran, checked where it is kept.

A reply is eight bytes (the length of the header, little-endian), the header (JSON), and the files one after another:

    {"value": {...}, "error": "", "trace": "", "seconds": 1.5, "files": [{"name": "adapter.safetensors", "bytes": 240}]}

Nothing in it is ever unpickled or executed, whoever wrote it.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pocketgan.errors import PocketganError, require
from pocketgan.files import canonical_json

LARGEST_VALUE = 1 << 20
MOST_FILES = 16
LONGEST_LINE = 500
_LONGEST_TRACE = 20_000
_LONGEST_SECONDS = 1e9
_LENGTH = struct.Struct("<Q")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}\.safetensors")
_FIELDS = {"value", "error", "trace", "seconds", "files"}


class ReplyError(PocketganError):
    """What a task gave back cannot be used; says what is wrong with it."""


@dataclass(frozen=True)
class Product:
    """What a task made.

    Attributes:
        value: a JSON object, such as {"lpips": 0.21}; at most 1 MB.
        files: whole safetensors files by name, such as {"adapter.safetensors": safetensors.torch.save(factors)}.
    """

    value: dict[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)

    def shapes(self, name: str) -> dict[str, tuple[int, ...]]:
        """The shapes of the tensors in one of the files, by tensor.

        Raises:
            ReplyError: there is no such file, or it is no safetensors file.
        """
        if name not in self.files:
            raise ReplyError(f"{name} is missing")
        return tensor_shapes(name, self.files[name])


@dataclass(frozen=True)
class Reply:
    """A checked reply: a product, or the one line that says why there is none, and the traceback if there was one."""

    product: Product | None
    error: str
    trace: str
    seconds: float


def one_line(text: str) -> str:
    """Text of someone else as one line for a terminal: nothing that controls it, at most 500 characters."""
    line = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 3] + "..."


def check_product(product: Product, largest: int) -> None:
    """Raises ReplyError unless the value is a JSON object, the files are safetensors, names and sizes within bounds."""
    value = json_bytes(product.value)
    if not isinstance(product.value, dict):
        raise ReplyError(f"the value is no JSON object but {type(product.value).__name__}")
    if len(value) > LARGEST_VALUE:
        raise ReplyError(f"the value has {len(value):,} bytes of JSON; at most {LARGEST_VALUE:,} are taken")
    if len(product.files) > MOST_FILES:
        raise ReplyError(f"{len(product.files)} files; at most {MOST_FILES} are taken")
    if len({name.lower() for name in product.files}) < len(product.files):
        raise ReplyError("two files have one name, but for capitals")
    for name in product.files:
        if not _FILE_NAME.fullmatch(name):
            raise ReplyError(f"a file may not be called {one_line(name)!r}; wanted a plain name.safetensors")
    size = len(value) + sum(map(len, product.files.values()))
    if size > largest:
        raise ReplyError(f"{size:,} bytes; at most {largest:,} are taken of one task")
    for name, data in product.files.items():
        tensor_shapes(name, data)


def tensor_shapes(name: str, data: bytes) -> dict[str, tuple[int, ...]]:
    """The shapes of a safetensors file's tensors.

    Raises:
        ReplyError: it is no safetensors file; `name` is named.
    """
    require("train", "safetensors")
    from safetensors import SafetensorError, deserialize

    try:
        return {tensor: tuple(facts["shape"]) for tensor, facts in deserialize(bytes(data))}
    except SafetensorError as error:
        raise ReplyError(f"{name} is no whole safetensors file: {one_line(str(error))}") from error


def pack(product: Product, seconds: float) -> bytes:
    """A reply with what was made."""
    return _packed({"value": product.value, "error": "", "trace": "", "seconds": seconds}, product.files)


def pack_error(line: str, trace: str, seconds: float) -> bytes:
    """A reply that says why nothing was made."""
    # The end of a traceback tells more than its beginning.
    trace = trace[-_LONGEST_TRACE:].encode(errors="replace").decode()
    return _packed({"value": {}, "error": one_line(line), "trace": trace, "seconds": seconds}, {})


def unpack(data: object, largest: int) -> Reply:
    """Read a reply and check all of it.

    Args:
        data: what came back from a worker, whatever that is.
        largest: bytes that value and files may have together.
    Raises:
        ReplyError: it is no reply, or its product is not to be used.
    """
    if not isinstance(data, bytes):
        raise ReplyError(f"a worker gave back no bytes but {type(data).__name__}")
    if len(data) > largest + LARGEST_VALUE:
        raise ReplyError(f"a worker gave back {len(data):,} bytes; at most {largest:,} are taken of one task")
    if len(data) < _LENGTH.size:
        raise ReplyError("a worker gave back no reply")
    end = _LENGTH.size + _LENGTH.unpack_from(data)[0]
    if end > len(data):
        raise ReplyError("a worker gave back a reply that ends early")
    header = _header(data[_LENGTH.size : end])
    product = Product(header["value"], _files(header["files"], data[end:]))
    if header["error"]:
        return Reply(None, one_line(header["error"]), header["trace"], header["seconds"])
    check_product(product, largest)
    return Reply(product, "", "", header["seconds"])


def read_json(data: bytes | str) -> Any:
    """Strict JSON: no NaN, no infinity, no text that cannot be written as UTF-8, no depth that exhausts the stack.

    Raises:
        ReplyError: it is none.
    """
    try:
        value = json.loads(data, parse_constant=_refuse)
        json_bytes(value)
    except (ValueError, RecursionError) as error:
        raise ReplyError(f"not JSON: {one_line(str(error))}") from error
    return value


def json_bytes(value: object) -> bytes:
    """The canonical form of a value that is JSON as it stands: its keys are text, its numbers finite.

    Raises:
        ReplyError: it is not.
    """
    try:
        _check_plain(value)
        return canonical_json(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ReplyError(f"the value is not JSON: {one_line(str(error))}") from error


def _check_plain(value: object) -> None:
    """json.dumps makes text of other keys and lists of tuples; what is read again would differ from what was given."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if type(key) is not str:
                raise TypeError(f"a key is {type(key).__name__}, not text")
            _check_plain(inner)
    elif type(value) is list:
        for inner in value:
            _check_plain(inner)
    elif value is not None and type(value) not in (str, int, float, bool):
        raise TypeError(f"it holds {type(value).__name__}")
    elif type(value) is float and not math.isfinite(value):
        raise ValueError(f"it holds {value}, which is no JSON number")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def _packed(header: dict[str, Any], files: Mapping[str, bytes]) -> bytes:
    listed = [{"name": name, "bytes": len(data)} for name, data in files.items()]
    text = canonical_json({**header, "files": listed}).encode()
    return b"".join([_LENGTH.pack(len(text)), text, *files.values()])


def _header(text: bytes) -> dict[str, Any]:
    header = read_json(text)
    kinds = {"value": dict, "error": str, "trace": str, "files": list}
    seconds: Any = header.get("seconds") if isinstance(header, dict) else None
    if (
        not isinstance(header, dict)
        or set(header) != _FIELDS
        or not all(isinstance(header[name], kind) for name, kind in kinds.items())
        or type(seconds) not in (int, float)
        or not 0 <= seconds < _LONGEST_SECONDS
    ):
        raise ReplyError("a worker gave back a reply without the fields that it must have")
    return header


def _files(listed: list[Any], data: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    start = 0
    for row in listed:
        name, size = (row.get("name"), row.get("bytes")) if isinstance(row, dict) else (None, None)
        if not isinstance(name, str) or type(size) is not int or size < 0 or name in files:
            raise ReplyError("a worker gave back a list of files that is none")
        files[name] = data[start : start + size]
        start += size
    if start != len(data):
        raise ReplyError(f"a worker gave back {len(data):,} bytes of files and said {start:,}")
    return files
