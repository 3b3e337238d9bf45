"""What a Result from a device that is elsewhere must hold before it is believed. Pure functions.

`bench/schema/conformance/incoming.json` pins every rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Literal

from pocketgan.bench.devices.cool_down import is_cool
from pocketgan.bench.runners.planning import DEFAULT_FLOOR_DB
from pocketgan.bench.runners.timing import frames_of_rounds
from pocketgan.bench.schema.job import Job
from pocketgan.bench.schema.result import Frame, MeasuredParity, Result
from pocketgan.bundle.manifest import Delegation

NS_PER_S = 1e9
# A loop that hands over nothing between two frames takes microseconds; a device that sleeps, minutes.
LONGEST_PAUSE_NS = 5_000_000_000
# Cameras and displays pass a picture on within tenths of a second; a stamp that lies further off is of another clock or
# another picture, and would make a frame rate of its own.
LONGEST_WAY_NS = 2_000_000_000
# Multiply-accumulates a second that nothing reaches: the fastest accelerators of data centres stay below.
MOST_MACS_PER_S = 1e15
# Bytes a second that no core loads, be it to check an output: two loads of 64 bytes a cycle are 0.8e12 at 6 GHz.
MOST_BYTES_PER_S = 1e12
# Clocks of two machines drift far less.
CLOCK_TOLERANCE, CLOCK_SLACK_NS = 0.01, 1_000_000_000
# Of a clock that is held; what is read back is one of a few steps, 5 % apart and more.
HELD_TOLERANCE = 0.02
HOTTER_AGAIN_C = 5.0
# A sustained run ends with the first frame beyond its time.
LEAST_SHARE_OF_TIME = 0.99
_STAMP_LIMIT = 1 << 63
_LONGEST_DATE = 32

Kind = Literal[
    "line",
    "session",
    "job",
    "repeated",
    "bundle",
    "device",
    "empty",
    "parity",
    "parity_after",
    "process",
    "warmup",
    "cool_down",
    "clock_regime",
    "placement",
    "power_save",
    "screen",
    "energy",
    "count",
    "stamps",
    "order",
    "overlap",
    "too_fast",
    "clock",
    "turns",
]


@dataclass(frozen=True)
class Asked:
    """A Job as it was asked, with what its bundle says.

    Attributes:
        bundle_name, runtime: what the Result must name. device_kind: the kind of device that was asked.
        floor_db: parity below which the output is wrong. macs: what a frame computes at least, 0 where it is not known.
        output_bytes: of a frame's outputs, which are read within the frame.
        has_reference: whether parity says anything (see Manifest.has_reference). delegation: of the export.
    """

    job: Job
    bundle_name: str
    runtime: str
    device_kind: str
    floor_db: float = DEFAULT_FLOOR_DB
    macs: int = 0
    output_bytes: int = 0
    has_reference: bool = True
    delegation: Delegation | None = None


@dataclass(frozen=True)
class Fault:
    """What does not hold: its kind, and a line for people."""

    kind: Kind
    line: str


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
    frames = result.frames
    stamped = _stamped(frames, result.job)
    found += stamped or [*_ordered(result), *_counted(frames, result.job), *_apart(frames, result.job)]
    return found if stamped else [*found, *_possible(result, asked), *_clock(result, elapsed_ns)]


def turn_faults(result: Result, others: Sequence[Result]) -> list[Fault]:
    """Where turns of a Result lie in those of others that took turns with it in one process."""
    turns = sorted(
        (frames[0].start_ns, _end(frames[-1]), number)
        for number, one in enumerate([result, *others])
        for frames in _rounds(one.frames).values()
    )
    if any(after[0] < before[1] and 0 in (before[2], after[2]) for before, after in pairwise(turns)):
        return [Fault("turns", "its turns lie in those of another model, though they were to take turns")]
    return []


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
    if len(result.cold_load_ns) > job.cold_repeats:
        found.append(Fault("count", f"it gave {len(result.cold_load_ns)} cold loads, not {job.cold_repeats}"))
    return found


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


def _stamped(frames: Sequence[Frame], job: Job) -> list[Fault]:
    """Stamps that the mode does not have, lacks, or that are no stamps; the first of them."""
    for number, frame in enumerate(frames):
        stamps = [frame.start_ns, frame.end_ns, frame.capture_ns, frame.display_ns]
        if any(stamp is not None and not -_STAMP_LIMIT <= stamp < _STAMP_LIMIT for stamp in [*stamps, *_parts(frame)]):
            return [Fault("stamps", f"frame {number} has a time that no clock shows")]
        if (job.mode == "throughput") != (frame.end_ns is not None):
            return [Fault("stamps", f"frame {number}: mode {job.mode} has end stamps in throughput alone")]
        if job.mode == "camera" and frame.capture_ns is None:
            return [Fault("stamps", f"frame {number} has no stamp of its capture")]
        if job.mode != "camera" and (frame.capture_ns, frame.display_ns) != (None, None):
            return [Fault("stamps", f"frame {number} has stamps of mode camera in mode {job.mode}")]
    return []


def _ordered(result: Result) -> list[Fault]:
    """Stamps that go back."""
    frames = result.frames
    series = {
        "starts": [frame.start_ns for frame in frames],
        "ends": [frame.end_ns for frame in frames if frame.end_ns is not None],
        "captures": [frame.capture_ns for frame in frames if frame.capture_ns is not None],
        "displays": [frame.display_ns for frame in frames if frame.display_ns is not None],
        "conditions": [state.at_ns for state in result.conditions],
    }
    found = [
        Fault("order", f"its {name} go back in time")
        for name, stamps in series.items()
        if any(after < before for before, after in pairwise(stamps))
    ]
    for number, frame in enumerate(frames):
        done = frame.start_ns + sum(_parts(frame))
        captured_late = frame.capture_ns is not None and frame.capture_ns > frame.start_ns
        shown_early = frame.display_ns is not None and frame.display_ns < done
        if captured_late or shown_early or (frame.end_ns is not None and frame.end_ns < done):
            return [*found, Fault("order", f"frame {number} ends before it is done, or begins before it is captured")]
    return found


def _counted(frames: Sequence[Frame], job: Job) -> list[Fault]:
    """Other frames than were asked for."""
    rounds = [frame.round for frame in frames]
    if job.iterations is not None:
        if len(frames) != job.iterations:
            return [Fault("count", f"it gave {len(frames)} frames, {job.iterations} were asked for")]
        counts = frames_of_rounds(job.iterations, job.rounds)
        if rounds != [number for number, count in enumerate(counts) for _ in range(count)]:
            return [Fault("count", f"its frames are not split evenly over {len(counts)} rounds, in order")]
        return []
    if any(rounds):
        return [Fault("count", f"mode {job.mode} has one round, 0")]
    asked_ns = (job.duration_s or 0) * NS_PER_S
    if frames[-1].start_ns - frames[0].start_ns > asked_ns:
        return [Fault("count", f"its frames go on beyond the {job.duration_s:g} s that were asked for")]
    shown = [frame for frame in frames if frame.display_ns is not None]
    if len(shown) == 1:
        return [Fault("count", "only one of its frames was shown, which makes no frame rate")]
    if job.mode == "sustained" and _end(frames[-1]) - frames[0].start_ns < LEAST_SHARE_OF_TIME * asked_ns:
        return [Fault("count", f"its frames end before the {job.duration_s:g} s that were asked for")]
    return []


def _apart(frames: Sequence[Frame], job: Job) -> list[Fault]:
    """Frames at once, or far apart, where they follow each other; from a camera, stamps that are far from the frame."""
    if job.mode == "camera":
        return _far_off(frames)
    found = []
    pairs = list(enumerate(pairwise(frames), start=1))
    if job.mode != "throughput":
        at_once = next((number for number, (before, after) in pairs if after.start_ns < _end(before)), None)
        if at_once is not None:
            found.append(Fault("overlap", f"frame {at_once} begins before the one before it has ended"))
    for number, (before, after) in pairs:
        if before.round == after.round and after.start_ns - _end(before) > LONGEST_PAUSE_NS:
            seconds = (after.start_ns - _end(before)) / NS_PER_S
            return [*found, Fault("clock", f"{seconds:.0f} s lie before frame {number}: it slept, or its clock jumped")]
    return found


def _far_off(frames: Sequence[Frame]) -> list[Fault]:
    """The first frame whose capture or display lies further from it than a camera or a display takes."""
    for number, frame in enumerate(frames):
        done = frame.start_ns + sum(_parts(frame))
        ways = {
            "captured {} s before it began": None if frame.capture_ns is None else frame.start_ns - frame.capture_ns,
            "on the screen {} s after it was done": None if frame.display_ns is None else frame.display_ns - done,
        }
        for words, way_ns in ways.items():
            if way_ns is not None and way_ns > LONGEST_WAY_NS:
                told = words.format(f"{way_ns / NS_PER_S:.1f}")
                return [Fault("clock", f"frame {number} was {told}: its stamps are not of one clock")]
    return []


def _possible(result: Result, asked: Asked) -> list[Fault]:
    """Frames that no device can have computed, or read the output of, in their time."""
    frames = result.frames
    least_ns = asked.macs / MOST_MACS_PER_S * NS_PER_S
    number = next((i for i, frame in enumerate(frames) if frame.inference_ns <= least_ns), None)
    if number is not None:
        return [Fault("too_fast", f"frame {number} took {frames[number].inference_ns} ns, which nothing can")]
    for i, frame in enumerate(frames):
        time_ns = sum(_parts(frame))
        if time_ns < asked.output_bytes / MOST_BYTES_PER_S * NS_PER_S:
            line = (
                f"frame {i} took {time_ns} ns, in which nothing reads and checks {asked.output_bytes} bytes of output"
            )
            return [Fault("too_fast", line)]
    if result.job.mode == "throughput":
        for turn in _rounds(frames).values():
            # The model itself runs one frame at a time.
            if sum(frame.inference_ns for frame in turn) > _end(turn[-1]) - turn[0].start_ns:
                return [Fault("too_fast", "its inferences together took longer than the turn that they lie in")]
    return []


def _clock(result: Result, elapsed_ns: int | None) -> list[Fault]:
    """Stamps that lie further apart than the time that went by on the host."""
    if elapsed_ns is None:
        return []
    stamps = [state.at_ns for state in result.conditions]
    stamps += [stamp for frame in result.frames for stamp in (frame.start_ns, _end(frame))]
    span = max(stamps) - min(stamps)
    if span <= elapsed_ns * (1 + CLOCK_TOLERANCE) + CLOCK_SLACK_NS:
        return []
    seconds = f"{span / NS_PER_S:.1f} s, {elapsed_ns / NS_PER_S:.1f} s went by on the host"
    return [Fault("clock", f"its stamps span {seconds}: its clock jumped")]


def _parts(frame: Frame) -> tuple[int, int, int]:
    return frame.pre_ns, frame.inference_ns, frame.post_ns


def _end(frame: Frame) -> int:
    return frame.start_ns + sum(_parts(frame)) if frame.end_ns is None else frame.end_ns


def _rounds(frames: Sequence[Frame]) -> dict[int, list[Frame]]:
    turns: dict[int, list[Frame]] = {}
    for frame in frames:
        turns.setdefault(frame.round, []).append(frame)
    return turns
