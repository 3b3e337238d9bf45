"""How the numbers came about: device, rules of the run, versions, and the command that repeats it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pocketgan.bench.journal import BundleRecord
from pocketgan.bench.report import labels
from pocketgan.bench.report.measurements import Measurement
from pocketgan.bench.schema.result import Conditions, DeviceInfo, Page, Result
from pocketgan.bench.ways import ways


@dataclass(frozen=True)
class Session:
    """One device in one session of `pocketgan bench`, as pairs of what and how."""

    device: str
    simulated: bool
    facts: tuple[tuple[str, str], ...]
    commands: tuple[str, ...]


def sessions(measured: Iterable[Measurement]) -> list[Session]:
    """Sessions in the order they were started, one for each device in them."""
    groups: dict[tuple[str, str, str, bool], list[Measurement]] = {}
    for item in sorted(measured, key=lambda item: item.result.started_at):
        device = item.result.device
        groups.setdefault((item.result.session, device.kind, device.name, device.simulated), []).append(item)
    return [_session(items) for items in groups.values()]


def digests(bundles: Sequence[BundleRecord]) -> list[tuple[str, str]]:
    """Name and digest of every bundle."""
    return [(bundle.manifest.name, bundle.digest) for bundle in bundles]


def _session(items: list[Measurement]) -> Session:
    results = [item.result for item in items]
    device = results[0].device
    runtimes = _distinct(f"{labels.runtime_name(r.runtime)} {r.runtime_version}".strip() for r in results)
    facts = [
        ("Device", _device(device)),
        ("System", f"{device.os} ({device.os_build})" if device.os_build else device.os),
        (
            "Processor",
            f"{device.cpu}, {labels.plural(device.cores, 'core')}, {labels.size(device.memory_bytes)} memory",
        ),
        ("Browser", ", ".join(_distinct(page_words(result.page) for result in results if result.page is not None))),
        ("Runtimes", ", ".join(runtimes)),
        ("Build", ", ".join(_distinct(result.app_build for result in results))),
        ("Rule", "; ".join(_distinct(_rule(item) for item in items))),
        (
            "Frames kept",
            _frames(items),
        ),
        ("Warm-up", _warm_up(results)),
        ("Cool-down", _cool_down(results)),
        ("Clock", _clock(results)),
        ("Cold loads", _file_cache(results)),
        ("Composed", _composed(items)),
        ("Conditions", _conditions([state for result in results for state in result.conditions])),
        ("Started", results[0].started_at),
        ("Session", results[0].session),
    ]
    return Session(
        labels.device_name(device),
        device.simulated,
        tuple((key, value) for key, value in facts if value),
        _commands(items),
    )


def _device(device: DeviceInfo) -> str:
    model = "" if device.model in labels.device_name(device) else f", {device.model}"
    where = {
        "local": "the host that ran pocketgan",
        "android": "Android device",
        "ios": "iOS device",
        "web": "a page in a browser",
    }[device.kind]
    simulated = ", SIMULATED: its times say nothing about a real device" if device.simulated else ""
    return f"{labels.device_name(device)}{model} ({where}{simulated})"


def page_words(page: Page) -> str:
    """What a page measured in: `Chrome 156, isolated, clock in steps of 5 µs, GPU arm valhall`."""
    told = [
        page.browser,
        "isolated" if page.isolated else "not isolated",
        f"clock in steps of {page.timer_step_ns / 1000:g} µs",
        f"GPU {page.gpu}" if page.gpu else "no WebGPU",
    ]
    return ", ".join(told)


def _rule(item: Measurement) -> str:
    job = item.result.job
    length = labels.plural(job.iterations, "frame") if job.iterations is not None else f"{job.duration_s:g} s"
    units = "" if job.compute_units == "all" else f", compute units {job.compute_units}"
    units += "".join(f", {way}" for way in ways(job))
    turns = ""
    if job.iterations is not None:
        rounds, processes = labels.plural(job.rounds, "round"), labels.plural(item.runs, "process")
        turns = f" in {rounds} over {processes}, models taking turns in each"
    return (
        f"{job.mode}: {length}{turns}, after {labels.plural(job.warmup.iterations, 'warm-up frame')} at least, on "
        f"{labels.plural(job.threads, 'thread')}{units}"
    )


def _frames(items: Sequence[Measurement]) -> str:
    counts = {len(item.result.frames) for item in items}
    if len(counts) == 1:
        return f"{counts.pop():,} of each"
    return ", ".join(f"{item.name} {item.result.job.entry}: {len(item.result.frames):,}" for item in items)


def _warm_up(results: Sequence[Result]) -> str:
    """What the rule came to."""
    warmups = [result.warmup for result in results if result.warmup is not None]
    if not warmups:
        return ""
    counts = [one.iterations for one in warmups]
    restless = sum(not one.steady for one in warmups)
    span = str(counts[0]) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    ended = "until two windows of frames agreed" if not restless else f"{restless} of {len(warmups)} ran out of time"
    return f"{span} frames before the first that counts; {ended}"


def _cool_down(results: Sequence[Result]) -> str:
    cool_downs = [result.cool_down for result in results if result.cool_down is not None]
    if not cool_downs:
        return ""
    waited = max(one.waited_s for one in cool_downs)
    outcome = {True: "the device was cool", False: "the device stayed hot", None: "the system tells no temperature"}
    return f"waited {waited:.0f} s at most; {', '.join(_distinct(outcome[one.cool] for one in cool_downs))}"


def _clock(results: Sequence[Result]) -> str:
    """The regime, with the frequencies that were read back."""
    told = []
    for result in results:
        clock = result.clock
        if clock is None or clock.before_mhz is None:
            continue
        after = "" if clock.after_mhz is None else f" before the frames, {clock.after_mhz:,.0f} MHz after them"
        told.append(f"{clock.regime}: {clock.before_mhz:,.0f} MHz{after}")
    return "; ".join(_distinct(told))


def _file_cache(results: Sequence[Result]) -> str:
    shares = [share for result in results for share in result.file_cache]
    if not shares:
        return ""
    low, high = (labels.percent(share) for share in (min(shares), max(shares)))
    return f"in fresh processes, {low if low == high else f'{low} to {high}'} of the file in the system's cache"


def _composed(items: Sequence[Measurement]) -> str:
    """What an edit of several components was put together of."""
    edits = []
    for item in items:
        if item.result.composed:
            parts = " + ".join(
                f"{one.repeat:,} × {one.name}" if one.repeat > 1 else one.name for one in item.entry.components
            )
            edits.append(f"an edit of {item.name} is {parts}, each timed alone and added up")
    return "; ".join(edits)


def _conditions(states: Sequence[Conditions]) -> str:
    facts = []
    thermal = _distinct(state.thermal_state for state in states if state.thermal_state is not None)
    if thermal:
        facts.append("thermal state " + ", ".join(thermal))
    for unit, values in (
        ("°C", [state.temperature_c for state in states]),
        ("MHz", [state.frequency_mhz for state in states]),
        ("load average", [state.load_average for state in states]),
        ("% battery", [state.battery_percent for state in states]),
        ("W from the battery", [state.power_w for state in states]),
        ("Hz display", [state.refresh_hz for state in states]),
    ):
        readings = [value for value in values if value is not None]
        if readings:
            low, high = f"{min(readings):.4g}", f"{max(readings):.4g}"
            facts.append(f"{low} {unit}" if low == high else f"{low} to {high} {unit}")
    if any(state.sustained_performance for state in states):
        facts.append("sustained-performance mode")
    if any(state.performance_hint for state in states):
        facts.append("performance hints")
    charging = {state.charging for state in states if state.charging is not None}
    if charging:
        facts.append(
            {True: "on the charger", False: "on battery"}[charging.pop()] if len(charging) == 1 else "charger changed"
        )
    return "; ".join(facts)


def _commands(items: Sequence[Measurement]) -> tuple[str, ...]:
    bundles = " ".join(_distinct(shlex.quote(f"{item.bundle.manifest.name}.pgb") for item in items))
    commands = [
        f"pocketgan bench {bundles} {options} --out results.jsonl"
        for options in _distinct(_options(item, items) for item in items)
    ]
    return (*commands, "pocketgan report results.jsonl --out report.html")


def _options(measurement: Measurement, items: Sequence[Measurement]) -> str:
    """Options of `pocketgan bench` for this measurement; an entry is named where all jobs were of one."""
    job = measurement.result.job
    options = [f"--device {measurement.result.device.kind}"]
    if len({item.result.job.entry for item in items}) == 1:
        options.append(f"--entry {shlex.quote(job.entry)}")
    concepts = _distinct(item.result.job.concept for item in items if item.result.job.concept is not None)
    options += [f"--concept {','.join(concepts)}"] if concepts else []
    options.append(f"--mode {job.mode}")
    if job.iterations is None:
        options.append(f"--seconds {job.duration_s:g}")
    else:
        options += [f"--iterations {job.iterations}", f"--rounds {job.rounds}", f"--runs {measurement.runs}"]
    options += [f"--warmup {job.warmup.iterations}", f"--warmup-timeout {job.warmup.timeout_s:g}"]
    options.append(f"--threads {job.threads}")
    if job.cool_down is not None:
        options.append(f"--cool-down {job.cool_down.timeout_s:g}")
        if job.cool_down.maximum_temperature_c is not None:
            options.append(f"--cool-below {job.cool_down.maximum_temperature_c:g}")
    options.append(f"--cold-repeats {job.cold_repeats}")
    options += [f"--via {job.via}"] if job.via in ("app", "shell") else []
    options += [f"--provider {job.provider}"] if job.provider != "default" else []
    options += [f"--clock {job.clock}"] if job.clock != "free" else []
    options += ["--energy"] if job.energy else []
    return " ".join(options)


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
