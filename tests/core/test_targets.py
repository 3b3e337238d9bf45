"""The table of targets: what it says is there, and agrees with the code that it stands for."""

from __future__ import annotations

from importlib import metadata

import pytest

from pocketgan.bench.report.labels import runtime_name
from pocketgan.bench.runners.process import make_engine
from pocketgan.errors import ExportError, PocketganError
from pocketgan.recipe.recipe import Recipe
from pocketgan.targets import (
    CALIBRATED,
    PRECISIONS,
    RUNTIMES,
    TARGETS,
    TIMED,
    Runtime,
    TargetFacts,
    find_facts,
    pairs,
    place_of,
    runs_on_host,
    versions,
)


def or_skip(part: TargetFacts | Runtime) -> None:
    try:
        part.check_installed()
    except PocketganError as problem:
        pytest.skip(str(problem))


def test_every_target_has_an_exporter_that_was_made_for_it():
    pytest.importorskip("torch")
    from pocketgan.export import targets

    assert list(targets.TARGETS) == list(TARGETS)
    assert all(targets.TARGETS[name].facts is facts for name, facts in TARGETS.items())


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=RUNTIMES)
def test_every_runtime_has_a_runner_and_a_label(runtime):
    assert runtime_name(runtime.name) == runtime.label != runtime.name
    or_skip(runtime)
    assert make_engine(runtime.name).name == runtime.name


@pytest.mark.parametrize("facts", TARGETS.values(), ids=TARGETS)
def test_what_is_said_of_a_target_goes_together(facts):
    parity = pytest.importorskip("pocketgan.export.parity")
    assert facts.runtime in RUNTIMES
    assert {facts.default_precision, *facts.calibrated} <= set(facts.precisions)
    assert bool(facts.ladder) == ("mixed" in facts.precisions)
    assert facts.delegate is None or facts.runtime == "executorch"
    assert set(facts.precisions) <= parity.FLOORS_DB.keys()
    # Of a misspelt one nothing would be checked, and nothing said.
    assert facts.checked_by is None or facts.checked_by in parity._RUNTIMES


@pytest.mark.parametrize("facts", TARGETS.values(), ids=TARGETS)
def test_packages_and_extras_are_called_what_they_are_called(facts):
    extras = metadata.metadata("pocketgan").get_all("Provides-Extra") or []
    assert {facts.extra, RUNTIMES[facts.runtime].extra} <= {None, *extras}
    or_skip(facts)
    assert versions(facts.packages).keys() == set(facts.packages)


def test_a_package_that_is_not_installed_has_no_version():
    assert versions(["no-such-package", "pydantic"]) == {"pydantic": metadata.version("pydantic")}


def test_versions_are_told_without_the_build(monkeypatch):
    monkeypatch.setattr(metadata, "version", {"torch": "2.13.0+cu130"}.__getitem__)
    assert versions(["torch"]) == {"torch": "2.13.0"}


def test_a_recipes_schema_names_what_there_is():
    sections = Recipe.model_json_schema()["$defs"]
    export, compress = sections["ExportStage"]["properties"], sections["CompressStage"]["properties"]
    assert export["targets"]["items"]["enum"] == list(TARGETS)
    assert export["precisions"]["anyOf"][0]["items"]["enum"] == list(PRECISIONS)
    assert compress["target"]["anyOf"][0]["enum"] == list(TIMED) == ["onnx", "executorch-xnnpack"]


def test_weights_alone_need_no_calibration():
    assert set(CALIBRATED) == {"int8", "w8a8", "mixed"}
    assert TARGETS["coreml"].calibrated == ("w8a8",)


def test_programs_for_a_phone_do_not_run_on_a_host_that_has_their_runtime():
    assert runs_on_host("executorch-xnnpack", "executorch")
    assert runs_on_host("executorch-portable", "executorch")
    assert runs_on_host("somebodys", "onnxruntime")
    for name in ("executorch-coreml", "executorch-vulkan", "executorch-qualcomm", "executorch-SomebodysBackend"):
        assert not runs_on_host(name, "executorch")
    assert place_of("executorch-vulkan") == "an Android phone"
    assert place_of("onnx") is place_of("somebodys") is None


def test_unknown_targets_and_precisions_name_what_there_is():
    with pytest.raises(ExportError, match="'tflite'; there are onnx, executorch-xnnpack, coreml"):
        find_facts("tflite")
    with pytest.raises(ExportError, match="'int4'; it has fp32, fp16, int8, mixed"):
        find_facts("onnx", "int4")
    with pytest.raises(ExportError, match=r"none of the targets has precision '4bit': onnx has .*; coreai has"):
        pairs(["onnx", "coreai"], ["4bit"])
    with pytest.raises(ExportError, match="target coreai has no precision 'int8'"):
        pairs(["onnx", "coreai"], ["int8"])


def test_each_target_gets_the_precisions_that_it_has():
    assert pairs([" onnx", "coreml"], ["6bit ", "fp16", "fp32"]) == [
        ("onnx", "fp16"), ("onnx", "fp32"), ("coreml", "6bit"), ("coreml", "fp16"), ("coreml", "fp32"),
    ]  # fmt: skip
    assert pairs(["onnx", "coreml"], None) == [("onnx", None), ("coreml", None)]
