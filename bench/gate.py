"""Whether a candidate is worse than its base. Pure functions on results; tolerances come from a file.

A verdict is only given where the interval of the ratio allows it: REGRESSION where it lies above 1 + tolerance, PASS
where it lies below, NOISY where it does neither. The interval has a confidence of 99 %, however often the gate looked
(`looks`), so that an unchanged candidate is called a regression in one comparison of 200 at most, and far less often
where the tolerance is wider than the noise. A budget in milliseconds is judged likewise: TOO SLOW where the interval of
a frame's time lies above it.
"""

from __future__ import annotations

import math
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from pocketgan.bench.budget import frame_interval, share_within
from pocketgan.bench.camera import delay_interval, refresh_words, shown_interval
from pocketgan.bench.energy import known_energy
from pocketgan.bench.inputs import input_size, input_types
from pocketgan.bench.journal import BundleRecord, Results
from pocketgan.bench.looks import confidence_of_each
from pocketgan.bench.runs import joined, measurements, turn_times
from pocketgan.bench.schema.result import Result
from pocketgan.bench.statistics import (
    NS_PER_MS,
    Interval,
    frame_times,
    interval_ratio,
    paired_ratio,
    percentile,
    rounds_needed,
    unpaired_ratio,
)
from pocketgan.bundle.manifest import Entry
from pocketgan.errors import ResultsError

CONFIDENCE = 0.99
# Of the error that a verdict may have, what the interval of a budget is given: beyond 95 % it misses up to twice as
# often as it says where drifts last for a tenth of the session (tests/bench/test_truth.py).
_BUDGET_ERROR = 0.3
# What is judged where nobody says otherwise: by how much a metric may grow, as a share; parity may fall, in dB.
TOLERANCES = {"p50": 0.03}
TIMES = ("p50", "p90", "first", "load")
# From a camera, instead of p50 (whose tolerance `shown` has where it has none of its own) and p90.
CAMERA_TIMES = ("shown", "delay")
METRICS = (*TIMES, *CAMERA_TIMES, "energy", "memory", "size", "parity")

# Milliseconds by turn (see runs.turn_times).
Turns = Mapping[tuple[str, int], Sequence[float]]


class Verdict(StrEnum):
    """What the gate says; where several are joined, the first of this order counts."""

    REGRESSION = "REGRESSION"
    TOO_SLOW = "TOO SLOW"
    INCOMPARABLE = "INCOMPARABLE"
    NOISY = "NOISY"
    PASS = "PASS"


@dataclass(frozen=True)
class Judged:
    """One metric of a pair.

    Attributes:
        base, candidate: milliseconds, joules, bytes or dB; None where it was not measured.
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
class Held:
    """Whether frames hold a budget.

    Attributes:
        limit_ms: the budget.
        frame: what a frame takes, in milliseconds; see `budget.frame_interval`.
        share_within: of the frames, the fraction that took at most `limit_ms`.
        frames: how many frames in all would decide, where the verdict is NOISY.
    """

    limit_ms: float
    frame: Interval
    share_within: float
    verdict: Verdict
    frames: int | None = None


@dataclass(frozen=True)
class Pair:
    """An entry of both sides.

    Attributes:
        bundle, entry: the candidate's.
        differences: circumstances that differ, as "threads: 1 and 4".
        input: sizes of what the candidate takes, as "3x256x256".
        took_turns: whether what the machine did meanwhile cancels; never between two sessions.
        decide_with: the command that measures both in turns until the gate decides, or for longer where runs are so
            many seconds; None where they were measured in turns now.
        by_seconds: whether runs are so many seconds.
        budget: whether the candidate holds it; None where none was given.
        base_share_within: of the base's frames, the fraction within the budget.
    """

    bundle: str
    entry: str
    differences: tuple[str, ...]
    metrics: tuple[Judged, ...]
    input: str = ""
    took_turns: bool = True
    by_seconds: bool = False
    decide_with: str | None = None
    budget: Held | None = None
    base_share_within: float | None = None

    @property
    def verdict(self) -> Verdict:
        compared = [one.verdict for one in self.metrics if one.verdict is not None]
        if self.differences:
            compared = [Verdict.INCOMPARABLE]
        return worst(compared if self.budget is None else [*compared, self.budget.verdict])


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


def compare(
    base: Results,
    candidate: Results,
    tolerances: Mapping[str, float] | None = None,
    budget_ms: float | None = None,
) -> list[Pair]:
    """Judge every entry that both sides have: matched by bundle name and entry id, or each other where a side holds
    one. Of several results of one entry the latest counts.

    Args:
        tolerances: by metric; `TOLERANCES` where None. budget_ms: what a frame of the candidate may take.
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
    pairs = []
    for one, other in keys:
        runs = sides[0][one], sides[1][other]
        records = base.bundles[runs[0][0].job.bundle], candidate.bundles[runs[1][0].job.bundle]
        judged = judge(
            (runs[0], records[0]),
            (runs[1], records[1]),
            TOLERANCES if tolerances is None else tolerances,
            budget_ms=budget_ms,
        )
        pairs.append(replace(judged, decide_with=_command(runs[0][0], runs[1][0])))
    return pairs


