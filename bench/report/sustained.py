"""Frame rate over the time of a sustained run, with the state of the device under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pocketgan.bench.changes import Throttling, throttling
from pocketgan.bench.report import labels
from pocketgan.bench.report.charts import FRAME_RATES, svg
from pocketgan.bench.schema.result import Conditions, Result
from pocketgan.bench.statistics import frame_times

TOP, BOTTOM, STRIP_PX = 24, 164, 10
# Fewer say nothing of how a run went on.
FEWEST_FRAMES = 16


@dataclass(frozen=True)
class Run:
    """A sustained run of one model."""

    name: str
    role: str
    course: Throttling
    states: tuple[tuple[float, Conditions], ...]

    @property
    def verdict(self) -> str:
        """In words: whether the frame rate held."""
        levels, best = self.course.levels, self.course.best
        last = 1000 / levels[-1].value
        if not self.course.throttled:
            return f"holds {labels.fps(last)} FPS for {self.course.times_s[-1]:.0f} s"
        began = next(
            self.course.times_s[level.start]
            for level in levels[levels.index(best) + 1 :]
            if level.value >= best.value * 1.02
        )
        return (
            f"falls from {labels.fps(1000 / best.value)} to {labels.fps(last)} FPS "
            f"({-self.course.slowdown / (1 + self.course.slowdown):+.0%}), first after {began:.0f} s"
        )


def sustained_run(name: str, role: str, result: Result) -> Run | None:
    """The run of a result of mode sustained; None where it has too few frames."""
    if len(result.frames) < FEWEST_FRAMES:
        return None
    starts = [frame.start_ns for frame in result.frames]
    course = throttling(starts, frame_times(result.frames))
    states = tuple(((state.at_ns - starts[0]) / 1e9, state) for state in result.conditions)
    return Run(name, role, course, states)


def frame_rate_over_time(run: Run, title: str) -> Markup:
    """The median frame rate of each window, the levels that it went through, and what the OS told of the device."""
    rates = [1000 / ms for ms in run.course.medians_ms]
    end_s, most = max(run.course.times_s[-1], 1e-9), max(rates) * 1.15
    marked_rates = [rate for rate in FRAME_RATES if rate < most]

    def y(rate: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * rate / most

    parts = [
        Markup(
            '<line class="rate" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"/>'
            '<text class="rate-label" x="100%" y="{1:.1f}" text-anchor="end">{2} FPS</text>'
        ).format(y(rate), y(rate) - 4, rate)
        for rate in marked_rates
    ]
    parts.append(Markup('<line class="grid" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(BOTTOM))
    points = [(1000 * second / end_s, y(rate)) for second, rate in zip(run.course.times_s, rates, strict=True)]
    path = "M" + "L".join(f"{x:.1f} {height:.1f}" for x, height in points)
    levels = "".join(
        f"M{points[level.start][0]:.1f} {y(1000 / level.value):.1f}H{points[level.end - 1][0]:.1f}"
        for level in run.course.levels
    )
    parts.append(
        Markup(
            '<svg x="0" y="0" width="100%" height="{height}" viewBox="0 0 1000 {height}" preserveAspectRatio="none">'
            '<path class="course role-{role}" d="{path}"/><path class="level" d="{levels}"/></svg>'
        ).format(height=BOTTOM, role=run.role, path=path, levels=levels)
    )
    parts += [
        Markup('<text class="value" x="0" y="{:.1f}">{} FPS</text>').format(
            max(y(rates[0]) - 8, 12), labels.fps(rates[0])
        ),
        Markup('<text class="axis" x="0" y="{0}">0 s</text>').format(BOTTOM + 32),
        Markup('<text class="axis" x="100%" y="{0}" text-anchor="end">{1:.0f} s</text>').format(BOTTOM + 32, end_s),
        *_thermal(run, end_s),
    ]
    device_state = _device_states([state for _, state in run.states])
    if device_state:
        parts.append(Markup('<text class="axis" x="0" y="{}">{}</text>').format(BOTTOM + 52, device_state))
    return svg(BOTTOM + (58 if device_state else 38), title, f"{run.name} {run.verdict}", parts)


def _thermal(run: Run, end_s: float) -> list[Markup]:
    """A strip of the thermal states, each up to the next reading; empty where the OS tells none."""
    readings = [
        (min(max(second, 0), end_s), state.thermal_state) for second, state in run.states if state.thermal_state
    ]
    if not readings:
        return []
    bounds = [0.0, *(second for second, _ in readings[1:]), end_s]
    return [
        Markup(
            '<rect class="thermal-{}" x="{:.2f}%" width="{:.2f}%" y="{}" height="{}"><title>{}</title></rect>'
        ).format(state, 100 * start / end_s, 100 * (stop - start) / end_s, BOTTOM + 4, STRIP_PX, state)
        for (_, state), start, stop in zip(readings, bounds[:-1], bounds[1:], strict=True)
        if stop > start
    ]


def _device_states(states: Sequence[Conditions]) -> str:
    facts = []
    thermal = list(dict.fromkeys(state.thermal_state for state in states if state.thermal_state))
    if thermal:
        facts.append(" → ".join(thermal))
    for unit, values in (
        ("°C", [state.temperature_c for state in states]),
        ("MHz", [state.frequency_mhz for state in states]),
    ):
        readings = [value for value in values if value is not None]
        if readings:
            first, last = f"{readings[0]:,.0f}", f"{readings[-1]:,.0f}"
            facts.append(f"{first} {unit}" if first == last else f"{first} → {last} {unit}")
    return " · ".join(facts)
