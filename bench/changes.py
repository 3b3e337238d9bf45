"""Where a series changes its level: throttling within a sustained run, regressions over many commits.

Pure functions on numbers, like `statistics`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# What a change must gain over noise: in units of ln(n), see `change_points`. Chosen by simulation so that a series
# without a change shows one in a hundred times at most (tests/bench/test_changes.py).
_PENALTY = 7.0
# A level needs this many values: a single slow one is an outlier.
_SHORTEST = 3
# From the median absolute deviation to the standard deviation of normal noise.
_MAD_TO_SIGMA = 1.4826
# Values further from their neighbours' median than so many deviations count as so far.
_OUTLIER = 3.0
# Windows that a sustained run is looked at through, and the least change of level that counts as throttling.
WINDOWS, LEAST_THROTTLING = 40, 0.05


@dataclass(frozen=True)
class Level:
    """A stretch of a series, from index `start` up to `end` (excluded), with its median."""

    start: int
    end: int
    value: float


@dataclass(frozen=True)
class Throttling:
    """How the frame times of a sustained run went.

    Attributes:
        times_s: middle of each window, from the first frame.
        medians_ms: median frame time of each window.
        levels: of the windows.
        slope_per_minute: Theil-Sen slope of the windows, as a share of the first level, per minute.
    """

    times_s: tuple[float, ...]
    medians_ms: tuple[float, ...]
    levels: tuple[Level, ...]
    slope_per_minute: float

    @property
    def best(self) -> Level:
        """The fastest level: what the device can keep up for a while. The first may still warm up."""
        return min(self.levels, key=lambda level: level.value)

    @property
    def slowdown(self) -> float:
        """Last level over the best, less 1."""
        return self.levels[-1].value / self.best.value - 1

    @property
    def throttled(self) -> bool:
        """Whether the run ended on a level that is slower than the best by 5 % or more."""
        return self.slowdown >= LEAST_THROTTLING


def change_points(values: Sequence[float], shortest: int = _SHORTEST) -> list[Level]:
    """Cut a series of positive values into levels.

    The cuts minimise the squared deviations of the logarithms from their levels' means, in units of the noise, plus a
    penalty for each cut that grows with ln(n) (optimal partitioning: Jackson et al. 2005; the penalty's form: Yao
    1988). The noise comes from the differences of neighbours, which a change of level hardly touches; single outliers
    are drawn in first (Hampel).

    Args:
        shortest: the fewest values of a level.
    Returns:
        Levels in order, which together cover the series: one where nothing changes.
    Raises:
        ValueError: no values, or one that is not positive.
    """
    if not len(values) or min(values) <= 0:
        raise ValueError("change points need positive values")
    series = np.asarray(values, dtype=np.float64)
    logs = _without_outliers(np.log(series))
    n = len(logs)
    noise = _noise(logs)
    cuts = [0, n] if n < 2 * shortest else _partition(logs / noise, _PENALTY * math.log(n), shortest)
    pairs = itertools.pairwise(cuts)
    return [Level(start, end, float(np.median(series[start:end]))) for start, end in pairs]


def throttling(starts_ns: Sequence[int], times_ns: Sequence[float]) -> Throttling:
    """What the frames of a sustained run say, in `WINDOWS` windows of equal length.

    Args:
        starts_ns: start of each frame, ascending. times_ns: how long each took.
    Raises:
        ValueError: fewer than two frames.
    """
    if len(starts_ns) < 2:
        raise ValueError("a sustained run of fewer than two frames")
    seconds = (np.asarray(starts_ns, dtype=np.float64) - starts_ns[0]) / 1e9
    ms = np.asarray(times_ns, dtype=np.float64) / 1e6
    # At least four frames in a window, where there are as many.
    count = max(1, min(WINDOWS, len(ms) // 4))
    place = np.minimum((seconds / (seconds[-1] * (1 + 1e-9)) * count).astype(int), count - 1)
    filled = [number for number in range(count) if (place == number).any()]
    middles = [float(seconds[place == number].mean()) for number in filled]
    medians = [float(np.median(ms[place == number])) for number in filled]
    levels = change_points(medians)
    slope = _theil_sen(middles, medians) * 60 / levels[0].value if len(filled) > 1 else 0.0
    return Throttling(tuple(middles), tuple(medians), tuple(levels), slope)


def slowest_stretch(starts_ns: Sequence[int], times_ns: Sequence[float]) -> list[float]:
    """The frame times of a sustained run on its slowest level: what a user gets whom the warm device serves.

    Args:
        starts_ns, times_ns: see `throttling`.
    """
    course = throttling(starts_ns, times_ns)
    slowest = max(course.levels, key=lambda level: level.value)
    first, last = course.times_s[slowest.start], course.times_s[slowest.end - 1]
    # Windows are known by their middles, so that half of the level's first and last is left out.
    within = [
        time for start, time in zip(starts_ns, times_ns, strict=True) if first <= (start - starts_ns[0]) / 1e9 <= last
    ]
    return within if len(course.levels) > 1 else list(times_ns)


def _without_outliers(logs: np.ndarray) -> np.ndarray:
    """Each value at most so far from the median of itself and two neighbours on each side."""
    if len(logs) < 5:
        return logs
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(logs, 2, mode="reflect"), 5)
    middle = np.median(windows, axis=1)
    reach = _OUTLIER * _noise(logs)
    return np.clip(logs, middle - reach, middle + reach)


def _noise(logs: np.ndarray) -> float:
    """Standard deviation of the values around their level: that of neighbours' differences, over the square root of 2,
    or of the values two apart where neighbours move together."""
    deviations = []
    for lag in (1, 2):
        differences = np.abs(logs[lag:] - logs[:-lag])
        if len(differences):
            deviations.append(_MAD_TO_SIGMA * float(np.median(differences)) / math.sqrt(2))
    return max([*deviations, 1e-6])


def _partition(values: np.ndarray, penalty: float, shortest: int) -> list[int]:
    """Boundaries, 0 and the length among them, of the cheapest partition."""
    n = len(values)
    sums = np.concatenate([[0.0], np.cumsum(values - values.mean())])
    squares = np.concatenate([[0.0], np.cumsum((values - values.mean()) ** 2)])
    best = np.full(n + 1, math.inf)
    best[0] = -penalty
    before = np.zeros(n + 1, dtype=int)
    for end in range(shortest, n + 1):
        starts = np.arange(0, end - shortest + 1)
        total = sums[end] - sums[starts]
        costs = best[starts] + squares[end] - squares[starts] - total**2 / (end - starts) + penalty
        chosen = int(np.argmin(costs))
        best[end], before[end] = costs[chosen], starts[chosen]
    cuts = [n]
    while cuts[-1] > 0:
        cuts.append(int(before[cuts[-1]]))
    return cuts[::-1]


def _theil_sen(x: Sequence[float], y: Sequence[float]) -> float:
    """Median of the slopes of all pairs."""
    first, second = np.triu_indices(len(x), 1)
    across, up = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    return float(np.median((up[second] - up[first]) / (across[second] - across[first])))
