"""A pytest plugin: `bundle_benchmark` measures bundles within a test suite, on top of pytest-benchmark.

    def test_student(bundle_benchmark):
        bundle_benchmark("student.pgb", entry="onnx-fp32")

    def test_is_not_slower_than_main(bundle_benchmark):
        bundle_benchmark("student.pgb", against="main.pgb", max_slowdown=0.03)

    def test_holds_30_fps(bundle_benchmark):
        bundle_benchmark("student.pgb", min_fps=30)

Frames are timed as `pocketgan bench` times them, by the runtime in a process of its own, and handed to pytest-benchmark
sample by sample, so that its table, its marks (`@pytest.mark.benchmark(group=...)`) and its options, such as
`--benchmark-save` and `--benchmark-compare-fail`, work as for any function. `--bundle-results FILE` keeps what was
measured for `pocketgan compare` and `pocketgan report`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pocketgan.bench.jobs import JobOptions
    from pocketgan.bench.schema.result import Result
    from pocketgan.bench.schema.words import ClockRegime, Provider
    from pocketgan.bench.verdict import Held, Pair

FIXTURE = "bundle_benchmark"
# pytest-benchmark's name of its plugin, its fixture and its mark.
BENCHMARK = "benchmark"


class SampleClock:
    """A timer that goes on by one sample whenever `advance` is called; pytest-benchmark reads it around each call.

    Until samples are loaded it is the `usual` timer, for a test that times a function of its own with `benchmark`.
    """

    def __init__(self, usual: Callable[[], float] = time.perf_counter) -> None:
        self._usual = usual
        self._now_s: float | None = None
        self._samples: Iterator[float] = iter(())

    def __call__(self) -> float:
        """Seconds."""
        return self._usual() if self._now_s is None else self._now_s

    def load(self, samples_s: Sequence[float]) -> None:
        """Take the samples that are handed out from now on."""
        self._now_s = 0.0
        self._samples = iter(samples_s)

    def advance(self) -> None:
        """One sample later."""
        self._now_s = (self._now_s or 0.0) + next(self._samples, 0.0)


@dataclass
class BundleBenchmark:
    """The fixture; call it once in a test."""

    benchmark: Any
    clock: SampleClock
    results: Path
    called: bool = False

    def __call__(
        self,
        bundle: str | Path,
        entry: str | None = None,
        *,
        concept: str | None = None,
        against: str | Path | None = None,
        max_slowdown: float = 0.03,
        most_rounds: int = 160,
        device: str = "local",
        iterations: int = 60,
        rounds: int = 12,
        runs: int = 3,
        threads: int = 1,
        provider: Provider = "default",
        clock: ClockRegime = "free",
        min_fps: float | None = None,
        max_ms: float | None = None,
        wait_s: float = 0,
    ) -> Result | Pair:
        """Measure one entry of a bundle.

        Args:
            entry: its id; may be left out where the device runs just one.
            concept: of a pack; its default where None.
            against: a bundle to measure in turns with it: the test fails where the candidate is slower by more than
                `max_slowdown` (a share), and is skipped where `most_rounds` turns do not decide.
            iterations, rounds, runs, threads, provider, clock: see `pocketgan bench`.
            min_fps, max_ms: a budget: the test fails where frames do not hold it, and is skipped where nothing is
                decided; the stricter of the two counts.
            wait_s: how long to wait for a device that another process measures on.
        Returns:
            The Result, or what the gate says.
        """
        from pocketgan.bench.budget import limit_ms
        from pocketgan.bench.jobs import JobOptions
        from pocketgan.errors import PocketganError

        if self.called:
            pytest.fail("bundle_benchmark measures once in a test; write a test for each bundle", pytrace=False)
        self.called = True
        options = JobOptions(
            iterations=iterations,
            rounds=rounds,
            runs=runs,
            threads=threads,
            entry=entry,
            concepts=() if concept is None else (concept,),
            provider=provider,
            clock=clock,
        )
        try:
            if self.benchmark.disabled:
                self.benchmark.pedantic(_check, args=(Path(bundle), device, entry, concept))
                pytest.skip("pytest-benchmark is switched off: compared with the golden output, not timed")
            budget_ms = limit_ms(min_fps, max_ms)
            if against is None:
                return self._measure(Path(bundle), device, options, budget_ms=budget_ms, wait_s=wait_s)
            return self._compare(
                Path(bundle),
                Path(against),
                device,
                options,
                max_slowdown=max_slowdown,
                most_rounds=most_rounds,
                budget_ms=budget_ms,
                wait_s=wait_s,
            )
        except PocketganError as error:
            pytest.fail(str(error), pytrace=False)

    def _measure(
        self, bundle: Path, device: str, options: JobOptions, *, budget_ms: float | None, wait_s: float
    ) -> Result:
        from pocketgan.bench.budget import hold
        from pocketgan.bench.devices import find_device
        from pocketgan.bench.naming import job_name
        from pocketgan.bench.session import measure

        results = measure([bundle], find_device(device), options, self.results, wait_s=wait_s)
        _must_be_one([job_name(result.job) for result in results])
        result = results[0]
        self._hand_over(result)
        if budget_ms is not None:
            _judge_budget(f"{result.bundle_name} {job_name(result.job)}", hold(result, budget_ms))
        return result

    def _compare(
        self,
        bundle: Path,
        against: Path,
        device: str,
        options: JobOptions,
        *,
        max_slowdown: float,
        most_rounds: int,
        budget_ms: float | None,
        wait_s: float,
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
            budget_ms=budget_ms,
            wait_s=wait_s,
        )
        _must_be_one([one.pair.name for one in comparisons])
        self._hand_over(joined(comparisons[0].candidate))
        _judge(comparisons[0].pair)
        return comparisons[0].pair

    def _hand_over(self, result: Result) -> None:
        """Let pytest-benchmark see the frames."""
        from pocketgan.bench.naming import job_name
        from pocketgan.bench.statistics import frame_times, frames_per_second

        if not result.frames:
            pytest.fail(f"{result.bundle_name} {job_name(result.job)}: {'; '.join(result.errors)}", pytrace=False)
        samples = [time / 1e9 for time in frame_times(result.frames)]
        self.clock.load(samples)
        self.benchmark.pedantic(self.clock.advance, rounds=len(samples), iterations=1)
        recorded = self.benchmark.stats.stats.data
        if not all(map(math.isclose, recorded, samples)):
            pytest.fail(
                "benchmark had a timer of its own before bundle_benchmark could give it the frames: "
                "take bundle_benchmark as an argument of the test",
                pytrace=False,
            )
        self.benchmark.extra_info.update(
            bundle=result.bundle_name,
            digest=result.job.bundle,
            entry=result.job.entry,
            concept=result.job.concept,
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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """See pytest: a test of the fixture is one of pytest-benchmark's, which --benchmark-only and --benchmark-skip tell
    by the fixtures that it names."""
    for item in items:
        names: list[str] = getattr(item, "fixturenames", [])
        if FIXTURE in names and BENCHMARK not in names and config.pluginmanager.hasplugin(BENCHMARK):
            names.append(BENCHMARK)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """See pytest: the clock must be there before pytest-benchmark's fixture is made, and after every mark."""
    if FIXTURE in getattr(item, "fixturenames", ()) and item.config.pluginmanager.hasplugin(BENCHMARK):
        _clock(item)


