"""How each metric of two results is judged, by the tolerance that it has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pocketgan.bench.camera import delay_interval, shown_interval
from pocketgan.bench.energy import known_energy
from pocketgan.bench.runs import joined, paired, turn_times
from pocketgan.bench.schema.result import Result
from pocketgan.bench.statistics import Interval, interval_ratio, paired_ratio, percentile, rounds_needed, unpaired_ratio
from pocketgan.bench.verdict import Judged, Verdict
from pocketgan.bundle.manifest import Entry

TIMES = ("p50", "p90", "first", "load")
# From a camera, instead of p50 (whose tolerance `shown` has where it has none of its own) and p90.
CAMERA_TIMES = ("shown", "delay")
METRICS = (*TIMES, *CAMERA_TIMES, "energy", "memory", "size", "parity")

# Milliseconds by turn (see runs.turn_times).
Turns = Mapping[tuple[str, int], Sequence[float]]


def judged_metrics(
    runs: tuple[Sequence[Result], Sequence[Result]],
    entries: tuple[Entry, Entry],
    tolerances: Mapping[str, float],
    confidence: float,
) -> tuple[Judged, ...]:
    """Every metric of the runs of a base and of a candidate.

    Args:
        confidence: of the intervals.
    """
    results = joined(runs[0]), joined(runs[1])
    turns, took_turns = (turn_times(runs[0]), turn_times(runs[1])), paired(*runs)
    loads = _numbered(results[0].cold_load_ns), _numbered(results[1].cold_load_ns)
    firsts = _numbered(results[0].first_inference_ns), _numbered(results[1].first_inference_ns)
    sides: dict[str, tuple[Turns, Turns]] = {"p50": turns, "p90": turns, "first": firsts, "load": loads}
    of_camera = _of_camera(results, tolerances, confidence)
    return (
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
    )


def decide(ratio: Interval, rounds: int, bound: float) -> tuple[Verdict, int | None]:
    """The verdict on a ratio of that many rounds, and how many in all would decide where it is NOISY."""
    if ratio.low > bound:
        return Verdict.REGRESSION, None
    if ratio.high < bound:
        return Verdict.PASS, None
    return Verdict.NOISY, rounds_needed(ratio, rounds, bound)


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


def _size(entry: Entry, result: Result) -> float:
    """Bytes of the component that was measured, or of them all."""
    parts = [one for one in entry.components if result.job.component in (None, one.name)]
    return float(sum(file.bytes for one in parts for file in one.files))


def _peak(result: Result) -> float | None:
    return None if result.memory is None else float(result.memory.peak_bytes)


def _parity(base: Result, candidate: Result, tolerance: float | None) -> Judged:
    """dB; equal outputs are infinitely near."""
    if base.parity is None or candidate.parity is None:
        return _unmeasured("parity", None, None, tolerance)
    before, after = (math.inf if one.psnr_db is None else one.psnr_db for one in (base.parity, candidate.parity))
    verdict = None
    if tolerance is not None:
        verdict = Verdict.REGRESSION if after < before - tolerance else Verdict.PASS
    return Judged("parity", before, after, ratio=None, tolerance=tolerance, verdict=verdict)


def _numbered(times_ns: Sequence[int]) -> Turns:
    """Loads and first inferences, which were repeated in fresh processes: each a turn of one."""
    return {("", number): [time / 1e6] for number, time in enumerate(times_ns)}
