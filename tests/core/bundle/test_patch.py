"""Patches of packs: the bytes that come of them, and those that are refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketgan.bundle.patch import apply_patch, patched
from pocketgan.bundle.safetensors import read_tensors, write_tensors
from pocketgan.errors import BundleError

# 8 bytes that stay, then a 2x3 matrix of float32.
TARGET = b"HEADER.." + np.arange(6, dtype="<f4").tobytes()
B, A = np.array([[1, 2], [0, -1]], np.float16), np.array([[1, 0, 2], [0.5, 1, 0]], np.float32)
# [[0, 1, 2], [3, 4, 5]] + [[1 + 1, 2, 2], [-0.5, -1, 0]], by hand.
ADDED = b"HEADER.." + np.array([2, 3, 4, 2.5, 3, 5], "<f4").tobytes()
WEIGHT = {"offset": 8, "rows": 2, "columns": 3, "dtype": "float32", "a": "a", "b": "b"}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write(folder: Path, result: bytes, name: str = "ink.safetensors", **plan: Any) -> Path:
    told = {"target_bytes": len(TARGET), "target_sha256": sha256(TARGET), "result_sha256": sha256(result)} | plan
    tensors: dict[str, np.ndarray] = {"a": A, "b": B, "word": np.frombuffer(b"WORD", np.uint8)}
    (folder / name).write_bytes(write_tensors({"patch": json.dumps(told)}, tensors))
    return folder / name


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "model.pte").write_bytes(TARGET)
    return tmp_path / "model.pte"


def test_a_product_is_added_to_the_weights_and_nothing_else_changes(tmp_path: Path, target: Path) -> None:
    apply_patch(target, write(tmp_path, ADDED, weights=[WEIGHT]), tmp_path / "ink.pte")
    assert (tmp_path / "ink.pte").read_bytes() == ADDED
    assert target.read_bytes() == TARGET


def test_bytes_take_the_place_of_others_after_the_weights(tmp_path: Path, target: Path) -> None:
    result = b"HEADWORD" + ADDED[8:]
    patch = write(tmp_path, result, weights=[WEIGHT], bytes=[{"offset": 4, "bytes": "word"}])
    assert patched(target, patch) == result


def test_the_first_patch_is_put_in_before(tmp_path: Path, target: Path) -> None:
    write(tmp_path, ADDED, "common.safetensors", weights=[WEIGHT])
    # Twice the product: 0, 1, 2, 3, 4, 5 and 2 * (2, 2, 2, -0.5, -1, 0).
    twice = b"HEADER.." + np.array([4, 5, 6, 2, 2, 5], "<f4").tobytes()
    patch = write(tmp_path, twice, first="common.safetensors", weights=[WEIGHT])
    assert patched(target, patch) == twice


def test_sums_are_of_float64_and_rounded_once_to_even(tmp_path: Path) -> None:
    # 2**24 + 1 is no float32. Once rounded, 2**24 + 1 + 1 = 2**24 + 2; rounded each time, 2**24 would stay.
    target = tmp_path / "model.pte"
    target.write_bytes(np.array([2.0**24], "<f4").tobytes())
    result = np.array([2.0**24 + 2], "<f4").tobytes()
    told = {"target_bytes": 4, "target_sha256": sha256(target.read_bytes()), "result_sha256": sha256(result)}
    item = {"offset": 0, "rows": 1, "columns": 1, "dtype": "float32", "a": "a", "b": "b"}
    tensors = {"a": np.ones((2, 1), np.float32), "b": np.ones((1, 2), np.float32)}
    patch = tmp_path / "p.safetensors"
    patch.write_bytes(write_tensors({"patch": json.dumps(told | {"weights": [item]})}, tensors))
    assert patched(target, patch) == result


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        ({"weights": [WEIGHT | {"offset": 16}]}, "outside of the file"),
        ({"weights": [WEIGHT | {"rows": 3, "columns": 2}]}, "none of its weights"),
        ({"weights": [WEIGHT | {"a": "c"}]}, "lacks its tensor 'c'"),
        ({"weights": [WEIGHT | {"dtype": "int8"}]}, "weights.0.dtype"),
        ({"weights": [WEIGHT | {"a": "word"}]}, "none of its weights"),
        ({"bytes": [{"offset": 30, "bytes": "word"}]}, "outside of the file"),
        ({"bytes": [{"offset": 0, "bytes": "a"}]}, "by no bytes"),
        ({"target_bytes": 31}, "another file than model.pte"),
        ({"target_sha256": "0" * 64, "result_sha256": "0" * 64}, "another file than model.pte"),
        ({"result_sha256": sha256(TARGET)}, "gives another model.pte than it says"),
        ({"first": "../ink.safetensors"}, "file name"),
        ({"first": "ink.safetensors"}, "wants another one"),
        ({"offset": 8}, "is no patch"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(tmp_path: Path, target: Path, plan: dict[str, Any], told: str) -> None:
    patch = write(tmp_path, ADDED, **({"weights": [WEIGHT]} | plan))
    with pytest.raises(BundleError, match=told):
        patched(target, patch)


@pytest.mark.parametrize("data", [b"", b"\xff" * 16, b"\2" + bytes(7) + b"[]", b"\2" + bytes(7) + b"{}"])
def test_what_is_no_patch_is_refused(tmp_path: Path, target: Path, data: bytes) -> None:
    patch = tmp_path / "p.safetensors"
    patch.write_bytes(data)
    with pytest.raises(BundleError, match=r"p\.safetensors"):
        patched(target, patch)


def test_the_file_is_what_the_package_safetensors_reads_and_writes(tmp_path: Path) -> None:
    from safetensors.numpy import load, save

    data = write_tensors({"patch": "{}"}, {"b": B, "a": A})
    assert {name: tensor.tolist() for name, tensor in load(data).items()} == {"a": A.tolist(), "b": B.tolist()}
    (tmp_path / "s").write_bytes(save({"a": A, "b": B}, {"patch": "x"}))
    found = read_tensors(tmp_path / "s")
    assert found.metadata == {"patch": "x"}
    np.testing.assert_array_equal(found.tensors["a"], A)
    np.testing.assert_array_equal(found.tensors["b"], B)
