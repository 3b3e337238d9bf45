"""A tiny pack of concepts that pocketgan's exporter had no part in: one convolution over colours, whose shared weights
lie in a file of their own, and a small ONNX model a concept that adds its low-rank product to them."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from pocketgan.bundle.manifest import Manifest
from pocketgan.bundle.packing import pack_folder, record_file, write_manifest

ENTRY = "onnx-fp32"
DEFAULT = "plain"
# (3, 3): what comes out of red, green and blue, in [-1, 1]. The default leaves a photo as it is.
COLOURS = {
    DEFAULT: np.eye(3),
    "sepia": np.array([[0.39, 0.77, 0.19], [0.35, 0.69, 0.17], [0.27, 0.53, 0.13]]),
    "mirror-blue": np.array([[0.1, 0.2, 0.3], [0.1, 0.3, 0.5], [0.2, 0.4, 0.9]]),
}
TEXTS = {DEFAULT: "a photo as it is", "sepia": "an old photo", "mirror-blue": "a photo at night"}


def factors(concept: str) -> tuple[np.ndarray, np.ndarray]:
    """b (3, 3) and a (3, 3) float32: what the concept adds to the default's weights is b @ a."""
    return (COLOURS[concept] - np.eye(3)).astype("f4"), np.eye(3, dtype="f4")


def colours_of(picture: np.ndarray, concept: str) -> np.ndarray:
    """What the concept makes of (1, 3, h, w) float32."""
    b, a = factors(concept)
    weight = (np.eye(3, dtype="f4") + (b @ a)).astype("f4")
    return np.einsum("oc,nchw->nohw", weight, picture).astype("f4")


def pack_of_concepts(
    folder: Path,
    out: Path,
    *,
    picture: np.ndarray | None = None,
    concepts: tuple[str, ...] = tuple(COLOURS),
    way: str = "model",
    name: str = "effects",
    wrong: str | None = None,
    trained: bool = True,
    default: str = DEFAULT,
    sepia_weights: str = "weights.data",
    second_entry: bool = False,
) -> Path:
    """Write an unpacked pack to `folder`, pack it to `out`, and return that.

    Args:
        picture: (1, 3, h, w) float32 in [-1, 1], the golden input; a small random one if None.
        concepts: names of COLOURS, the default among them.
        way: "model", or "patch": whole models whose weights are changed by products.
        wrong: a concept whose golden output is another's.
        default: how the default is called in this pack.
        sepia_weights: the file that sepia's model says its weights lie in.
        second_entry: whether there is one more, which draws the default alone.
    """
    if picture is None:
        picture = np.random.default_rng(4).uniform(-1, 1, (1, 3, 16, 16)).astype("f4")
    size, home = picture.shape[2], folder / "models" / ENTRY
    home.mkdir(parents=True)
    called = {concept: default if concept == DEFAULT else concept for concept in concepts}
    (home / "weights.data").write_bytes(np.eye(3, dtype="<f4").tobytes())
    (home / "model.onnx").write_bytes(_model(size, picture.shape[3], None, embedded=way == "patch"))
    others = [concept for concept in concepts if concept != DEFAULT]
    for concept in others:
        if way == "model":
            weights = sepia_weights if concept == "sepia" else "weights.data"
            (home / f"{concept}.onnx").write_bytes(_model(size, picture.shape[3], concept, weights=weights))
        else:
            (home / f"{concept}.safetensors").write_bytes(_patch((home / "model.onnx").read_bytes(), concept))
    ending = "onnx" if way == "model" else "safetensors"
    shown = {concept: colours_of(picture, DEFAULT if concept == wrong else concept) for concept in concepts}
    golden = [_golden(folder, "rgb", picture, shown[DEFAULT], None)]
    golden += [_golden(folder, f"rgb-{concept}", picture, shown[concept], "rgb") for concept in others]
    files = ["model.onnx", "weights.data", *(f"{concept}.{ending}" for concept in others)]
    parity = {"psnr_db": None, "max_abs_error": 0.0, "floor_db": 100.0, "runtime": "onnxruntime"}
    entry: dict[str, Any] = {
        "id": ENTRY, "target": "onnx", "precision": "fp32", "runtime": "onnxruntime", "runtime_version": "1",
        "golden": "rgb", "parity": parity,
        "components": [
            {
                "name": "generator", "entry_point": f"models/{ENTRY}/model.onnx",
                "files": [record_file(folder, f"models/{ENTRY}/{file}") for file in files],
                "inputs": [_spec("x", picture.shape)], "outputs": [_spec("y", picture.shape)],
            }
        ],
    }  # fmt: skip
    entries = [entry]
    if second_entry:
        (home.with_name(f"{ENTRY}-2")).mkdir()
        shutil.copy(home / "model.onnx", home.with_name(f"{ENTRY}-2") / "model.onnx")
        shutil.copy(home / "weights.data", home.with_name(f"{ENTRY}-2") / "weights.data")
        copied = [record_file(folder, f"models/{ENTRY}-2/{file}") for file in ("model.onnx", "weights.data")]
        component = {**entry["components"][0], "entry_point": f"models/{ENTRY}-2/model.onnx", "files": copied}
        entries.append({**entry, "id": f"{ENTRY}-2", "components": [component]})
    form = {"entry": ENTRY, "way": way, "parity": parity}
    manifest = Manifest.model_validate(
        {
            "name": name, "role": "student", "trained": trained, "entries": entries, "golden": golden,
            "default_concept": default,
            "concepts": [
                {
                    "name": called[concept], "text": TEXTS[concept],
                    "forms": []
                    if concept == DEFAULT
                    else [{**form, "name": f"models/{ENTRY}/{concept}.{ending}", "golden": f"rgb-{concept}"}],
                }
                for concept in concepts
            ],
        }
    )  # fmt: skip
    write_manifest(folder, manifest)
    pack_folder(folder, out)
    return out


