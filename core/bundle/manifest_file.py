"""The bytes of `manifest.json`: written in one form, and read without trust."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from pydantic import ValidationError

from pocketgan.bundle.damage import DamageError, quote
from pocketgan.bundle.manifest import FORMAT_VERSION, GoldenTensor, Manifest

MAX_MANIFEST_BYTES = 8 << 20
ITEM_BYTES = {"float32": 4, "float16": 2, "uint8": 1, "int32": 4, "int64": 8}


def manifest_bytes(manifest: Manifest) -> bytes:
    """The one form in which pocketgan writes a manifest: sorted keys, two spaces, UTF-8, a line break at the end."""
    value = manifest.model_dump(mode="json")
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_manifest(data: bytes) -> Manifest:
    """The manifest in `data`. Fields that a later minor version added are left out.

    Raises:
        DamageError: what is wrong, on one line. JSON that cannot be read at all is a ValueError or a RecursionError:
            call it within `reading`.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise DamageError(f"manifest.json is too large ({len(data)} bytes; at most {MAX_MANIFEST_BYTES})")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique_keys,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except UnicodeDecodeError as error:
        raise DamageError(f"manifest.json is not UTF-8: {error.reason} at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise DamageError(f"manifest.json is not JSON: {error.msg} in line {error.lineno}") from error
    if not isinstance(value, dict):
        raise DamageError("manifest.json is not a JSON object")
    _must_be_readable_version(value.get("format_version"))
    # Validated as JSON text, where strict mode takes arrays for tuples; `value` serves to look at the version first.
    try:
        return Manifest.model_validate_json(data, strict=True)
    except ValidationError as error:
        if value["format_version"] != FORMAT_VERSION and _drop_unknown(value, error):
            return _validated(value)
        raise DamageError(_one_line(error)) from error


def shape_problems(manifest: Manifest) -> list[str]:
    """Golden tensors whose size is not that of their shape, and tensors of one set with the same name."""
    problems = []
    for golden in manifest.golden:
        for side in (golden.inputs, golden.outputs):
            if len({tensor.name for tensor in side}) != len(side):
                problems.append(f"golden set {golden.id} has two tensors of the same name")
            for tensor in side:
                if tensor.file.bytes != tensor_bytes(tensor):
                    problems.append(
                        f"{tensor.file.path} has {tensor.file.bytes} bytes, but {tensor.dtype} of shape {tensor.shape} "
                        f"needs {tensor_bytes(tensor)}"
                    )
    return problems


def tensor_bytes(tensor: GoldenTensor) -> int:
    """Size of a golden tensor's file, from its shape and dtype."""
    return math.prod(tensor.shape) * ITEM_BYTES[tensor.dtype]


def _must_be_readable_version(version: Any) -> None:
    if not isinstance(version, str) or not re.fullmatch(r"[0-9]{1,4}\.[0-9]{1,4}", version):
        raise DamageError(f"manifest.json states no format version such as {FORMAT_VERSION}")
    major, ours = int(version.split(".")[0]), int(FORMAT_VERSION.split(".")[0])
    if major > ours:
        raise DamageError(
            f"has format version {version}, which is newer than this pocketgan reads ({ours}.x); "
            "upgrade pocketgan: pip install -U pocketgan"
        )
    if major < ours:
        raise DamageError(f"has format version {version}, which never was; this pocketgan reads {ours}.x")


def _validated(value: dict[str, Any]) -> Manifest:
    try:
        return Manifest.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        raise DamageError(_one_line(error)) from error


def _drop_unknown(value: Any, error: ValidationError) -> bool:
    """Remove the fields that `error` calls unknown; False if something else is wrong as well."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    if any(problem["type"] != "extra_forbidden" for problem in problems):
        return False
    for problem in problems:
        *parents, field = problem["loc"]
        holder = value
        for key in parents:
            holder = holder[key]
        del holder[field]
    return True


def _one_line(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    shown = []
    for problem in problems[:3]:
        where = ".".join(str(part) for part in problem["loc"])
        text = f"{where}: {problem['msg']}" if where else problem["msg"].removeprefix("Value error, ")
        shown.append(text if text.isprintable() and len(text) < 300 else quote(text))
    more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
    return f"manifest.json is not valid: {'; '.join(shown)}{more}"


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Readers differ in which of two equal keys they keep, so there may be none."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise DamageError("manifest.json has an object with the same key twice")
    return value


def _no_constant(text: str) -> Any:
    raise DamageError(f"manifest.json holds {text}, which is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise DamageError(f"manifest.json holds the number {quote(text)}, which is out of range")
    return number
