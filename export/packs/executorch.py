"""A pack's entry for ExecuTorch with XNNPACK: the default concept's program, and a patch a concept (docs/bundle.md).

A program is a flatbuffer and segments. XNNPACK's weights are segments named by the SHA-256 of what they hold; those
names stand in the flatbuffer and in the delegate's graph, and a runtime may keep packed weights by them, so that a
concept gets names of its own. Other constants lie in one segment. Two networks of the same form have them all at the
same places.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from pocketgan.bundle.patch import METADATA_KEY, BytesPatch, Patch, PatchPlan, WeightPatch, put_in
from pocketgan.bundle.safetensors import write_tensors
from pocketgan.errors import ExportError
from pocketgan.export.packs.change import Change, changes, products, stored_type, with_common_factors

_DTYPES: dict[str, np.dtype[Any]] = {"FLOAT": np.dtype("<f4"), "HALF": np.dtype("<f2")}
# Names of weights: hexadecimal SHA-256.
_NAME = re.compile(rb"[0-9a-f]{64}")
_NAME_BYTES = 64


@contextmanager
def recorded_weights(found: list[dict[str, Any]]) -> Iterator[None]:
    """Within it XNNPACK's lowering tells of every weight its name, type and shape, as they are stored.

    ExecuTorch is pinned to one version, so its insides are known.
    """
    from executorch.backends.xnnpack.operators.node_visitor import NodeVisitor

    original = NodeVisitor.get_serialized_buffer_index

    def record(self: Any, tensor: Any, graph: Any, ids: Any, nhwc: bool, swapped: bool, *rest: Any, **more: Any) -> int:
        before = len(graph.constant_data)
        index: int = original(self, tensor, graph, ids, nhwc, swapped, *rest, **more)
        if len(graph.constant_data) > before:
            shape = list(tensor.meta["val"].shape)
            if swapped:
                shape[:2] = shape[1::-1]
            if nhwc and len(shape) == 4:
                shape = [shape[0], *shape[2:], shape[1]]
            stored = graph.constant_data[-1]
            found.append({"key": stored.named_key, "shape": shape, "bytes": stored.size})
        return index

    with mock.patch.object(NodeVisitor, "get_serialized_buffer_index", record):
        yield


@dataclass(frozen=True)
class Place:
    """Where a constant lies in a program's file."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, data: bytes | bytearray) -> np.ndarray:
        count = int(np.prod(self.shape))
        return np.frombuffer(data, self.dtype, count, self.offset).reshape(self.shape)

    @property
    def end(self) -> int:
        return self.offset + int(np.prod(self.shape)) * self.dtype.itemsize


@dataclass(frozen=True)
class ProgramFile:
    """A program's bytes, and its constants by their place in it, which is the same in all of its form."""

    data: bytes
    places: Mapping[str, Place]
    keys: Mapping[str, str] = field(default_factory=dict)

    def constants(self) -> dict[str, np.ndarray]:
        return {name: place.read(self.data) for name, place in self.places.items()}

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def names(self) -> Mapping[str, Sequence[int]]:
        """Where the names of weights stand."""
        found: dict[str, list[int]] = {}
        for match in _NAME.finditer(self._without_constants()):
            found.setdefault(match.group().decode(), []).append(match.start())
        return found

    @cached_property
    def structure(self) -> str:
        """A hash of all but the constants and their names."""
        data = self._without_constants()
        for offset in (offset for offsets in self.names.values() for offset in offsets):
            data[offset : offset + _NAME_BYTES] = bytes(_NAME_BYTES)
        return hashlib.sha256(data).hexdigest()

    def _without_constants(self) -> bytearray:
        data = bytearray(self.data)
        for place in self.places.values():
            data[place.offset : place.end] = bytes(place.end - place.offset)
        return data


