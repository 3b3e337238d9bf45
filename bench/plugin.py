"""A pytest plugin: `bundle_benchmark` measures bundles within a test suite, on top of pytest-benchmark.

    def test_student(bundle_benchmark):
        bundle_benchmark("student.pgb", entry="onnx-fp32")

    def test_is_not_slower_than_main(bundle_benchmark):
        bundle_benchmark("student.pgb", against="main.pgb", max_slowdown=0.03)

Frames are timed as `pocketgan bench` times them, by the runtime in a process of its own, and handed to pytest-benchmark
sample by sample, so that its table, `--benchmark-save` and `--benchmark-compare-fail` work as for any function.
`--bundle-results FILE` keeps what was measured for `pocketgan compare` and `pocketgan report`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pocketgan.bench.gate import Pair
    from pocketgan.bench.jobs import JobOptions
    from pocketgan.bench.schema.result import Result

FIXTURE = "bundle_benchmark"


class SampleClock:
    """A timer that goes on by one sample whenever `advance` is called; pytest-benchmark reads it around each call."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._samples: Iterator[float] = iter(())

    def __call__(self) -> float:
        """Seconds."""
        return self._now_s

    def load(self, samples_s: Sequence[float]) -> None:
        """Take the samples that are handed out from now on."""
        self._samples = iter(samples_s)

    def advance(self) -> None:
        """One sample later."""
        self._now_s += next(self._samples, 0.0)


@dataclass
class BundleBenchmark:
    """The fixture; call it once in a test."""

    benchmark: Any
    clock: SampleClock
    results: Path

    def __call__(
        self,
        bundle: str | Path,
        entry: str | None = None,
        *,
        against: str | Path | None = None,
        max_slowdown: float = 0.03,
        most_rounds: int = 160,
        device: str = "local",
        iterations: int = 60,
        rounds: int = 12,
        runs: int = 3,
        threads: int = 1,
    ) -> Result | Pair:
        """Measure one entry of a bundle.

        Args:
            entry: its id; may be left out where the device runs just one.
            against: a bundle to measure in turns with it: the test fails where the candidate is slower by more than
                `max_slowdown` (a share), and is skipped where `most_rounds` turns do not decide.
            iterations, rounds, runs, threads: see `pocketgan bench`.
        Returns:
            The Result, or what the gate says.
        """
        from pocketgan.bench.jobs import JobOptions
        from pocketgan.errors import PocketganError

        if self.benchmark.disabled:
            self.benchmark.pedantic(lambda: _check(Path(bundle), device, entry))
            pytest.skip("pytest-benchmark is switched off: compared with the golden output, not timed")
        options = JobOptions(iterations=iterations, rounds=rounds, runs=runs, threads=threads, entry=entry)
        try:
            if against is None:
                return self._measure(Path(bundle), device, options)
            return self._compare(
                Path(bundle), Path(against), device, options, max_slowdown=max_slowdown, most_rounds=most_rounds
            )
        except PocketganError as error:
            pytest.fail(str(error), pytrace=False)

    def _measure(self, bundle: Path, device: str, options: JobOptions) -> Result:
        from pocketgan.bench.devices import find_device
        from pocketgan.bench.session import measure

        results = measure([bundle], find_device(device), options, self.results)
        _must_be_one([result.job.entry for result in results])
        self._hand_over(results[0])
        return results[0]

    def _compare(
        self, bundle: Path, against: Path, device: str, options: JobOptions, *, max_slowdown: float, most_rounds: int
    ) -> Pair:
        from pocketgan.bench.compare import compare_bundles
        from pocketgan.bench.devices import find_device
        from pocketgan.bench.runs import joined

        comparisons = compare_bundles(
            against,
            bundle,
            find_device(device),
            options,
            tolerances={"p50": max_slowdown},
            most_rounds=most_rounds,
            journal_path=self.results,
        )
        _must_be_one([one.pair.entry for one in comparisons])
        self._hand_over(joined(comparisons[0].candidate))
        _judge(comparisons[0].pair)
        return comparisons[0].pair

    def _hand_over(self, result: Result) -> None:
        """Let pytest-benchmark see the frames."""
        from pocketgan.bench.statistics import frame_times, frames_per_second

        if not result.frames:
            pytest.fail(f"{result.bundle_name} {result.job.entry}: {'; '.join(result.errors)}", pytrace=False)
        samples = [time / 1e9 for time in frame_times(result.frames)]
        self.clock.load(samples)
        self.benchmark.pedantic(self.clock.advance, rounds=len(samples), iterations=1)
        self.benchmark.extra_info.update(
            bundle=result.bundle_name,
            digest=result.job.bundle,
            entry=result.job.entry,
            fps=round(frames_per_second(result.frames), 3),
            session=result.session,
            device=result.device.name,
        )


def pytest_addoption(parser: pytest.Parser) -> None:
    """See pytest."""
    parser.getgroup("pocketgan").addoption(
        "--bundle-results",
        type=Path,
        metavar="FILE",
        help="append what bundle_benchmark measures to this results file (.jsonl)",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """See pytest: gives every test of the fixture a clock of its own, by pytest-benchmark's marker."""
    for item in items:
        if FIXTURE in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.benchmark(timer=SampleClock()))


@pytest.fixture
def bundle_benchmark(request: pytest.FixtureRequest, tmp_path: Path) -> BundleBenchmark:
    """Measures a bundle (see the module)."""
    if not request.config.pluginmanager.hasplugin("benchmark"):
        pytest.fail("bundle_benchmark needs pytest-benchmark: pip install 'pocketgan[pytest]'", pytrace=False)
    marker = next(mark for mark in request.node.iter_markers("benchmark") if "timer" in mark.kwargs)
    results = request.config.getoption("--bundle-results") or tmp_path / "results.jsonl"
    return BundleBenchmark(request.getfixturevalue("benchmark"), marker.kwargs["timer"], results)


def _must_be_one(entries: Sequence[str]) -> None:
    if len(entries) > 1:
        pytest.fail(f"several entries run here, name one with entry=: {', '.join(entries)}", pytrace=False)


def _judge(pair: Pair) -> None:
    from pocketgan.bench.gate import Verdict
    from pocketgan.bench.report.verdicts import COLUMNS, remarks, rows

    row = dict(zip(COLUMNS, rows(pair)[0], strict=True))
    change = f"{row['change']} ({row['99 % interval']}), {row['allowed']} allowed"
    message = "; ".join([f"{pair.verdict}: {pair.bundle} {pair.entry}: {change}", *remarks(pair)])
    if pair.verdict is Verdict.REGRESSION:
        pytest.fail(message, pytrace=False)
    if pair.verdict is not Verdict.PASS:
        pytest.skip(message)


def _check(bundle: Path, device: str, entry: str | None) -> None:
    from pocketgan.bench.check import verify_bundle
    from pocketgan.bench.devices import find_device

    problems = verify_bundle(bundle, find_device(device), entry)
    if problems:
        pytest.fail("; ".join(problems), pytrace=False)
