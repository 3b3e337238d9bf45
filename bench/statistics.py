"""Statistics of timed frames. Pure functions on numbers: nothing here knows of devices, files or printing.

Times go in as nanoseconds (as a Result carries them) or as any positive numbers of one unit, and come out as the
docstrings say. Consecutive frames are not independent (clocks ramp, caches warm, neighbours come and go), so intervals
come from blocks of frames or from whole rounds, never from single frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

NS_PER_MS = 1e6
NS_PER_S = 1e9


class TimedFrame(Protocol):
    """What `Frame` of a Result offers: the three parts of one frame in nanoseconds."""

    @property
    def pre_ns(self) -> int: ...
    @property
    def inference_ns(self) -> int: ...
    @property
    def post_ns(self) -> int: ...


@dataclass(frozen=True)
class Summary:
    """Count and order statistics of a series; every time in milliseconds."""

    count: int
    mean: float
    median: float
    p90: float
    p99: float
    minimum: float
    maximum: float


@dataclass(frozen=True)
class Interval:
    """A point estimate and the bounds that hold the true value with the stated confidence."""

    estimate: float
    low: float
    high: float
    confidence: float


def percentile(values: Sequence[float], percent: float) -> float:
    """The `percent` percentile (0 to 100) with linear interpolation between neighbours, in the unit of `values`.

    Raises:
        ValueError: no values, or a percent outside 0 to 100.
    """
    if len(values) == 0:
        raise ValueError("a percentile of nothing")
    if not 0 <= percent <= 100:
        raise ValueError(f"a percentile lies between 0 and 100, not at {percent}")
    return float(np.percentile(np.asarray(values, dtype=np.float64), percent))


def summarise(times_ns: Sequence[float]) -> Summary:
    """Order statistics of a series of nanoseconds, in milliseconds.

    Raises:
        ValueError: no values.
    """
    if len(times_ns) == 0:
        raise ValueError("a summary of nothing")
    ms = np.asarray(times_ns, dtype=np.float64) / NS_PER_MS
    median, p90, p99 = (float(value) for value in np.percentile(ms, [50, 90, 99]))
    return Summary(len(ms), float(ms.mean()), median, p90, p99, float(ms.min()), float(ms.max()))


def frame_times(frames: Sequence[TimedFrame]) -> list[int]:
    """Whole time of each frame, pre + inference + post, in nanoseconds."""
    return [frame.pre_ns + frame.inference_ns + frame.post_ns for frame in frames]


def frames_per_second(frames: Sequence[TimedFrame]) -> float:
    """1 / median(pre + inference + post), in frames per second.

    Raises:
        ValueError: no frames, or a median of zero.
    """
    median = percentile(frame_times(frames), 50)
    if median <= 0:
        raise ValueError("the median frame took no time")
    return NS_PER_S / median


def block_length(values: Sequence[float]) -> int:
    """How many neighbouring frames to draw together, so that their dependence survives the resampling.

    Twice the integrated autocorrelation time tau = 1 + 2 sum rho(k), summed up to the first window w >= 5 tau(w)
    (Sokal's rule); at least n^(1/3), and at most n / 4, which keeps four blocks.
    """
    series = np.asarray(values, dtype=np.float64)
    n = len(series)
    shortest = max(1, round(n ** (1 / 3)))
    longest = max(1, n // 4)
    centred = series - series.mean()
    variance = float(centred @ centred)
    if variance <= 0 or n < 8:
        return min(shortest, longest)
    tau = 1.0
    for lag in range(1, n // 2):
        tau += 2 * float(centred[:-lag] @ centred[lag:]) / variance
        if lag >= 5 * tau:
            break
    return int(min(longest, max(shortest, math.ceil(2 * tau))))


def median_interval(
    values: Sequence[float], confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Interval of the median of an autocorrelated series, in the unit of `values`.

    Circular block bootstrap (Politis and Romano, 1992): whole blocks of `block_length` neighbours are drawn with
    replacement, the series taken as a ring so that every frame is drawn equally often. Seeded: the same series gives
    the same interval.

    Raises:
        ValueError: no values, or a confidence outside 0 to 1.
    """
    _check_confidence(confidence)
    estimate = percentile(values, 50)
    series = np.asarray(values, dtype=np.float64)
    n, length = len(series), block_length(values)
    starts = np.random.default_rng(seed).integers(0, n, size=(resamples, -(-n // length)))
    indices = (starts[:, :, None] + np.arange(length)).reshape(resamples, -1)[:, :n] % n
    medians = np.median(series[indices], axis=1)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(medians, [tail, 100 - tail])
    return Interval(estimate, float(low), float(high), confidence)


def paired_ratio(
    base_rounds: Sequence[Sequence[float]], candidate_rounds: Sequence[Sequence[float]], confidence: float = 0.95
) -> Interval:
    """candidate time / base time of two models that took turns, with its interval.

    Each round holds the frame times of one turn; both models' turns of a round lie side by side in time, so that a slow
    spell of the machine cancels. Each round gives one log ratio of medians (batch means), and Student's t over the
    rounds gives the interval, which is valid however the frames within a turn depend on each other.

    Args:
        base_rounds, candidate_rounds: the same number of rounds, two at least; frames may differ in number.
    Raises:
        ValueError: rounds that do not pair, fewer than two, an empty one, or times that are not positive.
    """
    _check_confidence(confidence)
    if len(base_rounds) != len(candidate_rounds):
        raise ValueError(f"{len(base_rounds)} rounds of base do not pair with {len(candidate_rounds)} of candidate")
    rounds = len(base_rounds)
    if rounds < 2:
        raise ValueError("an interval of a paired ratio needs two rounds or more")
    pairs = [
        (percentile(base, 50), percentile(candidate, 50))
        for base, candidate in zip(base_rounds, candidate_rounds, strict=True)
    ]
    if min(min(pair) for pair in pairs) <= 0:
        raise ValueError("the median of a round is not positive")
    logs = np.array([math.log(candidate / base) for base, candidate in pairs])
    centre = float(logs.mean())
    half = student_t_quantile(0.5 + confidence / 2, rounds - 1) * float(logs.std(ddof=1)) / math.sqrt(rounds)
    return Interval(math.exp(centre), math.exp(centre - half), math.exp(centre + half), confidence)


def student_t_quantile(probability: float, degrees: int) -> float:
    """t with P(T <= t) = `probability` for Student's distribution with `degrees` of freedom, by bisection.

    Raises:
        ValueError: a probability outside (0, 1) or no degree of freedom.
    """
    if not 0 < probability < 1 or degrees < 1:
        raise ValueError(f"no quantile at probability {probability} with {degrees} degrees of freedom")
    if probability < 0.5:
        return -student_t_quantile(1 - probability, degrees)
    low, high = 0.0, 1.0
    while _student_t_cdf(high, degrees) < probability:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_t_cdf(middle, degrees) < probability else (low, middle)
    return (low + high) / 2


def _student_t_cdf(t: float, degrees: int) -> float:
    """P(T <= t) for t >= 0: the finite trigonometric sums of Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(degrees))
    cosine_squared = math.cos(angle) ** 2
    odd = degrees % 2 == 1
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for k in range(degrees // 2):
        total += term
        term *= cosine_squared * ((2 * k + 2) / (2 * k + 3) if odd else (2 * k + 1) / (2 * k + 2))
    central = (angle + math.sin(angle) * total) * 2 / math.pi if odd else math.sin(angle) * total
    return 0.5 + central / 2


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence lies between 0 and 1, not at {confidence}")