def read_program(path: Path, weights: list[dict[str, Any]]) -> ProgramFile:
    """Read a `.pte` file.

    Args:
        weights: what `recorded_weights` found as it was written.
    """
    from executorch.exir._serialize._program import _flatbuffer_to_program, _get_extended_header

    data = path.read_bytes()
    header = _get_extended_header(data)
    assert header is not None
    program = _flatbuffer_to_program(data[: header.program_size])
    starts = [header.segment_base_offset + segment.offset for segment in program.segments]
    segment_of = {named.key: named.segment_index for named in program.named_data or []}
    places: dict[str, Place] = {}
    keys: dict[str, str] = {}
    for one in weights:
        offset, count = starts[segment_of[one["key"]]], int(np.prod(one["shape"]))
        dtype = {4: _DTYPES["FLOAT"], 2: _DTYPES["HALF"]}.get(one["bytes"] // count, np.dtype("u1"))
        places.setdefault(f"{offset}", Place(offset, tuple(one["shape"]), dtype))
        keys.setdefault(f"{offset}", one["key"])
    constants = program.constant_segment
    for value in (value.val for plan in program.execution_plan for value in plan.values):
        index = getattr(value, "data_buffer_idx", 0)
        if index and constants is not None and value.scalar_type.name in _DTYPES:
            offset = starts[constants.segment_index] + constants.offsets[index]
            places.setdefault(f"{offset}", Place(offset, tuple(value.sizes), _DTYPES[value.scalar_type.name]))
    return ProgramFile(data, places, keys)


@dataclass(frozen=True)
class ConceptProgram:
    """A concept's program, and what tells it from the base's."""

    program: ProgramFile
    changes: Mapping[str, Change]

    def products(self) -> list[dict[str, int]]:
        """See `change.products`: the phases of a transposed convolution share a b."""
        return products(self.changes)


@dataclass
class _Writing:
    """A patch as it grows."""

    weights: list[WeightPatch] = field(default_factory=list)
    bytes: list[BytesPatch] = field(default_factory=list)
    tensors: dict[str, np.ndarray] = field(default_factory=dict)


class ExecuTorchPack:
    """The patches of an entry: what leads from the default concept's program to the base's, and from there to every
    concept's. So each holds no more than its own concept's factors.

    Raises:
        ExportError: the programs differ by more than by constants.
    """

    def __init__(self, base: ProgramFile, default: ProgramFile) -> None:
        self._base, self._default = base, default
        _must_be_alike(base, default)
        to_base = with_common_factors(changes(default.constants(), base.constants(), alone=False))
        # What no factors lead back from is replaced whole by every concept: as it is for the base, nothing is done.
        self._whole = {name for name, change in to_base.items() if change.whole is not None}
        writing = _Writing()
        for name, change in to_base.items():
            if change.factors is not None:
                _add_product(writing, name, default.places[name], change, np.float32)
        self.first, self._rebased = _finished(writing, default, default.data, None)

    def concept(self, program: ProgramFile) -> ConceptProgram:
        """What tells a concept's program from the base's.

        Raises:
            ExportError: more than constants.
        """
        _must_be_alike(self._base, program)
        found = with_common_factors(changes(self._base.constants(), program.constants(), alone=False))
        for name in self._whole & found.keys():
            found[name] = Change(found[name].dtype, whole=program.places[name].read(program.data))
        return ConceptProgram(program, found)

    def patch(self, concept: ConceptProgram, halved: Collection[str], first_name: str) -> tuple[bytes, bytes]:
        """The patch that makes the concept's program of the default's, the factors of `halved` in float16; and the
        program.

        Args:
            first_name: of the file that holds `first`, beside the patch.
        """
        writing = _Writing()
        for name, change in concept.changes.items():
            place = concept.program.places[name]
            if change.factors is None:
                _replace(writing, name, place.offset, place.read(concept.program.data).tobytes())
            else:
                _add_product(writing, name, place, change, stored_type(change, name in halved))
        for name in self._whole - concept.changes.keys():  # as the base's, which the default's is not
            place = concept.program.places[name]
            _replace(writing, name, place.offset, place.read(concept.program.data).tobytes())
        for name, key in concept.program.keys.items():
            before = self._default.keys[name]
            if key == before:
                continue
            for offset in self._default.names[before]:
                _replace(writing, f"{name}.name", offset, key.encode())
        return _finished(writing, self._default, self._rebased, first_name)


def _must_be_alike(one: ProgramFile, other: ProgramFile) -> None:
    """ExportError unless two programs differ in constants and their names alone."""
    alike = one.places == other.places and len(one.data) == len(other.data)
    if not alike or one.structure != other.structure:
        raise ExportError("the programs of two concepts differ by more than by weights: none can be shared")


def _replace(writing: _Writing, tensor: str, offset: int, new: bytes) -> None:
    writing.bytes.append(BytesPatch(offset=offset, bytes=_kept(writing, tensor, np.frombuffer(new, np.uint8))))


def _add_product(writing: _Writing, name: str, place: Place, change: Change, dtype: type[np.floating[Any]]) -> None:
    """Items for a product along any axis of a tensor that is stored row after row: one for each position of the axes
    before it, which share b; along the last axis one item, the other way round."""
    assert change.factors is not None
    factors = change.factors.stored(dtype)
    told = change.dtype.name
    before, here, after = (int(np.prod(part)) for part in _split(factors.shape, factors.axis))
    if after == 1:
        pair = {"a": _kept(writing, f"{name}.a", factors.b.T), "b": _kept(writing, f"{name}.b", factors.a.T)}
        item = {"offset": place.offset, "rows": before, "columns": here, "dtype": told, **pair}
        writing.weights.append(WeightPatch.model_validate(item))
        return
    b = _kept(writing, f"{name}.b", factors.b)
    blocks = factors.a.reshape(-1, before, after)
    for index in range(before):
        a = _kept(writing, f"{name}.a{index}" if before > 1 else f"{name}.a", blocks[:, index])
        offset = place.offset + index * here * after * place.dtype.itemsize
        item = {"offset": offset, "rows": here, "columns": after, "dtype": told, "a": a, "b": b}
        writing.weights.append(WeightPatch.model_validate(item))


def _kept(writing: _Writing, name: str, tensor: np.ndarray) -> str:
    """The name of a tensor in the patch, which holds equal ones once."""
    for known, other in writing.tensors.items():
        if other.dtype == tensor.dtype and np.array_equal(other, tensor):
            return known
    writing.tensors[name] = np.ascontiguousarray(tensor)
    return name


def _split(shape: tuple[int, ...], axis: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    return shape[:axis], shape[axis : axis + 1], shape[axis + 1 :]


def _finished(writing: _Writing, target: ProgramFile, begun: bytes, first_name: str | None) -> tuple[bytes, bytes]:
    """The patch's file, and what it makes of `begun`: the target, after the patch of `first_name` if there is one."""
    plan = PatchPlan(
        target_bytes=len(target.data),
        target_sha256=target.sha256,
        result_sha256="0" * 64,
        first=first_name,
        weights=writing.weights,
        bytes=writing.bytes,
    )
    result = bytearray(begun)
    put_in(Patch(plan, writing.tensors), result)
    plan = plan.model_copy(update={"result_sha256": hashlib.sha256(result).hexdigest()})
    metadata = json.dumps(plan.model_dump(mode="json"), separators=(",", ":"), sort_keys=True)
    return write_tensors({METADATA_KEY: metadata}, writing.tensors), bytes(result)
