"""The `.safetensors` of a patch, read without the package of that name, which readers of bundles do not need."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pocketgan.bundle.damage import DamageError, quote

_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "U8": np.dtype("u1")}
_LENGTH = struct.Struct("<Q")
_MOST_HEADER_BYTES = 8 << 20


@dataclass(frozen=True)
class Tensors:
    """What a file holds: texts by key, and tensors by name."""

    metadata: dict[str, str]
    tensors: dict[str, np.ndarray]


def read_tensors(path: Path) -> Tensors:
    """Read a file of float32, float16 and uint8 tensors.

    Raises:
        DamageError: it is no such file, as the end of a sentence about it. Call it within `damage.reading`.
        OSError, ValueError: it cannot be read, or is damaged.
    """
    data = path.read_bytes()
    if len(data) < _LENGTH.size:
        raise DamageError("is too short for a .safetensors")
    (length,) = _LENGTH.unpack_from(data)
    if length > min(len(data) - _LENGTH.size, _MOST_HEADER_BYTES):
        raise DamageError("says that its header is longer than the file")
    start = _LENGTH.size + length
    header = json.loads(data[_LENGTH.size : start])
    if not isinstance(header, dict):
        raise DamageError("has a header that is no JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise DamageError("has metadata that are no texts")
    return Tensors(metadata, {name: _tensor(name, told, data, start) for name, told in header.items()})


def write_tensors(metadata: dict[str, str], tensors: dict[str, np.ndarray]) -> bytes:
    """The file's bytes; equal contents are equal bytes."""
    names = {dtype: name for name, dtype in _DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    parts, offset = [], 0
    for name, tensor in sorted(tensors.items()):
        dtype = tensor.dtype.newbyteorder("<")
        parts.append(np.ascontiguousarray(tensor, dtype).tobytes())
        end = offset + len(parts[-1])
        header[name] = {"dtype": names[dtype], "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":"), sort_keys=True).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([_LENGTH.pack(len(text)), text, *parts])


def _tensor(name: str, told: Any, data: bytes, start: int) -> np.ndarray:
    try:
        dtype, shape, (first, last) = _DTYPES[told["dtype"]], told["shape"], told["data_offsets"]
        numbers = [first, last, *shape]
        size = dtype.itemsize
        for side in shape:
            size *= side
    except (KeyError, TypeError, ValueError) as error:
        raise DamageError(f"describes its tensor {quote(name)} in no way that a .safetensors has") from error
    if not all(type(number) is int and number >= 0 for number in numbers) or last - first != size:
        raise DamageError(f"describes its tensor {quote(name)} by numbers that do not fit each other")
    if start + last > len(data):
        raise DamageError(f"ends before its tensor {quote(name)} does")
    return np.frombuffer(data, dtype, size // dtype.itemsize, start + first).reshape(shape)
