"""Whether a candidate is worse than its base. Pure functions on results; tolerances come from a file.

A verdict is only given where the interval of the ratio allows it: REGRESSION where it lies above 1 + tolerance, PASS
where it lies below, NOISY where it does neither. The interval has a confidence of 99 %, so that an unchanged candidate
is called a regression in one comparison of 200 at most, and far less often where the tolerance is wider than the noise.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pocketgan.bench.journal import BundleRecord, Results
from pocketgan.bench.runs import joined, measurements, turn_times
from pocketgan.bench.schema.result import Result
from pocketgan.bench.statistics import (
    Interval,
    paired_ratio,
    percentile,
    rounds_needed,
    unpaired_ratio,
)
from pocketgan.bundle.manifest import Entry
from pocketgan.errors import ResultsError

CONFIDENCE = 0.99
# What is judged where nobody says otherwise: by how much a metric may grow, as a share; parity may fall, in dB.
TOLERANCES = {"p50": 0.03}
TIMES = ("p50", "p90", "first", "load")
METRICS = (*TIMES, "memory", "size", "parity")

# Milliseconds by turn (see runs.turn_times).
Turns = Mapping[tuple[str, int], Sequence[float]]


class Verdict(StrEnum):
    """What the gate says; where several are joined, the first of this order counts."""

    REGRESSION = "REGRESSION"
    INCOMPARABLE = "INCOMPARABLE"
    NOISY = "NOISY"
    PASS = "PASS"


@dataclass(frozen=True)
class Judged:
    """One metric of a pair.

    Attributes:
        base, candidate: milliseconds, bytes or dB; None where it was not measured.
        ratio: candidate / base; without an interval (all three equal) where it is no matter of chance.
        tolerance: None where the metric is shown alone.
        rounds: how many rounds in all would decide, where the verdict is NOISY.
    """

    metric: str
    base: float | None
    candidate: float | None
    ratio: Interval | None
    tolerance: float | None
    verdict: Verdict | None
    rounds: int | None = None


@dataclass(frozen=True)
class Pair:
    """An entry of both sides. `differences` are circumstances that differ, as "threads: 1 and 4"."""

    bundle: str
    entry: str
    differences: tuple[str, ...]
    metrics: tuple[Judged, ...]

    @property
    def verdict(self) -> Verdict:
        if self.differences:
            return Verdict.INCOMPARABLE
        return worst([one.verdict for one in self.metrics if one.verdict is not None])


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The joined verdict; INCOMPARABLE where there is none to join."""
    return min(verdicts, key=list(Verdict).index, default=Verdict.INCOMPARABLE)


def read_tolerances(path: Path) -> dict[str, float]:
    """Tolerances by metric of a TOML file: `p50 = 0.03`, `memory = 0.05`, `parity = 1.0` (dB).

    Raises:
        ResultsError: the file cannot be read, or names a metric that there is not, or a tolerance that is none.
    """
    try:
        tolerances = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ResultsError(f"{path}: cannot read tolerances: {error}") from error
    for metric, tolerance in tolerances.items():
        if metric not in METRICS:
            raise ResultsError(f"{path}: there is no metric {metric!r}; there are {', '.join(METRICS)}")
        if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
            raise ResultsError(f"{path}: {metric} needs a number of 0 or more, such as 0.03, not {tolerance!r}")
    return {metric: float(tolerance) for metric, tolerance in tolerances.items()}


def compare(base: Results, candidate: Results, tolerances: Mapping[str, float] | None = None) -> list[Pair]:
    """Judge every entry that both sides have: matched by bundle name and entry id, or each other where a side holds
    one. Of several results of one entry the latest counts.

    Raises:
        ResultsError: a side holds no timed result, or nothing of it is on the other side.
    """
    sides = _latest(base, "base"), _latest(candidate, "candidate")
    keys = [(key, key) for key in sides[0] if key in sides[1]]
    if len(sides[0]) == len(sides[1]) == 1:
        keys = [(next(iter(sides[0])), next(iter(sides[1])))]
    if not keys:
        names = [", ".join(sorted(" ".join(key).strip() for key in side)) for side in sides]
        raise ResultsError(f"base and candidate share no entry: base has {names[0]}, candidate {names[1]}")
    return [
        judge(
            (sides[0][one], base.bundles[sides[0][one][0].job.bundle]),
            (sides[1][other], candidate.bundles[sides[1][other][0].job.bundle]),
            TOLERANCES if tolerances is None else tolerances,
        )
        for one, other in keys
    ]


def judge(
    base: tuple[Sequence[Result], BundleRecord],
    candidate: tuple[Sequence[Result], BundleRecord],
    tolerances: Mapping[str, float],
) -> Pair:
    """Judge two measurements (the runs of each), with what is known of their bundles."""
    runs = base[0], candidate[0]
    results = joined(runs[0]), joined(runs[1])
    entries = base[1].manifest.entry(results[0].job.entry), candidate[1].manifest.entry(results[1].job.entry)
    turns = turn_times(runs[0]), turn_times(runs[1])
    loads = _numbered(results[0].cold_load_ns), _numbered(results[1].cold_load_ns)
    firsts = _numbered(results[0].first_inference_ns), _numbered(results[1].first_inference_ns)
    sides: dict[str, tuple[Turns, Turns]] = {"p50": turns, "p90": turns, "first": firsts, "load": loads}
    metrics = [
        *(_time(metric, *sides[metric], paired(*runs), tolerances.get(metric)) for metric in TIMES),
        _amount("memory", _peak(results[0]), _peak(results[1]), tolerances.get("memory")),
        _amount("size", _size(entries[0], results[0]), _size(entries[1], results[1]), tolerances.get("size")),
        _parity(*results, tolerances.get("parity")),
    ]
    differences = tuple(_differences(results, entries))
    job = results[1].job
    entry = job.entry if job.component is None else f"{job.entry} {job.component}"
    return Pair(results[1].bundle_name, entry, differences, tuple(metrics))