@pytest.fixture
def bundle_benchmark(request: pytest.FixtureRequest, tmp_path: Path) -> BundleBenchmark:
    """Measures a bundle (see the module)."""
    if not request.config.pluginmanager.hasplugin(BENCHMARK):
        pytest.fail("bundle_benchmark needs pytest-benchmark: pip install 'pocketgan[pytest]'", pytrace=False)
    clock = _clock(request.node)
    results = request.config.getoption("--bundle-results") or tmp_path / "results.jsonl"
    return BundleBenchmark(request.getfixturevalue(BENCHMARK), clock, results)


def _clock(item: pytest.Item) -> SampleClock:
    """The timer of a test, in a mark that is nearer than the user's, because pytest-benchmark heeds the nearest alone,
    and says all that the user's says."""
    nearest = item.get_closest_marker(BENCHMARK)
    options = {} if nearest is None else dict(nearest.kwargs)
    if isinstance(options.get("timer"), SampleClock):
        return options["timer"]
    clock = SampleClock(options["timer"]) if "timer" in options else SampleClock()
    arguments = () if nearest is None else nearest.args
    item.add_marker(getattr(pytest.mark, BENCHMARK)(*arguments, **{**options, "timer": clock}), append=False)
    return clock


def _must_be_one(entries: Sequence[str]) -> None:
    if len(entries) > 1:
        pytest.fail(f"several entries run here, name one with entry=: {', '.join(entries)}", pytrace=False)


def _judge(pair: Pair) -> None:
    from pocketgan.bench.report.verdicts import COLUMNS, remarks, rows
    from pocketgan.bench.verdict import Verdict

    row = dict(zip(COLUMNS, rows(pair)[0], strict=True))
    change = f"{row['change']} ({row['99 % interval']}), {row['allowed']} allowed"
    message = "; ".join([f"{pair.verdict}: {pair.bundle} {pair.name}: {change}", *remarks(pair)])
    if pair.verdict is Verdict.REGRESSION:
        pytest.fail(message, pytrace=False)
    if pair.budget is not None and pair.budget.verdict is not Verdict.PASS:
        _judge_budget(f"{pair.bundle} {pair.name}", pair.budget)
    if pair.verdict is not Verdict.PASS:
        pytest.skip(message)


def _judge_budget(what: str, held: Held) -> None:
    from pocketgan.bench.report.verdicts import budget_line
    from pocketgan.bench.verdict import Verdict

    message = f"{what}: {budget_line(held)}"
    if held.verdict is Verdict.TOO_SLOW:
        pytest.fail(message, pytrace=False)
    if held.verdict is not Verdict.PASS:
        pytest.skip(message)


def _check(bundle: Path, device: str, entry: str | None, concept: str | None) -> None:
    from pocketgan.bench.check import verify_bundle
    from pocketgan.bench.devices import find_device
    from pocketgan.bench.jobs import EVERY_CONCEPT

    concepts = (EVERY_CONCEPT,) if concept is None else (concept,)
    problems = verify_bundle(bundle, find_device(device), entry, concepts)
    if problems:
        pytest.fail("; ".join(problems), pytrace=False)
