"""The harness builds here, and its own tests pass."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import kotlin_harness


def test_the_kotlin_core_compiles_and_passes_its_tests() -> None:
    reports = sorted(kotlin_harness.ROOT.glob("*/target/surefire-reports/TEST-*.xml"))
    assert reports, "Maven ran no tests"
    for report in reports:
        counts = ET.parse(report).getroot().attrib
        assert (int(counts["tests"]) > 0, counts["failures"], counts["errors"]) == (True, "0", "0")
