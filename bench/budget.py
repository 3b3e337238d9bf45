"""Whether frames hold a budget, such as 33.3 ms for 30 FPS: its limit, how sure a frame's time is, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pocketgan.bench.changes import slowest_stretch
from pocketgan.bench.schema.result import Result
from pocketgan.bench.statistics import (
    NS_PER_MS,
    Interval,
    frame_times,
    mean_interval,
    percentile_interval,
    rounds_needed,
)
from pocketgan.bench.verdict import CONFIDENCE, Held, Verdict
from pocketgan.errors import ResultsError

# 30 FPS: the budget whose share of frames is shown where nobody asks for another.
USUAL_MS = 1000 / 30
# Of the error that a verdict may have, what the interval of a budget is given: beyond 95 % it misses up to twice as
# often as it says where drifts last for a tenth of the session (tests/bench/test_truth.py).
_BUDGET_ERROR = 0.3
# Fewer edits that were composed of frames have no range.
_FEWEST_EDITS = 8


def limit_ms(min_fps: float | None = None, max_ms: float | None = None) -> float | None:
    """The longest that a frame may take, in milliseconds; the stricter where both are given, None where neither is.

    Raises:
        ResultsError: a budget that is not positive.
    """
    for name, value in (("--min-fps", min_fps), ("--max-ms", max_ms)):
        if value is not None and not 0 < value < math.inf:
            raise ResultsError(f"{name} is a positive number, not {value:g}")
    limits = [1000 / min_fps] if min_fps is not None else []
    return min([*limits, *([max_ms] if max_ms is not None else [])], default=None)


def frame_interval(result: Result, confidence: float) -> Interval:
    """A frame's time in milliseconds, with its interval: what 1000 / FPS is.

    The median of frames that come one by one; the mean of frames that overlap or come from a camera; in a sustained
    run the median of its slowest level, because a budget that holds until the device is warm does not hold. Edits that
    were composed of few frames are all alike, so that their interval is their whole range.

    Args:
        result: with frames, its runs joined.
    """
    times_ns: Sequence[float] = frame_times(result.frames)
    if result.job.mode == "sustained" and len(times_ns) > 1:
        times_ns = slowest_stretch([frame.start_ns for frame in result.frames], times_ns)
    times = [time / NS_PER_MS for time in times_ns]
    if result.composed:
        open_ended = len(times) < _FEWEST_EDITS
        middle = percentile_interval(times, 50, confidence).estimate
        low, high = (-math.inf, math.inf) if open_ended else (min(times), max(times))
        return Interval(middle, low, high, confidence)
    if result.job.mode in ("throughput", "camera"):
        return mean_interval(times, confidence)
    return percentile_interval(times, 50, confidence)


def share_within(times: Sequence[float], limit: float) -> float:
    """Fraction of the times that are at most `limit`, in the same unit.

    Raises:
        ValueError: no times.
    """
    if not len(times):
        raise ValueError("a share of no frames")
    return sum(time <= limit for time in times) / len(times)


def share_of_result(result: Result, limit_ms: float) -> float:
    """Fraction of its frames that took at most that."""
    return share_within([time / NS_PER_MS for time in frame_times(result.frames)], limit_ms)


def hold(result: Result, limit_ms: float, confidence: float = CONFIDENCE) -> Held:
    """Whether the frames of a result, its runs joined, hold a budget of so many milliseconds.

    One component of several makes no whole frame, an emulator's times are no performance numbers, and a pinned clock's
    are not those of an app: INCOMPARABLE.
    """
    frame = frame_interval(result, 1 - _BUDGET_ERROR * (1 - confidence))
    share = share_of_result(result, limit_ms)
    if result.job.component is not None or result.device.simulated or result.job.clock == "pinned":
        return Held(limit_ms, frame, share, Verdict.INCOMPARABLE)
    if frame.low > limit_ms:
        return Held(limit_ms, frame, share, Verdict.TOO_SLOW)
    if frame.high <= limit_ms:
        return Held(limit_ms, frame, share, Verdict.PASS)
    scaled = Interval(frame.estimate / limit_ms, frame.low / limit_ms, frame.high / limit_ms, frame.confidence)
    return Held(limit_ms, frame, share, Verdict.NOISY, rounds_needed(scaled, len(result.frames), 1.0))
