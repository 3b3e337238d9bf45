"""The pytest plugin in a project of its own, outside of this repository."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("pytest_benchmark")

from pocketgan.bench.journal import read_results
from pocketgan.bench.statistics import frame_times, percentile

SUITE = """
def test_speed(bundle_benchmark):
    bundle_benchmark("candidate.pgb", iterations=20, rounds=4, runs=2)

def test_is_not_slower(bundle_benchmark):
    bundle_benchmark("candidate.pgb", against="main.pgb", rounds=8)
"""
Suite = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def suite(make_bundle: Callable[..., Path], tmp_path: Path, environment: dict[str, str]) -> Suite:
    """Runs the sample project's tests with a candidate of that many layers; main has three."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "test_latency.py").write_text(SUITE)
    shutil.copy(make_bundle("main", size=64, layers=3), project / "main.pgb")

    def run(layers: int, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        shutil.copy(make_bundle("candidate", size=64, layers=layers, **options), project / "candidate.pgb")
        # The user's own configuration, not this repository's.
        command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", ".", *arguments]
        # Nor its workers: pytest-benchmark measures nothing in one of pytest-xdist's.
        own = {name: value for name, value in environment.items() if not name.startswith("PYTEST_")}
        return subprocess.run(command, cwd=project, env=own, capture_output=True, text=True, check=False)

    return run


def test_a_users_ci_fails_on_a_slow_down_and_passes_without(suite: Suite, tmp_path: Path) -> None:
    """The gate with a generous allowance, because tests share their machine."""
    fine = suite(3, "--benchmark-json", "base.json", "--bundle-results", "results.jsonl")
    assert fine.returncode == 0, fine.stdout
    saved = json.loads((tmp_path / "project" / "base.json").read_text())
    speed = next(one for one in saved["benchmarks"] if one["name"] == "test_speed")
    first = read_results([tmp_path / "project" / "results.jsonl"]).results[:2]
    times = [time for result in first for time in frame_times(result.frames)]
    assert speed["stats"]["rounds"] == 20 == len(times)
    assert speed["stats"]["median"] == pytest.approx(percentile(times, 50) / 1e9)
    assert speed["extra_info"]["fps"] == pytest.approx(1e9 / percentile(times, 50), rel=1e-3)

    slow = suite(12, "--benchmark-storage", "s", "-k", "slower")
    assert slow.returncode == 1, slow.stdout
    assert "REGRESSION: candidate onnx-fp32: +" in slow.stdout
    assert "Traceback" not in slow.stdout


def test_benchmark_compare_of_pytest_benchmark_works_too(suite: Suite) -> None:
    saved = suite(3, "-k", "speed", "--benchmark-save", "base")
    assert saved.returncode == 0, saved.stdout
    slower = suite(12, "-k", "speed", "--benchmark-compare", "--benchmark-compare-fail", "median:60%")
    assert slower.returncode != 0, slower.stdout
    assert "median" in slower.stdout + slower.stderr


def test_mistakes_are_one_line_of_the_failed_test(suite: Suite) -> None:
    wrong = suite(3, "-k", "speed", wrong_by=0.2)
    assert wrong.returncode == 1
    assert "candidate onnx-fp32: wrong output: 20.0 dB" in wrong.stdout
    none = suite(3, "-k", "speed", runtime="coreml", target="coreml")
    assert "can run none of the entries of" in none.stdout
    off = suite(3, "-k", "speed", "--benchmark-disable", "-rs")
    assert off.returncode == 0
    assert "compared with the golden output, not timed" in off.stdout
