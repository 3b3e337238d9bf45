"""Packs draw every concept as the network does that has it merged."""

from __future__ import annotations

import hashlib
import io
import re
from contextlib import redirect_stderr
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from pack_inputs import make_pack_inputs

from pocketgan import api, console
from pocketgan.bundle.check import check
from pocketgan.bundle.manifest import ConceptForm, Manifest
from pocketgan.bundle.patch import apply_patch
from pocketgan.bundle.reader import open_bundle
from pocketgan.export.parity import run_file
from pocketgan.training.adapter import merge
from pocketgan.training.adapter_files import load_adapter
from pocketgan.training.generators.files import load_generator

CONCEPTS = ("ink", "night")
ONNX, EXECUTORCH = "onnx-fp32", "executorch-xnnpack-fp32"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest, str]:
    """A folder with the base, its adapters and a pack of them, whose default is the second; and what users are told."""
    folder, told = tmp_path_factory.mktemp("pack"), io.StringIO()
    make_pack_inputs(folder, CONCEPTS)
    with mock.patch.object(console, "PLAIN_INTERVAL_S", 0), redirect_stderr(told):
        written = api.export(
            folder / "base.safetensors",
            ["onnx", "executorch-xnnpack"],
            folder / "pack",
            concepts=folder / "effects",
            default="night",
            workers=1,
        )
    assert not written.failed
    return folder, written.manifest, told.getvalue()


@pytest.fixture
def made(exported) -> tuple[Path, Manifest]:
    return exported[:2]


def test_the_progress_of_every_concept_is_told(exported) -> None:
    lines = re.findall(r"^pack: (\d)/4 after \d+ s  (\S+ \S+)$", exported[2], re.MULTILINE)
    assert [int(count) for count, _ in lines] == [1, 2, 3, 4]
    assert {name for _, name in lines} == {f"{concept} {entry}" for concept in CONCEPTS for entry in (ONNX, EXECUTORCH)}


def picture() -> np.ndarray:
    return np.random.default_rng(3).uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)


def merged_output(folder: Path, concept: str) -> np.ndarray:
    base = load_generator(folder / "base.safetensors")
    adapter = load_adapter(folder / "effects" / f"{concept}.safetensors")
    with torch.no_grad():
        return merge(base, adapter).module(torch.from_numpy(picture())).numpy()


def drawn(runtime: str, file: Path) -> np.ndarray:
    outputs = run_file(runtime, file, [picture()])
    assert outputs is not None
    return outputs[0]


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(4 / np.mean((one.astype(np.float64) - other) ** 2)))


def form(manifest: Manifest, concept: str, entry: str) -> ConceptForm:
    (named,) = [one for one in manifest.concepts if one.name == concept]
    (found,) = [one for one in named.forms if one.entry == entry]
    return found


@pytest.mark.parametrize(("concept", "file"), [("night", "model.onnx"), ("ink", "concept-ink.onnx")])
def test_onnx_runtime_draws_a_concept_from_the_shared_weights(made, concept: str, file: str) -> None:
    folder, _ = made
    output = drawn("onnxruntime", folder / "pack" / "models" / ONNX / file)
    assert psnr(output, merged_output(folder, concept)) > 95


def test_executorch_draws_every_concept_in_one_process(made, tmp_path: Path) -> None:
    folder, manifest = made
    entry = folder / "pack" / "models" / EXECUTORCH
    apply_patch(entry / "model.pte", folder / "pack" / form(manifest, "ink", EXECUTORCH).name, tmp_path / "ink.pte")
    night = drawn("executorch", entry / "model.pte")
    ink = drawn("executorch", tmp_path / "ink.pte")
    assert psnr(night, merged_output(folder, "night")) > 100
    # Factors in float16 hold 102 dB on the golden photo; white noise is harder.
    assert psnr(ink, merged_output(folder, "ink")) > 95
    assert psnr(ink, night) < 60


