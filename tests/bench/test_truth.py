"""Intervals hold what they say on simulated sessions of a known truth. `make bench` runs the full numbers."""

from __future__ import annotations

import noise
import numpy as np
import pytest

from pocketgan.bench.statistics import percentile_interval

FRAMES = 1000
# Of a session.
CORRELATIONS = (0.001, 0.01, 0.03, 0.1)


def covered(sessions: int, correlation: float) -> float:
    """Share of simulated sessions whose interval holds the median of the process."""
    truth, rng = noise.median_of_process(), np.random.default_rng(11)
    hits = 0
    for _ in range(sessions):
        interval = percentile_interval(noise.frame_times(rng, FRAMES, correlation * FRAMES).tolist())
        hits += interval.low <= truth <= interval.high
    return hits / sessions


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_interval_covers_the_median_of_a_drifting_process(correlation: float) -> None:
    assert covered(300, correlation) == pytest.approx(0.95, abs=0.04)


@pytest.mark.heavy
def test_interval_covers_it_in_95_of_100_sessions() -> None:
    print("\nshare of 4,000 simulated sessions of 1,000 frames whose 95 % interval holds the process's median")
    for correlation in CORRELATIONS:
        share = covered(4000, correlation)
        print(f"{share:6.1%}  drifts of {correlation:.1%} of a session")
        assert share == pytest.approx(0.95, abs=0.02)