def _command(base: Result, candidate: Result) -> str:
    """What measures the two in turns, or for twice as long. Bundles of one name are told apart by their side alone."""
    names = [f"{one.bundle_name}.pgb" for one in (base, candidate)]
    if names[0] == names[1]:
        names = ["BASE.pgb", "CANDIDATE.pgb"]
    entry = f" --entry {candidate.job.entry}" if base.job.entry == candidate.job.entry else ""
    job, device = candidate.job, candidate.device
    how = f" --threads {job.threads}" if job.threads != 1 else ""
    how += f" --device {shlex.quote(device.name)}" if device.kind != "local" else ""
    how += f" --via {job.via}" if job.via != "process" else ""
    how += f" --provider {job.provider}" if job.provider != "default" else ""
    how += f" --clock {job.clock}" if job.clock != "free" else ""
    if job.duration_s is None:
        return f"pocketgan compare {shlex.join(names)}{entry}{how}"
    how += f" --mode {job.mode} --seconds {2 * job.duration_s:g}{' --energy' if job.energy else ''}"
    return f"pocketgan bench {shlex.join(names)}{entry}{how}"


def judge(
    base: tuple[Sequence[Result], BundleRecord],
    candidate: tuple[Sequence[Result], BundleRecord],
    tolerances: Mapping[str, float],
    *,
    budget_ms: float | None = None,
    looks: int = 1,
) -> Pair:
    """Judge two measurements (the runs of each), with what is known of their bundles.

    Args:
        budget_ms: what a frame of the candidate may take.
        looks: how often the two are judged at most, with more frames each time; see `looks.looks`.
    """
    confidence = confidence_of_each(CONFIDENCE, looks)
    runs = base[0], candidate[0]
    results = joined(runs[0]), joined(runs[1])
    entries = base[1].manifest.entry(results[0].job.entry), candidate[1].manifest.entry(results[1].job.entry)
    turns, took_turns = (turn_times(runs[0]), turn_times(runs[1])), paired(*runs)
    loads = _numbered(results[0].cold_load_ns), _numbered(results[1].cold_load_ns)
    firsts = _numbered(results[0].first_inference_ns), _numbered(results[1].first_inference_ns)
    sides: dict[str, tuple[Turns, Turns]] = {"p50": turns, "p90": turns, "first": firsts, "load": loads}
    of_camera = _of_camera(results, tolerances, confidence)
    metrics = [
        *of_camera,
        *(
            _time(metric, *sides[metric], took_turns, tolerances.get(metric), confidence, rounds=len(turns[1]))
            for metric in TIMES
            if not of_camera or metric in ("first", "load")
        ),
        *_energy(results, tolerances, confidence),
        _amount("memory", _peak(results[0]), _peak(results[1]), tolerances.get("memory")),
        _amount("size", _size(entries[0], results[0]), _size(entries[1], results[1]), tolerances.get("size")),
        _parity(*results, tolerances.get("parity")),
    ]
    differences = tuple(_differences(results, entries))
    job = results[1].job
    entry = job.entry if job.component is None else f"{job.entry} {job.component}"
    return Pair(
        results[1].bundle_name,
        entry,
        differences,
        tuple(metrics),
        input=input_size(entries[1], job.component),
        took_turns=took_turns,
        by_seconds=job.duration_s is not None,
        budget=None if budget_ms is None else hold(results[1], budget_ms, confidence),
        base_share_within=None if budget_ms is None else _share_within(results[0], budget_ms),
    )


def hold(result: Result, limit_ms: float, confidence: float = CONFIDENCE) -> Held:
    """Whether the frames of a result, its runs joined, hold a budget of so many milliseconds.

    One component of several makes no whole frame, an emulator's times are no performance numbers, and a pinned clock's
    are not those of an app: INCOMPARABLE.
    """
    frame = frame_interval(result, 1 - _BUDGET_ERROR * (1 - confidence))
    share = _share_within(result, limit_ms)
    if result.job.component is not None or result.device.simulated or result.job.clock == "pinned":
        return Held(limit_ms, frame, share, Verdict.INCOMPARABLE)
    if frame.low > limit_ms:
        return Held(limit_ms, frame, share, Verdict.TOO_SLOW)
    if frame.high <= limit_ms:
        return Held(limit_ms, frame, share, Verdict.PASS)
    scaled = Interval(frame.estimate / limit_ms, frame.low / limit_ms, frame.high / limit_ms, frame.confidence)
    return Held(limit_ms, frame, share, Verdict.NOISY, rounds_needed(scaled, len(result.frames), 1.0))


