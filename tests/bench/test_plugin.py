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
    bundle_benchmark("candidate.pgb", against="main.pgb", rounds=8, max_slowdown=0.5)
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


MARKED = """
import time
import pytest

pytestmark = pytest.mark.benchmark(group="module")

@pytest.mark.benchmark(group="phone", max_time=5)
def test_marked(bundle_benchmark):
    bundle_benchmark("candidate.pgb", iterations=6, rounds=2, runs=1)

@pytest.mark.parametrize("count", [6])
def test_of_module(bundle_benchmark, count):
    bundle_benchmark("candidate.pgb", iterations=count, rounds=2, runs=1)

def test_of_its_own(benchmark, bundle_benchmark):
    benchmark.pedantic(time.sleep, args=(0.02,), rounds=2)

@pytest.fixture
def late(request):
    return request.getfixturevalue("benchmark"), request.getfixturevalue("bundle_benchmark")

def test_late(late):
    late[1]("candidate.pgb", iterations=6, rounds=2, runs=1)

def test_twice(bundle_benchmark):
    bundle_benchmark("candidate.pgb", iterations=6, rounds=2, runs=1)
    bundle_benchmark("candidate.pgb", iterations=6, rounds=2, runs=1)

def test_plain():
    pass
"""


@pytest.fixture
def marked(suite: Suite, tmp_path: Path) -> Suite:
    """As `suite`, with the user's own marks and other tests beside it."""
    (tmp_path / "project" / "test_latency.py").write_text(MARKED)
    return suite


def test_marks_of_pytest_benchmark_keep_their_group_and_the_true_times(marked: Suite, tmp_path: Path) -> None:
    done = marked(1, "--benchmark-json", "saved.json", "--bundle-results", "r.jsonl", "--benchmark-group-by", "group")
    saved = {one["name"]: one for one in json.loads((tmp_path / "project" / "saved.json").read_text())["benchmarks"]}
    measured = [
        percentile(frame_times(result.frames), 50) / 1e9
        for result in read_results([tmp_path / "project" / "r.jsonl"]).results
    ]
    for name, group, median in zip(("test_marked", "test_of_module[6]"), ("phone", "module"), measured, strict=False):
        assert saved[name]["group"] == group
        assert saved[name]["stats"]["median"] == pytest.approx(median)
    # A function of the test's own is timed by the usual clock.
    assert 0.02 <= saved["test_of_its_own"]["stats"]["min"] < 0.2
    assert "benchmark 'phone': 1 tests" in done.stdout
    assert "take bundle_benchmark as an argument of the test" in done.stdout
    assert "bundle_benchmark measures once in a test" in done.stdout
    assert "2 failed, 4 passed" in done.stdout


@pytest.mark.parametrize(
    ("options", "outcome"),
    [
        (("--benchmark-only", "-k", "marked or plain"), "1 passed, 1 skipped"),
        (("--benchmark-skip", "-k", "marked or plain"), "1 passed, 1 skipped"),
        (("--benchmark-disable", "-k", "marked or plain"), "1 passed, 1 skipped"),
        (("-n", "1", "-k", "marked or plain"), "1 passed, 1 skipped"),
    ],
)
def test_options_of_pytest_benchmark_count(marked: Suite, options: tuple[str, ...], outcome: str) -> None:
    done = marked(1, *options, "-rA")
    assert outcome in done.stdout, done.stdout
    timed = options[0] == "--benchmark-only"
    assert ("PASSED test_latency.py::test_marked" in done.stdout) == timed
    assert ("PASSED test_latency.py::test_plain" in done.stdout) == (not timed)


def test_a_missing_bundle_is_one_line_without_timing_too(suite: Suite, tmp_path: Path) -> None:
    (tmp_path / "project" / "test_latency.py").write_text(
        "def test_speed(bundle_benchmark):\n    bundle_benchmark('gone.pgb')\n"
    )
    done = suite(1, "--benchmark-disable")
    assert done.returncode == 1
    assert "gone.pgb: there is no such file" in done.stdout
    assert "Traceback" not in done.stdout
    assert "plugin.py" not in done.stdout


def test_a_budget_is_judged(suite: Suite, tmp_path: Path) -> None:
    # So many frames that a machine which stumbles through some of them decides nothing else.
    (tmp_path / "project" / "test_latency.py").write_text(
        "def test_within(bundle_benchmark):\n    bundle_benchmark('candidate.pgb', max_ms=60_000, iterations=240)\n"
        "def test_above(bundle_benchmark):\n    bundle_benchmark('candidate.pgb', min_fps=1e9, iterations=240)\n"
    )
    done = suite(1)
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "candidate onnx-fp32: TOO SLOW: a frame takes" in done.stdout


def test_mistakes_are_one_line_of_the_failed_test(suite: Suite) -> None:
    wrong = suite(3, "-k", "speed", wrong_by=0.2)
    assert wrong.returncode == 1
    assert "candidate onnx-fp32: wrong output: 20.0 dB" in wrong.stdout
    none = suite(3, "-k", "speed", runtime="coreml", target="coreml")
    assert "can run none of the entries of" in none.stdout
    off = suite(3, "-k", "speed", "--benchmark-disable", "-rs")
    assert off.returncode == 0
    assert "compared with the golden output, not timed" in off.stdout
