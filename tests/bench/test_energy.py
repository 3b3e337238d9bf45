"""Joules of a frame, with what a battery's gauge allows to say of them; and why not, where it allows nothing."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import synthetic_results as synthetic

from pocketgan.bench.energy import Energy, energy
from pocketgan.bench.schema.result import Result


def result(**changes: Any) -> Result:
    record = synthetic.energy_result("student", **changes)
    del record["record"]
    return Result.model_validate(record)


def states_of(one: Result, **changes: Any) -> Result:
    return one.model_copy(update={"conditions": [state.model_copy(update=changes) for state in one.conditions]})


def held(seconds: int) -> Result:
    """A gauge that renews what it says so rarely, read for a minute."""
    usual = result(seconds=60)
    told = [usual.conditions[number - number % seconds] for number in range(60)]
    kept = [
        state.model_copy(update={"current_a": one.current_a, "voltage_v": one.voltage_v})
        for state, one in zip(usual.conditions, told, strict=True)
    ]
    return usual.model_copy(update={"conditions": kept})


def found(one: Result) -> Energy:
    answer = energy(one)
    assert isinstance(answer, Energy), answer
    return answer


def test_four_watts_at_fifty_frames_a_second_are_eighty_millijoules_a_frame() -> None:
    answer = found(result(watts=4.0, frame_ms=20.0, noise=0.01))
    assert answer.per_frame_j.estimate == pytest.approx(0.080, rel=0.01)
    assert answer.per_frame_j.low < 0.080 < answer.per_frame_j.high
    assert answer.watts == pytest.approx(4.0, rel=0.01)
    assert (answer.frames, round(answer.seconds)) == (5999, 119)


def test_a_noisier_gauge_widens_the_interval_and_a_longer_run_narrows_it() -> None:
    def width(**changes: Any) -> float:
        interval = found(result(**changes)).per_frame_j
        return interval.high - interval.low

    assert width(noise=0.1) > 3 * width(noise=0.01)
    assert width(seconds=1200) < width(seconds=60) / 2


def covered(runs: int, renewed_every_s: int, drift_s: float) -> float:
    """Share of simulated runs of three minutes at 3 W whose interval holds the mean of the process: 10 % of noise with
    a memory of `drift_s` seconds, read once a second from a gauge that renews what it says so rarely."""
    hits, random, memory = 0, np.random.default_rng(5), float(np.exp(-1 / drift_s))
    usual = result(seconds=180)
    for _ in range(runs):
        drift, states, watts = random.normal(0, 0.3), [], 3.0
        for second, state in enumerate(usual.conditions):
            drift = memory * drift + random.normal(0, 0.3 * (1 - memory**2) ** 0.5)
            if second % renewed_every_s == 0:
                watts = 3.0 + drift
            states.append(state.model_copy(update={"current_a": watts / 4, "voltage_v": 4.0, "charge_mah": None}))
        interval = found(usual.model_copy(update={"conditions": states})).per_frame_j
        hits += interval.low <= 3.0 * 0.020 <= interval.high
    return hits / runs


@pytest.mark.parametrize("renewed_every_s", [1, 5])
def test_the_interval_holds_the_mean_of_the_process(renewed_every_s: int) -> None:
    assert covered(120, renewed_every_s, drift_s=3) == pytest.approx(0.95, abs=0.06)


@pytest.mark.heavy
def test_it_holds_it_in_95_of_100_runs() -> None:
    print("\nshare of 2,000 simulated runs of three minutes whose 95 % interval holds the mean power of the process")
    for renewed_every_s in (1, 5, 10):
        for drift_s in (1, 5, 18):
            share = covered(2000, renewed_every_s, drift_s)
            print(f"{share:6.1%}  a gauge that renews every {renewed_every_s} s, drifts of {drift_s} s")
            assert share >= 0.92


def test_a_phone_that_counts_the_other_way_round_is_read_the_other_way_round() -> None:
    usual = result()
    turned = usual.model_copy(
        update={
            "conditions": [
                state.model_copy(update={"current_a": -(state.current_a or 0)}) for state in usual.conditions
            ]
        }
    )
    assert found(turned).per_frame_j == found(usual).per_frame_j


def test_from_a_camera_it_is_the_energy_of_a_frame_that_was_shown() -> None:
    """30 frames a second at 3 W."""
    record = synthetic.camera_result("student", seconds=60)
    power = synthetic.energy_result("student", seconds=60, watts=3.0, noise=0.01)
    del record["record"]
    shown = Result.model_validate(
        {**record, "conditions": power["conditions"], "job": {**record["job"], "energy": True}}
    )
    assert found(shown).per_frame_j.estimate == pytest.approx(0.1, rel=0.01)


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (result(seconds=20), r"read for 19 s; 30 s at least are needed \(--seconds\)"),
        (held(10), r"its gauge said 6 different things in 59 s; .* about 98 s \(--seconds\)"),
        (states_of(result(), current_a=None, power_w=None), "does not tell its battery's current and voltage"),
        (result(watts=0.004), r"its gauge tells 0.00[34]\d* W, .* it counts in another unit"),
    ],
)
def test_where_the_gauge_does_not_carry_a_number_it_says_why(one: Result, why: str) -> None:
    answer = energy(one)
    assert isinstance(answer, str)
    assert re.search(why, answer), answer


def test_current_that_flows_both_ways_gives_no_energy() -> None:
    usual = result()
    states = list(usual.conditions)
    states[40] = states[40].model_copy(update={"current_a": -0.4})
    assert energy(usual.model_copy(update={"conditions": states})) == "current flowed into the battery in between"


def test_a_gauge_that_its_own_counter_contradicts_is_not_believed() -> None:
    """4 W of the gauge, 8 W of the counter."""
    usual = result(watts=4.0)
    twice = [
        state.model_copy(update={"charge_mah": 3200 - 2 * (3200 - (state.charge_mah or 0))})
        for state in usual.conditions
    ]
    answer = energy(usual.model_copy(update={"conditions": twice}))
    assert isinstance(answer, str)
    assert answer.startswith("its gauge tells 4")
    assert "and its own counter 7.9" in answer


def test_nobody_who_did_not_ask_gets_any() -> None:
    usual = result()
    plain = usual.model_copy(update={"job": usual.job.model_copy(update={"energy": False})})
    assert energy(plain) == "it was not asked for (--energy)"
