"""What a Result from a device that is elsewhere must hold before it is believed. Pure functions.

`bench/schema/conformance/incoming.json` pins every rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pocketgan.bench.devices.cool_down import is_cool
from pocketgan.bench.devices.fault import Asked, Fault, Kind
from pocketgan.bench.devices.stamps import NS_PER_S, stamp_faults
from pocketgan.bench.runners.planning import DEFAULT_FLOOR_DB
from pocketgan.bench.schema.result import MeasuredParity, Result

# Of a clock that is held; what is read back is one of a few steps, 5 % apart and more.
HELD_TOLERANCE = 0.02
HOTTER_AGAIN_C = 5.0
_LONGEST_DATE = 32


def faults(result: Result, asked: Asked, elapsed_ns: int | None = None) -> list[Fault]:
    """What does not hold of a Result whose session and Job are the asked ones; empty where it can be believed.

    A Job that failed, as its errors say, needs no frames; frames that came are held to every rule.

    Args:
        elapsed_ns: nanoseconds on the host's clock since the session began; None where that is not known.
    """
    found = _names(result, asked)
    if not result.frames:
        return found if result.errors else [*found, Fault("empty", "it gave no frames, and no reason for it")]
    found += _parities(result, asked.floor_db)
    found += _rules(result)
    found += _states(result)
    return found + stamp_faults(result, asked, elapsed_ns)


def _names(result: Result, asked: Asked) -> list[Fault]:
    found = []
    told = (("bundle", result.bundle_name, asked.bundle_name), ("runtime", result.runtime, asked.runtime))
    for what, said, expected in told:
        if said != expected:
            found.append(Fault("bundle", f"it says that {what} {said} ran, not {expected}"))
    if result.device.kind != asked.device_kind:
        found.append(Fault("device", f"it is of a device of kind {result.device.kind}, not {asked.device_kind}"))
    if not _is_date(result.started_at):
        found.append(Fault("stamps", "it does not tell the date at which it began"))
    if result.composed:
        found.append(Fault("stamps", "it holds composed frames, which only the host composes"))
    return found


def _is_date(text: str) -> bool:
    """ISO 8601, as the results file and its stores take it."""
    try:
        return len(text) <= _LONGEST_DATE and datetime.fromisoformat(text) is not None
    except ValueError:
        return False


def _parities(result: Result, floor_db: float) -> list[Fault]:
    # A timed frame begins with a picture of 256 levels, the golden input does not: 59 dB before the model.
    after_db = min(floor_db, DEFAULT_FLOOR_DB)
    found: list[Fault] = []
    wanted: list[tuple[Kind, str, MeasuredParity | None, float]] = [
        ("parity", "before its first frame", result.parity, floor_db),
        ("parity_after", "after its last frame", result.parity_after, after_db),
    ]
    for kind, when, parity, floor in wanted:
        if parity is None:
            found.append(Fault(kind, f"its output was not compared with the golden output {when}"))
        elif parity.psnr_db is not None and parity.psnr_db < floor:
            found.append(
                Fault(kind, f"wrong output {when}: {parity.psnr_db:.1f} dB from the golden output, {floor:g} dB needed")
            )
    return found


def _rules(result: Result) -> list[Fault]:
    """The Job's rules beside the frames."""
    job, found = result.job, []
    warmed, rule = result.warmup, result.job.warmup
    if warmed is None:
        found.append(Fault("warmup", "it does not tell what its warm-up came to"))
    elif warmed.iterations < rule.iterations:
        found.append(Fault("warmup", f"it warmed up with {warmed.iterations} frames, not {rule.iterations}"))
    elif not warmed.steady and warmed.duration_ns < int(rule.timeout_s * NS_PER_S):
        found.append(Fault("warmup", "its warm-up ended before it was steady or out of time"))
    if not result.process:
        found.append(Fault("process", "it names no process, so that nothing tells whether models took turns"))
    if job.cool_down is not None and result.cool_down is None:
        found.append(Fault("cool_down", "it does not tell what its cool-down came to"))
    if _is_hot_though_called_cool(result):
        found.append(Fault("cool_down", "it says that it had cooled down, and of itself that it was hot"))
    if job.clock == "pinned" and (
        result.clock is None or result.clock.before_mhz is None or result.clock.after_mhz is None
    ):
        found.append(
            Fault("clock_regime", "its clock was to be held, and no frequency was read back: use --clock free")
        )
    elif job.clock == "pinned" and result.clock is not None:
        before, after = result.clock.before_mhz or 0, result.clock.after_mhz or 0
        if abs(after - before) > HELD_TOLERANCE * before:
            found.append(
                Fault(
                    "clock_regime",
                    f"its clock was to be held and went from {before:.0f} to {after:.0f} MHz: this phone's "
                    "fixed-performance mode does not hold it, measure with --clock free",
                )
            )
    if result.clock is not None and result.clock.regime != job.clock:
        found.append(Fault("clock_regime", f"its clock was {result.clock.regime}, not {job.clock}"))
    requested = None if result.placement is None else result.placement.requested
    if job.provider != "default" and requested != job.provider:
        found.append(Fault("placement", f"it ran with provider {requested or 'unknown'}, not {job.provider}"))
    if job.via == "page":
        found += _page(result)
    if len(result.cold_load_ns) > job.cold_repeats:
        found.append(Fault("count", f"it gave {len(result.cold_load_ns)} cold loads, not {job.cold_repeats}"))
    return found


