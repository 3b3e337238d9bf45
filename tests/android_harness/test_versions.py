"""The runtimes that the Android harness is built with read what this project's exporter writes.

Of ONNX Runtime the sessions of `core/test_sessions.py` show it: they run the exporter's files on the pinned version.
"""

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
