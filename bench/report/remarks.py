"""What must be read beside a Result's frame times, in words: from the camera, energy, a held clock, a hot phone."""

from __future__ import annotations

from pocketgan.bench.camera import camera_figures, refresh_words
from pocketgan.bench.energy import Energy, energy
from pocketgan.bench.providers import deprecated
from pocketgan.bench.report import labels
from pocketgan.bench.schema.result import Result

FOR_COMPARISONS = "pinned clock: for comparisons alone, no frame rate of an app"


def remarks(result: Result) -> list[str]:
    """A line for each; empty for most."""
    return [line for line in (_camera(result), _energy(result)) if line] + warnings(result)


def warnings(result: Result) -> list[str]:
    """Those of them without which its figures are misread."""
    return [line for line in (_clock(result), _hot(result), deprecated(result.job.provider, result.device)) if line]


def energy_words(found: Energy) -> str:
    """`80.2 mJ (78.9 to 81.5)`: of a frame, with the 95 % interval."""
    estimate, low, high = (labels.significant(1000 * value) for value in _bounds(found))
    return f"{estimate} mJ ({low} to {high})"


def gauge_words(found: Energy) -> str:
    """What it comes from."""
    readings = labels.plural(found.readings, "reading")
    return f"{labels.significant(found.watts)} W by {readings} of the battery's gauge in {found.seconds:.0f} s"


def _bounds(found: Energy) -> tuple[float, float, float]:
    return found.per_frame_j.estimate, max(0.0, found.per_frame_j.low), found.per_frame_j.high


def _camera(result: Result) -> str:
    found = camera_figures(result)
    if found is None:
        return ""
    told = [f"{labels.fps(found.fps)} frames a second on the screen for {found.seconds:.0f} s"]
    if found.dropped is not None and found.dropped_share is not None:
        told.append(f"{found.dropped:,} dropped ({labels.percent(found.dropped_share)})")
    told.append(
        f"from sensor to screen {labels.milliseconds(found.delay_ms)}, 95 % within "
        f"{labels.milliseconds(found.delay_p95_ms)}"
    )
    told += [f"display {refresh_words(found.refresh_hz)}"] if found.refresh_hz else []
    told += ["display times estimated: the system does not tell them"] if found.estimated else []
    return "; ".join(told)


def _energy(result: Result) -> str:
    if not result.job.energy or not result.frames:
        return ""
    found = energy(result)
    if isinstance(found, str):
        return f"no energy per frame: {found}"
    return f"{energy_words(found)} a frame, 95 %: {gauge_words(found)}, the whole phone's"


def _clock(result: Result) -> str:
    if result.job.clock != "pinned":
        return ""
    before = None if result.clock is None else result.clock.before_mhz
    return FOR_COMPARISONS + ("" if before is None else f" (held at {before:,.0f} MHz)")


def _hot(result: Result) -> str:
    gate, rule = result.cool_down, result.job.cool_down
    if gate is None or rule is None or gate.cool is not False:
        return ""
    state = next(iter(result.conditions), None)
    told: list[str] = [] if state is None or state.thermal_state is None else [state.thermal_state]
    told += [] if state is None or state.temperature_c is None else [f"{state.temperature_c:.0f} °C"]
    now = f" ({', '.join(told)})" if told else ""
    return (
        f"still hot after {gate.waited_s:.0f} s of waiting{now}, so that it was measured hot: let it cool somewhere "
        f"cooler, or wait longer (--cool-down {2 * rule.timeout_s:.0f})"
    )
