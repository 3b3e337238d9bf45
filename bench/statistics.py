"""Statistics of timed frames. Pure functions on numbers: nothing here knows of devices, files or printing.

Times go in as nanoseconds (as a Result carries them) or as any positive numbers of one unit, and come out as the
docstrings say. Consecutive frames are not independent (clocks ramp, caches warm, neighbours come and go), so no
interval takes frames as independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Protocol

import numpy as np

NS_PER_MS = 1e6
NS_PER_S = 1e9
# Chosen so that `percentile_interval` holds its confidence on simulated sessions (tests/bench/test_truth.py): how many
# correlation times a frequency needs, between how many frequencies, the shape of their spectrum, and how much wider a
# short series makes the interval.
_TIMES_A_FREQUENCY, _LEAST_FREQUENCIES, _MOST_FREQUENCIES = 6, 2, 12
_ROLL_OFF, _SHORTNESS = 3.0, 2.5
# Up to so many rounds the distribution of signed ranks is counted out, beyond it is as good as normal.
_EXACT_ROUNDS = 60
# Fewer say nothing.
_LEAST_FRAMES = 8


class TimedFrame(Protocol):
    """What `Frame` of a Result offers: the three parts of one frame in nanoseconds, its end where they overlap, and
    when it was on the screen where it came from a camera."""

    @property
    def pre_ns(self) -> int: ...
    @property
    def inference_ns(self) -> int: ...
    @property
    def post_ns(self) -> int: ...
    @property
    def round(self) -> int: ...
    @property
    def end_ns(self) -> int | None: ...
    @property
    def display_ns(self) -> int | None: ...


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
    return Summary(
        count=len(ms),
        mean=float(ms.mean()),
        median=median,
        p90=p90,
        p99=p99,
        minimum=float(ms.min()),
        maximum=float(ms.max()),
    )


def round_times(frames: Sequence[TimedFrame]) -> dict[int, list[int]]:
    """Time of each frame in nanoseconds, by round: pre + inference + post. Of frames that overlap it is the time from
    the end of the one before, and where frames were shown on a screen from when the one before was shown, so that the
    first of a round has none; what was never shown counts nowhere then."""
    times_of_round: dict[int, list[int]] = {}
    ends: dict[int, int] = {}
    shown = any(frame.display_ns is not None for frame in frames)
    for frame in frames:
        end = frame.display_ns if shown else frame.end_ns
        if end is None and shown:
            continue
        times = times_of_round.setdefault(frame.round, [])
        if end is None:
            times.append(frame.pre_ns + frame.inference_ns + frame.post_ns)
            continue
        if frame.round in ends:
            times.append(end - ends[frame.round])
        ends[frame.round] = end
    return times_of_round


def frame_times(frames: Sequence[TimedFrame]) -> list[int]:
    """The times of `round_times`, one round after the other."""
    return [time for times in round_times(frames).values() for time in times]


def frames_per_second(frames: Sequence[TimedFrame]) -> float:
    """1 / median(pre + inference + post), in frames per second; of frames that overlap, how many came a second, and of
    frames from a camera, how many were shown a second.

    Raises:
        ValueError: no frames, or frames that took no time.
    """
    times = frame_times(frames)
    overlap = any(frame.end_ns is not None or frame.display_ns is not None for frame in frames)
    typical = sum(times) / len(times) if overlap and times else percentile(times, 50)
    if typical <= 0:
        raise ValueError("the frames took no time")
    return NS_PER_S / typical


def percentile_interval(values: Sequence[float], percent: float = 50, confidence: float = 0.95) -> Interval:
    """Interval of a percentile of the process that gave an autocorrelated series, in the unit of `values`.

    The share of frames below the percentile is a mean, whose long-run variance comes from the lowest cosine
    frequencies of the series "is this frame below?" (equal-weighted cosines: Lazarus, Lewis, Stock and Watson 2018),
    with Student's t at as many degrees of freedom as there are frequencies: the fewer, the longer frames depend on each
    other. The share's bounds are read off the sorted frames (Woodruff 1952), so that a heavy tail costs nothing. It
    holds its confidence where drifts last for up to a tenth of the series (`make bench` simulates it).

    Raises:
        ValueError: no values, a percent that does not lie between 0 and 100, or a confidence outside 0 to 1.
    """
    _check_confidence(confidence)
    estimate = percentile(values, percent)
    share, series = percent / 100, np.asarray(values, dtype=np.float64)
    if not 0 < share < 1:
        raise ValueError(f"the interval of a percentile needs one between 0 and 100, not {percent}")
    n = len(series)
    # Ties count half, so that the mean is the share whatever the resolution of the clock.
    below = (series < estimate) + 0.5 * (series == estimate)
    centred = below - below.mean()
    if n < _LEAST_FRAMES:
        return Interval(estimate, -math.inf, math.inf, confidence)
    if not centred.any():
        return Interval(estimate, estimate, estimate, confidence)
    half = _half_width_of_mean(centred, confidence)
    return Interval(estimate, _beyond(series, share, -half), _beyond(series, share, half), confidence)


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Interval of the mean of the process that gave an autocorrelated series, in the unit of `values`; the long-run
    variance is that of `percentile_interval`. Fewer than 8 values leave it open.

    Raises:
        ValueError: no values, or a confidence outside 0 to 1.
    """
    _check_confidence(confidence)
    if len(values) == 0:
        raise ValueError("a mean of nothing")
    series = np.asarray(values, dtype=np.float64)
    mean = float(series.mean())
    if len(series) < _LEAST_FRAMES:
        return Interval(mean, -math.inf, math.inf, confidence)
    half = _half_width_of_mean(series - mean, confidence) if np.ptp(series) > 0 else 0.0
    return Interval(mean, mean - half, mean + half, confidence)


