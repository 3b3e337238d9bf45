"""Packs in Kotlin: judged as Python judges them, and measured concept by concept."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kotlin_harness
import pytest
from jvm_phone import JvmPhone, JvmTransport
from small_pack import ENTRY, record, write_pack

from pocketgan.bench.schema.job import Job, Warmup
from pocketgan.bundle.check import check
from pocketgan.bundle.reader import open_bundle

EXAMPLES = Path(__file__).resolve().parents[3] / "bench" / "schema" / "examples"
EXAMPLE = (EXAMPLES / "valid-manifest-concepts.json").read_text("utf-8")


def ink(manifest: dict[str, Any]) -> Any:
    return manifest["concepts"][1]


def second_form(manifest: dict[str, Any]) -> None:
    ink(manifest)["forms"] *= 2


CONTRADICTIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "two concepts have the same name": lambda m: ink(m).update(name="Night"),
    "concepts and default_concept go together": lambda m: m.update(concepts=[]),
    "default_concept sepia is not among": lambda m: m.update(default_concept="sepia"),
    "concept ink: all but the default have forms": lambda m: ink(m).update(forms=[]),
    "concept ink has two forms of one entry": second_form,
    "concept ink names entry onnx-int8": lambda m: ink(m)["forms"][0].update(entry="onnx-int8"),
    "or golden set none, no such": lambda m: ink(m)["forms"][0].update(golden="none"),
    "names models/x.onnx, which is no file": lambda m: ink(m)["forms"][0].update(name="models/x.onnx"),
    "takes its inputs of none": lambda m: m["golden"][1].update(inputs_of="none"),
    "takes its inputs of float-nchw-ink": lambda m: m["golden"][1].update(inputs_of="float-nchw-ink"),
}


@pytest.mark.parametrize("told", CONTRADICTIONS)
def test_concepts_that_contradict_the_rest_are_refused_in_the_same_words(told: str) -> None:
    if reason := kotlin_harness.left_out():
        pytest.skip(f"left out: android_harness ({reason})")
    manifest = json.loads(EXAMPLE)
    CONTRADICTIONS[told](manifest)
    text = json.dumps(manifest)
    kotlin_harness.must_agree_about_document("manifest", text)
    assert told in kotlin_harness.ask("manifest", text=text)["problems"][0]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pack(tmp_path_factory.mktemp("pack") / "pack.pgb")


def test_a_concept_whose_model_names_files_of_others_is_found(pack: Path, tmp_path: Path) -> None:
    assert check(pack) == []
    kotlin_harness.must_agree_about_bundle(pack)
    onnx = pytest.importorskip("onnx")
    folder = tmp_path / "folder"
    with open_bundle(pack) as bundle:
        bundle.extract(folder)
    model = folder / "models" / ENTRY / "same.onnx"
    graph = onnx.load(model)
    (weights,) = [one for one in graph.graph.initializer if len(one.dims) == 4]
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../../../../secrets")
    model.write_bytes(graph.SerializeToString())
    manifest = json.loads((folder / "manifest.json").read_text())
    files = manifest["entries"][0]["components"][0]["files"]
    files[:] = [record(folder, folder / file["path"]) for file in files]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert any("same.onnx names '../../../../secrets'" in problem for problem in check(folder))
    kotlin_harness.must_agree_about_bundle(folder)


def test_each_concept_is_measured_and_believed(pack: Path, tmp_path: Path) -> None:
    transport = JvmTransport(tmp_path / "session")
    transport.folder.mkdir()
    phone = JvmPhone(transport, lock_folder=tmp_path, sleep=lambda seconds: time.sleep(min(seconds, 0.05)))
    short: dict[str, Any] = {"iterations": 4, "rounds": 2, "warmup": Warmup(timeout_s=0.1), "via": "app"}
    with open_bundle(pack) as bundle:
        jobs = [Job(bundle=bundle.digest, entry=ENTRY, concept=concept, **short) for concept in (None, "same", "soft")]
        results = phone.run_groups([[(bundle, job) for job in jobs]], session="s")
    transport.stop()
    assert [result.errors for result in results] == [[], [], []]
    assert [result.job.concept for result in results] == [None, "same", "soft"]
    assert len({result.process for result in results}) == 1
    for result in results:
        assert result.parity is not None
        assert result.parity.max_abs_error < 1e-6
        # Twice loaded, in a process of its own and here: the patch's file was there the second time.
        assert result.memory is not None
