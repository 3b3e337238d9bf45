"""Circumstances without which two times cannot be compared."""

from __future__ import annotations

from collections.abc import Mapping

from pocketgan.bench.camera import refresh_words
from pocketgan.bench.inputs import input_types
from pocketgan.bench.schema.result import Page, Result
from pocketgan.bundle.manifest import Entry


def differences(results: tuple[Result, Result], entries: tuple[Entry, Entry]) -> list[str]:
    """Circumstances without which times cannot be compared."""
    settings = [circumstances(result, entry) for result, entry in zip(results, entries, strict=True)]
    found = differing(*settings)
    if any(result.device.simulated for result in results):
        found.append("simulated: an emulator's times are no performance numbers")
    return found


def differing(told: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """Circumstances that differ, as "threads: 1 and 4"; what one of them alone has is told by its mode."""
    return [f"{what}: {told[what]} and {other[what]}" for what in told if what in other and told[what] != other[what]]


def circumstances(result: Result, entry: Entry) -> dict[str, object]:
    """What must be the same for two times to be compared, by name."""

    def before(name: str) -> object:
        """What the run began with; what it came to is a result."""
        return next((value for one in result.conditions if (value := getattr(one, name)) is not None), "unknown")

    return {
        "device": result.device.model,
        "processor": result.device.cpu,
        "system": f"{result.device.os} {result.device.os_build}",
        "runtime": f"{result.runtime} {result.runtime_version}",
        "build": result.app_build,
        "mode": result.job.mode,
        "via": result.job.via,
        "provider": result.job.provider if result.placement is None else result.placement.requested,
        "clock": _clock(result),
        "threads": result.job.threads,
        "compute units": result.job.compute_units,
        "precision": entry.precision,
        "input": input_types(entry, result.job.component),
        "thermal state": before("thermal_state"),
        "charger": before("charging"),
        # What only later versions and some devices tell; what is not told is taken for the usual.
        "power-save": "on" if any(state.power_save for state in result.conditions) else "off",
        "screen": "off" if any(state.screen_on is False for state in result.conditions) else "on",
        "sustained-performance mode": "on"
        if any(state.sustained_performance for state in result.conditions)
        else "off",
        "performance hints": "on" if any(state.performance_hint for state in result.conditions) else "off",
        "page": "hidden" if any(state.visible is False for state in result.conditions) else "in front",
        **(_of_page(result.page) if result.page is not None else {}),
        **(_of_screen(result) if result.job.mode == "camera" else {}),
        "cool-down": None
        if result.cool_down is None
        else {True: "cool", False: "hot", None: "unknown"}[result.cool_down.cool],
    }


def _of_page(page: Page) -> dict[str, object]:
    """What times in a browser depend on as well."""
    return {
        "browser": page.browser,
        "isolation": "isolated" if page.isolated else "not isolated",
        "timer step": f"{page.timer_step_ns / 1000:g} µs",
        "GPU": page.gpu or "none",
    }


def _of_screen(result: Result) -> dict[str, object]:
    """What a rate of frames on a screen depends on as well."""
    fastest = max((state.refresh_hz for state in result.conditions if state.refresh_hz is not None), default=None)
    estimated = any(frame.display_estimated is not False for frame in result.frames if frame.display_ns is not None)
    return {
        "refresh rate": "unknown" if fastest is None else refresh_words([fastest]),
        "display times": "estimated" if estimated else "told by the system",
    }


def _clock(result: Result) -> str:
    """The regime, and the frequency that it was held at."""
    clock = result.clock
    if result.job.clock == "free":
        return "free"
    held = "unknown" if clock is None or clock.before_mhz is None else f"{clock.before_mhz:.0f} MHz"
    return f"pinned at {held}"