def _half_width_of_mean(centred: np.ndarray, confidence: float) -> float:
    """Half of the interval of the mean of a series that depends on itself; see `percentile_interval`.

    Args:
        centred: (n,) deviations from the mean, not all of them zero.
    """
    n = len(centred)
    correlated = _correlation_time(centred)
    count = int(np.clip(n / (_TIMES_A_FREQUENCY * correlated), _LEAST_FREQUENCIES, _MOST_FREQUENCIES))
    frequencies = np.pi * np.arange(1, count + 1)
    waves = np.cos(frequencies[:, None] * (np.arange(n) + 0.5) / n)
    amplitudes = math.sqrt(2 / n) * waves @ centred
    # Towards higher frequencies a process with a memory has less power than at zero, which is what counts.
    lost = 1 + _ROLL_OFF * (frequencies * correlated / (2 * n)) ** 2
    spread = math.sqrt(float(np.mean(amplitudes**2 * lost)) / n) * (1 + _SHORTNESS * correlated / n)
    return student_t_quantile(0.5 + confidence / 2, count) * spread


def _correlation_time(centred: np.ndarray) -> float:
    """Integrated autocorrelation time 1 + 2 sum rho(k) in frames, 1 at least, summed up to the first lag w >= 5 times
    itself (Sokal's rule)."""
    n = len(centred)
    transform = np.fft.rfft(centred, 2 * n)
    covariance = np.fft.irfft(transform * transform.conj())[: max(2, n // 2)]
    times = 1 + 2 * np.cumsum(covariance[1:]) / covariance[0]
    enough = np.flatnonzero(np.arange(1, len(times) + 1) >= 5 * times)
    return max(1.0, float(times[enough[0] if len(enough) else -1]))


def _beyond(series: np.ndarray, share: float, step: float) -> float:
    """The value at share + step: of the sorted frames near by, further off along the line through there, for the ends
    of a heavy tail say nothing of the middle."""
    reach = min(share, 1 - share) / 2
    near = math.copysign(min(abs(step), reach), step)
    value, middle = (float(value) for value in np.quantile(series, [share + near, share]))
    return middle + (value - middle) * step / near if step else middle


def paired_ratio(
    base_rounds: Sequence[Sequence[float]],
    candidate_rounds: Sequence[Sequence[float]],
    confidence: float = 0.95,
    percent: float = 50,
) -> Interval:
    """candidate time / base time of two models that took turns, with its interval.

    Each round holds the frame times of one turn; both models' turns of a round lie side by side in time, so that a slow
    spell of the machine cancels. Each round gives one log ratio of medians (or of another percentile, if `percent` says
    so); the ratio is their Hodges-Lehmann estimate (the median of the means of all pairs of rounds), and Wilcoxon's
    signed ranks give the interval, so that a round that something else spoiled counts little. They take rounds as
    independent; but orders alternate, so that the last turn of a round and the first of the next are neighbours of one
    model, and drifts as short as a turn make rounds alike: with their correlation r > 0 the interval is sqrt(1 + 2 r)
    times as wide. Too few rounds for the confidence (fewer than 6 for 95 %, 8 for 99 %) leave it open: 0 to infinity.

    Args:
        base_rounds, candidate_rounds: the same number of rounds, one at least; frames may differ in number.
    Raises:
        ValueError: rounds that do not pair, none, an empty one, or times that are not positive.
    """
    _check_confidence(confidence)
    if len(base_rounds) != len(candidate_rounds):
        raise ValueError(f"{len(base_rounds)} rounds of base do not pair with {len(candidate_rounds)} of candidate")
    if not base_rounds:
        raise ValueError("a ratio of no rounds")
    pairs = [
        (percentile(base, percent), percentile(candidate, percent))
        for base, candidate in zip(base_rounds, candidate_rounds, strict=True)
    ]
    if min(min(pair) for pair in pairs) <= 0:
        raise ValueError("a round took no time")
    centre = round_interval([math.log(candidate / base) for base, candidate in pairs], confidence)
    return Interval(math.exp(centre.estimate), math.exp(centre.low), math.exp(centre.high), confidence)


def round_interval(logs: Sequence[float], confidence: float) -> Interval:
    """Interval of the log ratio that rounds in a row measured; see `paired_ratio`, `signed_rank_interval`."""
    centre = signed_rank_interval(logs, confidence)
    deviations = np.asarray(logs, dtype=np.float64) - np.median(logs)
    power = float(deviations @ deviations)
    # An estimate of r from n values is too low by some 1 / n.
    alike = float(deviations[1:] @ deviations[:-1]) / power + 1 / len(deviations) if power > 0 else 0.0
    wider = math.sqrt(1 + 2 * max(0.0, alike))
    return Interval(
        centre.estimate,
        centre.estimate - wider * (centre.estimate - centre.low),
        centre.estimate + wider * (centre.high - centre.estimate),
        confidence,
    )


def signed_rank_interval(values: Sequence[float], confidence: float) -> Interval:
    """Centre of symmetry of independent values: the median of the means of all pairs (Hodges and Lehmann), and the
    centres that Wilcoxon's signed rank test does not refuse. Too few values for the confidence leave it open.

    Raises:
        ValueError: no values, or a confidence outside 0 to 1.
    """
    _check_confidence(confidence)
    if len(values) == 0:
        raise ValueError("a centre of nothing")
    series = np.asarray(values, dtype=np.float64)
    first, second = np.triu_indices(len(series))
    means = np.sort((series[first] + series[second]) / 2)
    outside = _ranks_outside(len(series), confidence)
    low, high = (float(means[outside - 1]), float(means[-outside])) if outside else (-math.inf, math.inf)
    return Interval(float(np.median(means)), low, high, confidence)


def unpaired_ratio(
    base: Sequence[float], candidate: Sequence[float], confidence: float = 0.95, percent: float = 50
) -> Interval:
    """candidate time / base time of two series that were measured one after the other, with its interval.

    Each series has its own interval (`percentile_interval`), the ratio that of both (`interval_ratio`). What a machine
    did in one session and not in the other is not in it: prefer `paired_ratio`.

    Raises:
        ValueError: no values, or times that are not positive.
    """
    return interval_ratio(
        percentile_interval(base, percent, confidence), percentile_interval(candidate, percent, confidence)
    )


def interval_ratio(base: Interval, candidate: Interval) -> Interval:
    """candidate / base of two estimates that know nothing of each other: the logarithms of their widths add as
    independent errors do. Where one of them may be zero it is open: 0 to infinity.

    Raises:
        ValueError: an estimate that is not positive.
    """
    if min(base.estimate, candidate.estimate) <= 0:
        raise ValueError("a series took no time")
    ratio, confidence = candidate.estimate / base.estimate, min(base.confidence, candidate.confidence)
    if min(base.low, candidate.low) <= 0:
        return Interval(ratio, 0.0, math.inf, confidence)
    up = math.hypot(math.log(candidate.high / candidate.estimate), math.log(base.estimate / base.low))
    down = math.hypot(math.log(candidate.estimate / candidate.low), math.log(base.high / base.estimate))
    return Interval(ratio, ratio * math.exp(-down), ratio * math.exp(up), confidence)


def rounds_needed(ratio: Interval, rounds: int, bound: float) -> int:
    """How many rounds in all would tell with a probability of 95 % on which side of `bound` the ratio lies, if it is
    `ratio.estimate` and the rounds go on as they were.

    At least 4 more than there are and at most 4 times as many: what few rounds say of the noise is a guess, so that who
    asks again after them comes to the answer with the fewest.

    Args:
        ratio: of `rounds` rounds.
    """
    least, most = rounds + 4, max(rounds + 4, 4 * rounds)
    distance = abs(math.log(ratio.estimate / bound))
    if not ratio.low > 0 or distance == 0:
        return least if not ratio.low > 0 else most
    reached = NormalDist().inv_cdf(0.5 + ratio.confidence / 2)
    error = math.log(ratio.high / ratio.low) / 2 / reached
    needed = rounds * ((reached + NormalDist().inv_cdf(0.95)) * error / distance) ** 2
    return min(most, max(least, math.ceil(1.1 * needed)))


def half_width(interval: Interval) -> float:
    """Half of an interval as a share of its estimate: what stands behind ±."""
    return (interval.high - interval.low) / 2 / interval.estimate


def frames_needed(interval: Interval, frames: int, precision: float) -> int:
    """How many frames in all would bring an interval of that many down to ±`precision` (a share), if they go on as they
    were: a width falls with the square root of the frames. At least 8; at most 16 times as many as there are, because
    what few frames say of the noise is a guess.

    Raises:
        ValueError: a precision that is not positive.
    """
    if not precision > 0:
        raise ValueError(f"a precision is positive, not {precision}")
    least, most = max(frames, _LEAST_FRAMES), 16 * max(frames, _LEAST_FRAMES)
    reached = half_width(interval)
    if not math.isfinite(reached):
        return most if frames >= _LEAST_FRAMES else least
    return min(most, max(_LEAST_FRAMES, math.ceil(frames * (reached / precision) ** 2)))


@cache
def _ranks_outside(count: int, confidence: float) -> int:
    """How many of the sorted means of pairs lie outside of the interval on each side: the largest k with
    P(W < k) <= (1 - confidence) / 2 for Wilcoxon's signed rank statistic W of `count` differences."""
    tail = (1 - confidence) / 2
    if count > _EXACT_ROUNDS:
        middle, spread = count * (count + 1) / 4, math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
        return max(0, math.floor(middle + NormalDist().inv_cdf(tail) * spread))
    ways = np.zeros(count * (count + 1) // 2 + 1)
    ways[0] = 1
    for rank in range(1, count + 1):
        ways[rank:] += ways[:-rank].copy()
    return int(np.searchsorted(np.cumsum(ways) / 2.0**count, tail, side="right"))


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
