"""Patches: how a pack's concept changes the file of an entry (docs/bundle.md, "Patches"). Numpy alone.

Products of float32 numbers are exact in float64, and sums are taken in one order, so that every language and every
processor writes the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pocketgan.bundle.damage import DamageError, must_be_safe, quote, reading
from pocketgan.bundle.manifest import Sha256
from pocketgan.bundle.safetensors import read_tensors
from pocketgan.files import sha256_file, write_atomic

METADATA_KEY = "patch"
_DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}
# Numbers that are summed at once, in float64: they and a product stay in a core's own cache (three times as fast).
_BLOCK = 1 << 15
_Count = Annotated[int, Field(ge=1, le=1 << 40)]
_Offset = Annotated[int, Field(ge=0, le=1 << 40)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class WeightPatch(_Strict):
    """`rows` x `columns` numbers at `offset` to which the product of the tensors `b` (rows, rank) and `a` (rank,
    columns) is added."""

    offset: _Offset
    rows: _Count
    columns: _Count
    dtype: Literal["float32", "float16"]
    a: str
    b: str


class BytesPatch(_Strict):
    """At `offset` the bytes of the uint8 tensor `bytes` take the place of those that are there."""

    offset: _Offset
    bytes: str


class PatchPlan(_Strict):
    """The metadata of a patch.

    Attributes:
        target_bytes, target_sha256: of the file that it belongs to.
        result_sha256: of what comes of it.
        first: name of a patch of the same folder and target, without a `first` of its own, that is put in before.
    """

    target_bytes: _Count
    target_sha256: Sha256
    result_sha256: Sha256
    first: str | None = None
    weights: list[WeightPatch] = []
    bytes: list[BytesPatch] = []


@dataclass(frozen=True)
class Patch:
    """A patch that was read: its plan, and its tensors by name."""

    plan: PatchPlan
    tensors: dict[str, np.ndarray]


def apply_patch(target: Path, patch: Path, out: Path) -> None:
    """Write the file of a concept to `out`, whole or not at all.

    Args:
        target: the entry point's file, which is not changed.
        patch: a `.safetensors` of the bundle.
    Raises:
        BundleError: the patch is damaged, belongs to another file, or gives another result than it says.
        StorageError: the disk is full or read-only.
    """
    write_atomic(out, patched(target, patch))


def patched(target: Path, patch: Path) -> memoryview:
    """The bytes of a concept's file; see `apply_patch`."""
    with reading(patch):
        steps = read_steps(patch)
        plan = steps[-1].plan
        if target.stat().st_size != plan.target_bytes:
            raise DamageError(f"belongs to another file than {target.name}")
        # An array, whose memory costs half of a bytearray's: it is not zeroed, and comes in large pages.
        data = np.empty(plan.target_bytes, np.uint8).data
        with target.open("rb") as file:
            file.readinto(data)
        for step in steps:
            put_in(step, data)
        # One hash of what may be large: a right result is of the right target.
        if hashlib.sha256(data).hexdigest() != plan.result_sha256:
            other = sha256_file(target) != plan.target_sha256
            what = (
                f"belongs to another file than {target.name}" if other else f"gives another {target.name} than it says"
            )
            raise DamageError(what)
        return data


def read_steps(path: Path) -> list[Patch]:
    """The patch, after the one that it wants put in before it.

    Raises:
        DamageError, OSError, ValueError: as `safetensors.read_tensors`.
    """
    last = _read(path)
    if last.plan.first is None:
        return [last]
    must_be_safe(last.plan.first)
    if "/" in last.plan.first:
        raise DamageError(f"names a patch outside of its folder: {quote(last.plan.first)}")
    first = _read(path.with_name(last.plan.first))
    if first.plan.first is not None:
        raise DamageError("wants a patch put in before it that wants another one")
    if first.plan.target_sha256 != last.plan.target_sha256:
        raise DamageError("wants a patch of another file put in before it")
    return [first, last]


def put_in(patch: Patch, data: bytearray | memoryview) -> None:
    """Change a file's bytes as the patch says.

    Raises:
        DamageError: it reaches outside of the file or names a tensor that does not fit.
    """
    for weight in patch.plan.weights:
        _add_product(patch, weight, data)
    for one in patch.plan.bytes:
        new = _tensor(patch, one.bytes)
        if new.dtype != np.uint8 or one.offset + new.size > len(data):
            raise DamageError(f"replaces bytes outside of the file, or by no bytes: {quote(one.bytes)}")
        data[one.offset : one.offset + new.size] = new.tobytes()


def _add_product(patch: Patch, weight: WeightPatch, data: bytearray | memoryview) -> None:
    dtype, a, b = _DTYPES[weight.dtype], _tensor(patch, weight.a), _tensor(patch, weight.b)
    count = weight.rows * weight.columns
    fits = a.ndim == b.ndim == 2 and (b.shape[0], a.shape[1]) == (weight.rows, weight.columns)
    if not fits or a.shape[0] != b.shape[1] or np.uint8 in (a.dtype, b.dtype):
        raise DamageError(f"has factors {quote(weight.b)} and {quote(weight.a)} that are none of its weights")
    if weight.offset + count * dtype.itemsize > len(data):
        raise DamageError("changes weights outside of the file")
    weights = np.frombuffer(data, dtype, count, weight.offset).reshape(weight.rows, weight.columns)
    a, b = a.astype(np.float64), b.astype(np.float64)
    at_once = max(1, _BLOCK // weight.columns)
    for start in range(0, weight.rows, at_once):
        weights[start : start + at_once] = _sums(weights[start : start + at_once], a, b[start : start + at_once])


def _sums(weights: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    sums = weights.astype(np.float64)
    product = np.empty_like(sums)
    for rank in range(len(a)):
        np.multiply(b[:, rank, None], a[rank], out=product)
        np.add(sums, product, out=sums)
    return sums


def _tensor(patch: Patch, name: str) -> np.ndarray:
    if name not in patch.tensors:
        raise DamageError(f"lacks its tensor {quote(name)}")
    return patch.tensors[name]


def _read(path: Path) -> Patch:
    found = read_tensors(path)
    try:
        plan = PatchPlan.model_validate(json.loads(found.metadata.get(METADATA_KEY, "null")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DamageError(f"is no patch: {where or 'its metadata'}: {first['msg']}") from error
    return Patch(plan, found.tensors)