def test_a_patched_program_names_its_weights_as_no_other_does(made, tmp_path: Path) -> None:
    # A runtime may keep packed weights by these names, which are hashes of what they once held.
    folder, manifest = made
    target = folder / "pack" / "models" / EXECUTORCH / "model.pte"
    apply_patch(target, folder / "pack" / form(manifest, "ink", EXECUTORCH).name, tmp_path / "ink.pte")
    before, after = (set(re.findall(rb"[0-9a-f]{64}", file.read_bytes())) for file in (target, tmp_path / "ink.pte"))
    # Of the 16 adapted layers two, keys and values of the text, are no weights, and three are of four phases each.
    assert len(after - before) == len(before - after) == 11 + 3 * 4


def test_the_manifest_tells_how_each_concept_is_drawn(made) -> None:
    folder, manifest = made
    assert check(folder / "pack") == []
    assert manifest.default_concept == "night"
    assert [(one.name, one.text) for one in manifest.concepts] == [
        ("ink", "a ink picture"),
        ("night", "a night picture"),
    ]
    for concept in manifest.concepts:
        adapter = (folder / "effects" / f"{concept.name}.safetensors").read_bytes()
        assert concept.adapter == hashlib.sha256(adapter).hexdigest()
    ways = {one.entry: (one.way, one.name) for one in manifest.concepts[0].forms}
    assert ways == {
        ONNX: ("model", f"models/{ONNX}/concept-ink.onnx"),
        EXECUTORCH: ("patch", f"models/{EXECUTORCH}/concept-ink.safetensors"),
    }
    assert all(one.parity.passed and one.parity.floor_db == 100 for one in manifest.concepts[0].forms)


def test_a_concepts_golden_output_is_the_merged_networks_of_the_same_input(made) -> None:
    folder, manifest = made
    sets = {one.id: one for one in manifest.golden}
    own, shared = sets[form(manifest, "ink", ONNX).golden], sets["nchw-float32"]
    assert own.inputs_of == shared.id
    with open_bundle(folder / "pack") as bundle:
        image = bundle.read(shared.inputs[0].file.path)
        assert bundle.read(own.inputs[0].file.path) == hashlib.sha256(image).digest()
        told = np.frombuffer(bundle.read(own.outputs[0].file.path), "<f4").reshape(1, 3, 32, 32)
    base = load_generator(folder / "base.safetensors")
    network = merge(base, load_adapter(folder / "effects" / "ink.safetensors")).module
    with torch.no_grad():
        drawn = network(torch.from_numpy(np.frombuffer(image, "<f4").reshape(1, 3, 32, 32).copy())).numpy()
    np.testing.assert_allclose(told, drawn, atol=1e-6)


def test_a_concept_adds_its_factors_and_no_weights(made) -> None:
    _, manifest = made
    entry = next(one for one in manifest.entries if one.id == ONNX)
    sizes = {Path(file.path).name: file.bytes for file in entry.components[0].files}
    assert set(sizes) == {"model.onnx", "model.onnx.data", "concept-ink.onnx"}
    # Tokens of nine words along 77 positions, not 77 x 32 keys and values.
    assert sizes["concept-ink.onnx"] < sizes["model.onnx.data"] / 3


def test_a_pack_for_iphones_alone_needs_no_other_target(tmp_path: Path) -> None:
    pytest.importorskip("coremltools")
    make_pack_inputs(tmp_path, CONCEPTS)
    pack = tmp_path / "pack"
    written = api.export(tmp_path / "base.safetensors", "coreml", pack, concepts=tmp_path / "effects", workers=1)
    assert not written.failed
    assert check(pack) == []
    assert [one.id for one in written.manifest.entries] == ["coreml-fp16"]
    assert {"coremltools", "torch"} <= written.manifest.created_with.keys()
    assert written.manifest.default_concept == "ink"
    told = form(written.manifest, "night", "coreml-fp16")
    assert told.way == "function"
    assert told.parity.passed
    outputs = run_file("coreml", pack / "models" / "coreml-fp16" / "model.mlpackage", [picture()], told.name)
    assert outputs is not None
    assert psnr(outputs[0], merged_output(tmp_path, "night")) > 50