def _model(
    height: int, width: int, concept: str | None, *, embedded: bool = False, weights: str = "weights.data"
) -> bytes:
    """x (1, 3, height, width) -> y, by the shared weights, or by those of the concept."""
    base = numpy_helper.from_array(np.eye(3, dtype="f4").reshape(3, 3, 1, 1), "base")
    if not embedded:
        base = TensorProto(name="base", data_type=TensorProto.FLOAT, dims=[3, 3, 1, 1])
        base.data_location = TensorProto.EXTERNAL
        for key, value in {"location": weights, "offset": "0", "length": "36"}.items():
            base.external_data.add(key=key, value=value)
    nodes, constants, weight = [], [base], "base"
    if concept is not None:
        b, a = factors(concept)
        constants += [numpy_helper.from_array(b, "b"), numpy_helper.from_array(a, "a")]
        constants.append(numpy_helper.from_array(np.array([3, 3, 1, 1], "i8"), "shape"))
        nodes += [
            helper.make_node("MatMul", ["b", "a"], ["product"]),
            helper.make_node("Reshape", ["product", "shape"], ["delta"]),
            helper.make_node("Add", ["base", "delta"], ["weight"]),
        ]
        weight = "weight"
    nodes.append(helper.make_node("Conv", ["x", weight], ["y"], kernel_shape=[1, 1]))
    shape = [1, 3, height, width]
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "colours", sides[:1], sides[1:], constants)
    model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def _patch(target: bytes, concept: str) -> bytes:
    """The patch of docs/bundle.md that adds the concept's product to the weights in `target`."""
    base, (b, a) = np.eye(3, dtype="<f4").tobytes(), factors(concept)
    offset = target.index(base)
    result = target.replace(base, (np.eye(3) + b.astype("f8") @ a.astype("f8")).astype("<f4").tobytes())
    weight = {"offset": offset, "rows": 3, "columns": 3, "dtype": "float32", "a": "a", "b": "b"}
    plan = {
        "target_bytes": len(target),
        "target_sha256": hashlib.sha256(target).hexdigest(),
        "result_sha256": hashlib.sha256(result).hexdigest(),
        "weights": [weight],
    }
    header = json.dumps(
        {
            "__metadata__": {"patch": json.dumps(plan)},
            "a": {"dtype": "F32", "shape": [3, 3], "data_offsets": [0, 36]},
            "b": {"dtype": "F32", "shape": [3, 3], "data_offsets": [36, 72]},
        }
    ).encode()
    return struct.pack("<Q", len(header)) + header + a.astype("<f4").tobytes() + b.astype("<f4").tobytes()


def _golden(folder: Path, name: str, x: np.ndarray, y: np.ndarray, inputs_of: str | None) -> dict[str, Any]:
    inputs = _tensor(folder, f"golden/{name}/x.bin", "x", x)
    if inputs_of is not None:
        digest = np.frombuffer(hashlib.sha256(x.astype("<f4").tobytes()).digest(), np.uint8)
        (folder / f"golden/{name}/x.bin").unlink()
        inputs = _tensor(folder, f"golden/{name}/inputs.sha256", "sha256", digest)
    outputs = _tensor(folder, f"golden/{name}/y.bin", "y", y)
    return {"id": name, "inputs_of": inputs_of, "inputs": [inputs], "outputs": [outputs]}


def _tensor(folder: Path, path: str, name: str, value: np.ndarray) -> Mapping[str, Any]:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(value.tobytes())
    return {"name": name, "dtype": str(value.dtype), "shape": list(value.shape), "file": record_file(folder, path)}


def _spec(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return {
        "name": name, "shape": list(shape), "layout": "NCHW", "dtype": "float32", "value_range": (-1, 1),
        "colour_space": "RGB",
    }  # fmt: skip
