"""The runtimes that the Android harness is built with read what this project's exporter writes."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import kotlin_harness

ENGINE = kotlin_harness.ROOT / "executorch/src/main/kotlin/pocketgan/executorch/ExecuTorchEngine.kt"


def _property(name: str) -> str:
    found = ET.parse(kotlin_harness.ROOT / "pom.xml").findtext(f".//{{http://maven.apache.org/POM/4.0.0}}{name}")
    assert found is not None
    return found


def _constant(name: str) -> str:
    found = re.search(rf'const val {name} = "([^"]+)"', ENGINE.read_text())
    assert found is not None
    return found[1]


def _pinned(package: str) -> tuple[int, int]:
    """Major and minor of the version that the exporter was tested with."""
    constraints = (kotlin_harness.ROOT.parent / "constraints.txt").read_text()
    found = re.search(rf"^{package}==(\d+)\.(\d+)", constraints, re.MULTILINE)
    assert found is not None
    return int(found[1]), int(found[2])


def _release(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def test_the_engine_says_the_version_that_it_is_built_with() -> None:
    """ExecuTorch's library cannot be asked."""
    assert _constant("EXECUTORCH_VERSION") == _property("executorch.version")


def test_executorch_of_the_app_reads_the_files_of_the_pinned_exporter() -> None:
    """Whoever pins a newer exporter runs its files on the app's release (`executorch` of PyPI has it), or takes a newer
    library into the app."""
    assert _pinned("executorch") <= _release(_constant("READS_FILES_OF"))


def test_onnx_runtime_of_the_app_is_one_that_the_host_accepts_for_the_exporters_opset() -> None:
    """What is read is opset 18 and IR 10; ONNX Runtime 1.18 was the first to read that IR (onnx 1.16)."""
    assert _release(_property("onnxruntime.version")) >= (1, 18)
