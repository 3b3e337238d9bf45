"""Simulated sessions: frame times of a known median, as a shared machine gives them."""

from __future__ import annotations

import math
from itertools import accumulate

import numpy as np

MEDIAN_MS = 10.0
DRIFT, JITTER = 0.03, 0.01
# How often something else takes the processor, and for how long: the logarithms have a Pareto tail without a variance.
SPIKES, SPIKE, TAIL, LONGEST = 0.03, 0.2, 1.5, 100.0


def frame_times(rng: np.random.Generator, count: int, correlation: float, slower: float = 1.0) -> np.ndarray:
    """(count,) milliseconds: MEDIAN_MS * slower * exp(drift + jitter + spikes).

    The drift is an Ornstein-Uhlenbeck process of zero median whose correlation time is `correlation` frames.
    """
    return MEDIAN_MS * slower * np.exp(drift(rng, count, correlation) + _rest(rng, count))


def drift(rng: np.random.Generator, count: int, correlation: float) -> np.ndarray:
    """(count,) stationary deviations in the logarithm."""
    keep = math.exp(-1 / correlation)
    steps = rng.standard_normal(count)
    steps[1:] *= math.sqrt(1 - keep**2)
    return DRIFT * np.array(list(accumulate(steps.tolist(), lambda last, step: keep * last + step)))


def median_of_process() -> float:
    """Milliseconds; the spikes lie on one side, and lift it a little above MEDIAN_MS."""
    rng = np.random.default_rng(0)
    count = 4_000_000
    return float(np.median(MEDIAN_MS * np.exp(DRIFT * rng.standard_normal(count) + _rest(rng, count))))


def _rest(rng: np.random.Generator, count: int) -> np.ndarray:
    spikes: np.ndarray = (rng.random(count) < SPIKES) * np.minimum(SPIKE * rng.pareto(TAIL, count), LONGEST)
    return JITTER * rng.standard_normal(count) + spikes
