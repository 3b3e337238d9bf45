"""Energy per frame: what a phone drew from its battery while frames were computed. Pure functions on Results.

The whole phone's, its screen too: a battery has one gauge. Its own error is in no interval here, because nothing that
it says tells of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pocketgan.bench.schema.result import Conditions, Result
from pocketgan.bench.statistics import NS_PER_S, Interval, mean_interval

# Shorter runs hold the work of one moment: clocks, and what the app was busy with when it began.
LEAST_SECONDS = 30.0
# Gauges renew what they say every 0.2 to 30 s. An interval of fewer renewals says nothing.
LEAST_READINGS = 10
# Below it no phone computes with its screen on: the gauge tells milliamperes where Android wants microamperes.
LEAST_WATTS = 0.1
# Between the gauge's current and what its own counter lost meanwhile; a counter counts in steps of 1 mAh or less.
MOST_DISAGREEMENT, STEPS_FOR_A_CHECK = 0.25, 8
_COULOMBS_PER_MAH = 3.6


@dataclass(frozen=True)
class Energy:
    """Energy per frame of one Result.

    Attributes:
        per_frame_j: joules, with the 95 % interval that the gauge's readings allow.
        watts: drawn on average. seconds: that it is the average of. frames: in the run; from a camera those shown.
        readings: how often the gauge said something new in that time.
    """

    per_frame_j: Interval
    watts: float
    seconds: float
    frames: int
    readings: int


def energy(result: Result, confidence: float = 0.95) -> Energy | str:
    """The energy per frame of a Result that has frames; else why it is not known, in words.

    The mean of the power between the first and the last frame: current times voltage, as the gauge told them about once
    a second, each reading counting until the next. Neighbouring readings depend on each other, and a gauge that says
    the same for seconds has said it once; both widen the interval (`statistics.mean_interval`).
    """
    if not result.job.energy:
        return "it was not asked for (--energy)"
    if result.composed:
        return "its frames are composed of components that were measured one by one"
    stamps = _frame_stamps(result)
    if len(stamps) < 2:
        return "too few frames"
    states = [state for state in result.conditions if stamps[0] <= state.at_ns <= stamps[-1]]
    told = [(state, drawn) for state in states if (drawn := _watts(state)) is not None]
    if not told:
        return "this phone does not tell its battery's current and voltage"
    watts = _magnitudes([drawn for _, drawn in told])
    if watts is None:
        return "current flowed into the battery in between"
    seconds = (told[-1][0].at_ns - told[0][0].at_ns) / NS_PER_S
    if seconds < LEAST_SECONDS:
        return f"its gauge was read for {seconds:.0f} s; {LEAST_SECONDS:g} s at least are needed (--seconds)"
    readings = 1 + sum(before != after for before, after in pairwise(watts))
    if readings < LEAST_READINGS:
        return (
            f"its gauge said {readings} different things in {seconds:.0f} s; {LEAST_READINGS} at least are needed: "
            f"about {seconds * LEAST_READINGS / readings:.0f} s (--seconds)"
        )
    power = _mean_power(told, watts, confidence)
    if power.estimate < LEAST_WATTS:
        return f"its gauge tells {power.estimate:.2g} W, which is less than a screen takes: it counts in another unit"
    counted = _counted_watts([state for state, _ in told], seconds)
    if counted is not None and not 1 - MOST_DISAGREEMENT <= counted / power.estimate <= 1 / (1 - MOST_DISAGREEMENT):
        return f"its gauge tells {power.estimate:.2g} W, and its own counter {counted:.2g} W"
    each_s = (stamps[-1] - stamps[0]) / NS_PER_S / (len(stamps) - 1)
    per_frame = Interval(power.estimate * each_s, power.low * each_s, power.high * each_s, confidence)
    return Energy(per_frame, power.estimate, seconds, len(stamps) - 1, readings)


def known_energy(result: Result, confidence: float = 0.95) -> Energy | None:
    """The same, None where it is not known."""
    found = energy(result, confidence)
    return found if isinstance(found, Energy) else None


def _frame_stamps(result: Result) -> list[int]:
    """When frames began; from a camera, when they were on the screen."""
    if result.job.mode == "camera":
        return [frame.display_ns for frame in result.frames if frame.display_ns is not None]
    return [frame.start_ns for frame in result.frames]


def _watts(state: Conditions) -> float | None:
    if state.current_a is not None and state.voltage_v is not None:
        return state.current_a * state.voltage_v
    return state.power_w


def _magnitudes(watts: Sequence[float]) -> list[float] | None:
    """Makers disagree on the sign of a battery's current. No charger is on it (its proof is in the Result), so that it
    flows one way, whichever sign it has; None where it does not."""
    if min(watts) < 0 < max(watts):
        return None
    return [abs(one) for one in watts]


def _mean_power(told: Sequence[tuple[Conditions, float]], watts: Sequence[float], confidence: float) -> Interval:
    """Readings weighted by the time until the next one; the interval is that of the readings."""
    stamps = [state.at_ns for state, _ in told]
    joules = sum(one * (after - before) for one, before, after in zip(watts, stamps, stamps[1:], strict=False))
    mean = joules / (stamps[-1] - stamps[0])
    readings = mean_interval(watts, confidence)
    return Interval(mean, mean + readings.low - readings.estimate, mean + readings.high - readings.estimate, confidence)


def _counted_watts(states: Sequence[Conditions], seconds: float) -> float | None:
    """By what the battery's counter lost; None where it has none, or too few steps lie in the time."""
    charges = [state.charge_mah for state in states if state.charge_mah is not None]
    volts = [state.voltage_v for state in states if state.voltage_v is not None]
    steps = sum(before != after for before, after in pairwise(charges))
    if steps < STEPS_FOR_A_CHECK or not volts:
        return None
    return (charges[0] - charges[-1]) * _COULOMBS_PER_MAH * (sum(volts) / len(volts)) / seconds