def _share_within(result: Result, limit_ms: float) -> float:
    return share_within([time / NS_PER_MS for time in frame_times(result.frames)], limit_ms)


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
    """Circumstances that differ, as "threads: 1 and 4"; what one of them alone has is told by its mode."""
    return [f"{what}: {told[what]} and {other[what]}" for what in told if what in other and told[what] != other[what]]


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
        "via": result.job.via,
        "provider": result.job.provider if result.placement is None else result.placement.requested,
        "clock": _clock(result),
        "threads": result.job.threads,
        "compute units": result.job.compute_units,
        "precision": entry.precision,
        "input": input_types(entry, result.job.component),
        "thermal state": before("thermal_state"),
        "charger": before("charging"),
        # What only later versions and some devices tell; what is not told is taken for the usual.
        "power-save": "on" if any(state.power_save for state in result.conditions) else "off",
        "screen": "off" if any(state.screen_on is False for state in result.conditions) else "on",
        "sustained-performance mode": "on"
        if any(state.sustained_performance for state in result.conditions)
        else "off",
        "performance hints": "on" if any(state.performance_hint for state in result.conditions) else "off",
        **(_of_screen(result) if result.job.mode == "camera" else {}),
        "cool-down": None
        if result.cool_down is None
        else {True: "cool", False: "hot", None: "unknown"}[result.cool_down.cool],
    }


def _of_screen(result: Result) -> dict[str, object]:
    """What a rate of frames on a screen depends on as well."""
    fastest = max((state.refresh_hz for state in result.conditions if state.refresh_hz is not None), default=None)
    estimated = any(frame.display_estimated is not False for frame in result.frames if frame.display_ns is not None)
    return {
        "refresh rate": "unknown" if fastest is None else refresh_words([fastest]),
        "display times": "estimated" if estimated else "told by the system",
    }


def _clock(result: Result) -> str:
    """The regime, and the frequency that it was held at."""
    clock = result.clock
    if result.job.clock == "free":
        return "free"
    held = "unknown" if clock is None or clock.before_mhz is None else f"{clock.before_mhz:.0f} MHz"
    return f"pinned at {held}"


def paired(base: Sequence[Result], candidate: Sequence[Result]) -> bool:
    """Whether the two took turns, so that what the machine did meanwhile cancels."""
    return turn_times(base).keys() == turn_times(candidate).keys()


def _numbered(times_ns: Sequence[int]) -> Turns:
    """Loads and first inferences, which were repeated in fresh processes: each a turn of one."""
    return {("", number): [time / 1e6] for number, time in enumerate(times_ns)}


def _time(
    metric: str,
    base: Turns,
    candidate: Turns,
    took_turns: bool,
    tolerance: float | None,
    confidence: float,
    *,
    rounds: int,
) -> Judged:
    """Args: confidence: of the interval. rounds: that were measured, of which loads have one in several."""
    percent = 90 if metric == "p90" else 50
    if not base or not candidate:
        return _unmeasured(metric, None, None, tolerance)
    series = [[time for turn in side.values() for time in turn] for side in (base, candidate)]
    shared = [name for name in base if name in candidate]
    if took_turns:
        ratio = paired_ratio([base[name] for name in shared], [candidate[name] for name in shared], confidence, percent)
    else:
        ratio = unpaired_ratio(series[0], series[1], confidence, percent)
    verdict, needed = (None, None) if tolerance is None else decide(ratio, len(shared), 1 + tolerance)
    if needed is not None:
        # Rounds of what did not take turns would decide nothing.
        needed = math.ceil(needed * rounds / len(shared)) if took_turns else None
    before, after = (percentile(one, percent) for one in series)
    return Judged(metric, before, after, ratio=ratio, tolerance=tolerance, verdict=verdict, rounds=needed)


def _of_camera(results: tuple[Result, Result], tolerances: Mapping[str, float], confidence: float) -> list[Judged]:
    """CAMERA_TIMES of two runs from a camera; of others those that somebody wants judged, which were not measured."""
    from_camera = all(result.job.mode == "camera" for result in results)
    allowed = {"shown": tolerances.get("p50"), **tolerances} if from_camera else tolerances
    found = []
    for metric, interval in zip(CAMERA_TIMES, (shown_interval, delay_interval), strict=True):
        if from_camera:
            sides = interval(results[0], confidence), interval(results[1], confidence)
            found.append(_alone(metric, *sides, allowed.get(metric)))
        elif metric in tolerances:
            found.append(_unmeasured(metric, None, None, tolerances[metric]))
    return found


def _energy(results: tuple[Result, Result], tolerances: Mapping[str, float], confidence: float) -> list[Judged]:
    """Energy per frame, where it was asked for or somebody wants it judged."""
    if "energy" not in tolerances and not all(result.job.energy for result in results):
        return []
    one, other = (known_energy(result, confidence) for result in results)
    sides = None if one is None else one.per_frame_j, None if other is None else other.per_frame_j
    return [_alone("energy", *sides, tolerances.get("energy"))]


def _alone(metric: str, base: Interval | None, candidate: Interval | None, tolerance: float | None) -> Judged:
    """Of two runs that cannot take turns: the screen, the camera and the battery are there once."""
    before, after = (None if side is None else side.estimate for side in (base, candidate))
    if base is None or candidate is None or min(base.estimate, candidate.estimate) <= 0:
        return _unmeasured(metric, before, after, tolerance)
    ratio = interval_ratio(base, candidate)
    verdict = None if tolerance is None else decide(ratio, 1, 1 + tolerance)[0]
    return Judged(metric, before, after, ratio=ratio, tolerance=tolerance, verdict=verdict)


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