def decide(ratio: Interval, rounds: int, bound: float) -> tuple[Verdict, int | None]:
    """The verdict on a ratio of that many rounds, and how many in all would decide where it is NOISY."""
    if ratio.low > bound:
        return Verdict.REGRESSION, None
    if ratio.high < bound:
        return Verdict.PASS, None
    return Verdict.NOISY, rounds_needed(ratio, rounds, bound)


def _latest(side: Results, name: str) -> dict[tuple[str, str, str], list[Result]]:
    """By bundle, entry and component ("" where it has one alone): what an edit runs 60 times is judged on its own."""
    latest = {}
    for runs in measurements(side.results):
        if timed := [run for run in runs if run.frames]:
            job = timed[0].job
            latest[timed[0].bundle_name, job.entry, job.component or ""] = timed
    if not latest:
        raise ResultsError(f"the {name} holds no timed result")
    return latest


def differing(told: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """Circumstances that differ, as "threads: 1 and 4"."""
    return [f"{what}: {told[what]} and {other[what]}" for what in told if told[what] != other[what]]


def _differences(results: tuple[Result, Result], entries: tuple[Entry, Entry]) -> list[str]:
    """Circumstances without which times cannot be compared."""
    settings = [circumstances(result, entry) for result, entry in zip(results, entries, strict=True)]
    differences = differing(*settings)
    if any(result.device.simulated for result in results):
        differences.append("simulated: an emulator's times are no performance numbers")
    return differences


def circumstances(result: Result, entry: Entry) -> dict[str, object]:
    """What must be the same for two times to be compared, by name."""

    def before(name: str) -> object:
        """What the run began with; what it came to is a result."""
        return next((value for one in result.conditions if (value := getattr(one, name)) is not None), "unknown")

    return {
        "device": result.device.model,
        "processor": result.device.cpu,
        "system": f"{result.device.os} {result.device.os_build}",
        "runtime": f"{result.runtime} {result.runtime_version}",
        "build": result.app_build,
        "mode": result.job.mode,
        "threads": result.job.threads,
        "compute units": result.job.compute_units,
        "precision": entry.precision,
        "thermal state": before("thermal_state"),
        "charger": before("charging"),
        "cool-down": None
        if result.cool_down is None
        else {True: "cool", False: "hot", None: "unknown"}[result.cool_down.cool],
    }


def paired(base: Sequence[Result], candidate: Sequence[Result]) -> bool:
    """Whether the two took turns, so that what the machine did meanwhile cancels."""
    return turn_times(base).keys() == turn_times(candidate).keys()


def _numbered(times_ns: Sequence[int]) -> Turns:
    """Loads and first inferences, which were repeated in fresh processes: each a turn of one."""
    return {("", number): [time / 1e6] for number, time in enumerate(times_ns)}


def _time(metric: str, base: Turns, candidate: Turns, took_turns: bool, tolerance: float | None) -> Judged:
    percent = 90 if metric == "p90" else 50
    if not base or not candidate:
        return _unmeasured(metric, None, None, tolerance)
    series = [[time for turn in side.values() for time in turn] for side in (base, candidate)]
    shared = [name for name in base if name in candidate]
    if took_turns:
        ratio = paired_ratio([base[name] for name in shared], [candidate[name] for name in shared], CONFIDENCE, percent)
    else:
        ratio = unpaired_ratio(series[0], series[1], CONFIDENCE, percent)
    verdict, rounds = (None, None) if tolerance is None else decide(ratio, len(shared), 1 + tolerance)
    before, after = (percentile(one, percent) for one in series)
    return Judged(metric, before, after, ratio=ratio, tolerance=tolerance, verdict=verdict, rounds=rounds)


def _unmeasured(metric: str, base: float | None, candidate: float | None, tolerance: float | None) -> Judged:
    """Something to be judged that was not measured, on one side or both, decides nothing."""
    verdict = None if tolerance is None else Verdict.INCOMPARABLE
    return Judged(metric, base, candidate, ratio=None, tolerance=tolerance, verdict=verdict)


def _size(entry: Entry, result: Result) -> float:
    """Bytes of the component that was measured, or of them all."""
    parts = [one for one in entry.components if result.job.component in (None, one.name)]
    return float(sum(file.bytes for one in parts for file in one.files))


def _peak(result: Result) -> float | None:
    return None if result.memory is None else float(result.memory.peak_bytes)


def _amount(metric: str, base: float | None, candidate: float | None, tolerance: float | None) -> Judged:
    """Bytes, which are what they are."""
    if base is None or candidate is None or base <= 0:
        return _unmeasured(metric, base, candidate, tolerance)
    ratio = candidate / base
    verdict = None
    if tolerance is not None:
        verdict = Verdict.REGRESSION if ratio > 1 + tolerance else Verdict.PASS
    exact = Interval(ratio, ratio, ratio, 1.0)
    return Judged(metric, base, candidate, ratio=exact, tolerance=tolerance, verdict=verdict)


def _parity(base: Result, candidate: Result, tolerance: float | None) -> Judged:
    """dB; equal outputs are infinitely near."""
    if base.parity is None or candidate.parity is None:
        return _unmeasured("parity", None, None, tolerance)
    before, after = (math.inf if one.psnr_db is None else one.psnr_db for one in (base.parity, candidate.parity))
    verdict = None
    if tolerance is not None:
        verdict = Verdict.REGRESSION if after < before - tolerance else Verdict.PASS
    return Judged("parity", before, after, ratio=None, tolerance=tolerance, verdict=verdict)