def _page(result: Result) -> list[Fault]:
    """What a browser must tell for its times to be worth something."""
    page, threads = result.page, result.job.threads
    if page is None:
        return [Fault("page", "it does not tell which browser measured, nor whether the page was isolated")]
    if page.threads != threads:
        return [Fault("page", f"it ran on {page.threads} threads, not {threads}")]
    if threads > 1 and not page.isolated:
        return [Fault("page", f"it says that {threads} threads ran in a page that is not isolated, which has but one")]
    if not any(state.visible for state in result.conditions):
        return [Fault("visibility", "it does not tell whether its page was in front")]
    return []


def _is_hot_though_called_cool(result: Result) -> bool:
    """Whether the state that the frames begin with says otherwise than the gate before them."""
    rule, gate, state = result.job.cool_down, result.cool_down, next(iter(result.conditions), None)
    if rule is None or gate is None or not gate.cool or state is None:
        return False
    # Two readings of a processor are some degrees apart.
    allowed = None if rule.maximum_temperature_c is None else rule.maximum_temperature_c + HOTTER_AGAIN_C
    return is_cool(rule.model_copy(update={"maximum_temperature_c": allowed}), state) is False


def _states(result: Result) -> list[Fault]:
    """What the device said of itself meanwhile, against what no session is begun with."""
    found: list[Fault] = []
    if any(state.power_save for state in result.conditions):
        found.append(Fault("power_save", "its battery saver was on: turn it off, charge it, and measure again"))
    if any(state.screen_on is False for state in result.conditions):
        found.append(Fault("screen", "its screen was off meanwhile: let it stay awake while it is measured"))
    if any(state.visible is False for state in result.conditions):
        found.append(Fault("visibility", "its page was hidden meanwhile: keep it in front while it is measured"))
    return found + ([Fault("energy", line) for line in _charged(result)] if result.job.energy else [])


def _charged(result: Result) -> list[str]:
    """Why what was drawn from the battery is not what the work took: its proof is lacking, or says otherwise."""
    checks, states = result.charger_checks, result.conditions
    told = [state.charging for state in states if state.charging is not None]
    lines = {
        "nobody looked whether a charger was on it": not checks,
        "it was on USB, which charges it": any(check.usb for check in checks),
        "what its battery says was simulated": any(check.simulated for check in checks),
        "a charger was on it": any(check.charger for check in checks) or any(told),
        "it does not tell whether a charger was on it": not told or any(check.charger is None for check in checks),
        "its battery was charged meanwhile": _rises([state.battery_percent for state in states])
        or _rises([state.charge_mah for state in states]),
        "current flowed into its battery and out of it": _both_ways([state.current_a for state in states]),
    }
    return [f"{line}: unplug it and measure again, over Wi-Fi" for line, holds in lines.items() if holds]


def _rises(values: Sequence[float | None]) -> bool:
    told = [value for value in values if value is not None]
    return len(told) > 1 and told[-1] > told[0]


def _both_ways(currents: Sequence[float | None]) -> bool:
    told = [current for current in currents if current is not None]
    return any(current < 0 for current in told) and any(current > 0 for current in told)
