"""A pack of three concepts, put together by hand: what harnesses are asked to draw, without the exporter of packs.

The default `negative` turns each colour round, `same` keeps it (a model of its own), `soft` is the negative with 0.25
of the red added to every colour (a patch of the default's weights).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from pocketgan.bundle.packing import pack_folder
from pocketgan.bundle.safetensors import write_tensors

ENTRY = "onnx-fp32"
B, A = np.ones((3, 1), np.float32), np.array([[0.25, 0, 0]], np.float16)
NEGATIVE = -np.eye(3, dtype=np.float32)
WEIGHTS = {"negative": NEGATIVE, "same": -NEGATIVE, "soft": NEGATIVE + B @ A.astype(np.float32)}
TEXTS = {"negative": "the negative", "same": "as it is", "soft": "softer"}
PARITY = {"psnr_db": None, "max_abs_error": 0, "floor_db": 100, "runtime": "onnxruntime"}


def write_pack(path: Path, size: int = 8) -> Path:
    """Write the pack; pictures of `size` x `size` go in and out."""
    folder, shape = path.with_suffix(".folder"), [1, 3, size, size]
    models = folder / "models" / ENTRY
    models.mkdir(parents=True)
    start = models / "model.onnx"
    start.write_bytes(_model("negative", shape))
    (models / "same.onnx").write_bytes(_model("same", shape))
    (models / "soft.safetensors").write_bytes(_patch(start.read_bytes()))
    forms = {"same": ("model", models / "same.onnx"), "soft": ("patch", models / "soft.safetensors")}
    component = {
        "name": "generator",
        "entry_point": start.relative_to(folder).as_posix(),
        "files": [record(folder, file) for file in (start, *(file for _, file in forms.values()))],
        "inputs": [_spec("image", shape)],
        "outputs": [_spec("edited", shape)],
    }
    entry = {"id": ENTRY, "target": "onnx", "precision": "fp32", "runtime": "onnxruntime", "runtime_version": "1.17.0"}
    manifest = {
        "format_version": "1.3",
        "name": "pack",
        "role": "student",
        "trained": True,
        "entries": [entry | {"golden": "negative", "parity": PARITY, "components": [component]}],
        "golden": [_golden(folder, name, shape) for name in WEIGHTS],
        "concepts": [
            {"name": name, "text": text, "forms": [_form(folder, name, *forms[name])] if name in forms else []}
            for name, text in TEXTS.items()
        ],
        "default_concept": "negative",
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    pack_folder(folder, path)
    return path


def record(folder: Path, file: Path) -> dict[str, Any]:
    """The file's record in a manifest."""
    data = file.read_bytes()
    place = file.relative_to(folder).as_posix()
    return {"path": place, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _model(concept: str, shape: list[int]) -> bytes:
    """A convolution of one pixel by one."""
    from onnx import TensorProto, helper

    stored = WEIGHTS[concept].astype("<f4").tobytes()
    weights = helper.make_tensor("colours", TensorProto.FLOAT, [3, 3, 1, 1], stored, raw=True)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("image", "edited")]
    node = helper.make_node("Conv", ["image", "colours"], ["edited"])
    graph = helper.make_graph([node], "graph", ends[:1], ends[1:], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    written: bytes = model.SerializeToString()
    return written


def _patch(target: bytes) -> bytes:
    stored = NEGATIVE.astype("<f4").tobytes()
    assert target.count(stored) == 1
    result = target.replace(stored, WEIGHTS["soft"].astype("<f4").tobytes())
    weight = {"offset": target.index(stored), "rows": 3, "columns": 3, "dtype": "float32", "a": "a", "b": "b"}
    plan = {"target_bytes": len(target), "target_sha256": hashlib.sha256(target).hexdigest(), "weights": [weight]}
    plan["result_sha256"] = hashlib.sha256(result).hexdigest()
    return write_tensors({"patch": json.dumps(plan)}, {"a": A, "b": B})


def _spec(name: str, shape: list[int]) -> dict[str, Any]:
    stated = {"name": name, "shape": shape, "layout": "NCHW", "dtype": "float32"}
    return stated | {"value_range": [-1, 1], "colour_space": "RGB"}


def _golden(folder: Path, concept: str, shape: list[int]) -> dict[str, Any]:
    picture = np.random.default_rng(7).uniform(-0.5, 0.5, shape).astype("<f4")
    made = np.einsum("oc,nchw->nohw", WEIGHTS[concept].astype(np.float64), picture).astype("<f4")
    given = {"golden/negative/image.bin": picture.tobytes()}
    # The inputs lie there once: the other sets hold their hash.
    own = given if concept == "negative" else {f"golden/{concept}/sha256": hashlib.sha256(picture.tobytes()).digest()}
    for place, data in (own | {f"golden/{concept}/edited.bin": made.tobytes()}).items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(data)
    tensor = {"dtype": "float32", "shape": shape}
    image, edited = folder / "golden/negative/image.bin", folder / f"golden/{concept}/edited.bin"
    outputs = [tensor | {"name": "edited", "file": record(folder, edited)}]
    if concept == "negative":
        inputs = [tensor | {"name": "image", "file": record(folder, image)}]
        return {"id": concept, "inputs": inputs, "outputs": outputs}
    stated = {"name": "sha256", "dtype": "uint8", "shape": [32]}
    inputs = [stated | {"file": record(folder, folder / f"golden/{concept}/sha256")}]
    return {"id": concept, "inputs_of": "negative", "inputs": inputs, "outputs": outputs}


def _form(folder: Path, concept: str, way: str, file: Path) -> dict[str, Any]:
    place = file.relative_to(folder).as_posix()
    return {"entry": ENTRY, "way": way, "name": place, "golden": concept, "parity": PARITY}
