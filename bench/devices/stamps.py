"""What the stamps of frames must hold before they are believed; see soundness. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pocketgan.bench.devices.fault import Asked, Fault
from pocketgan.bench.runners.timing import frames_of_rounds
from pocketgan.bench.schema.job import Job
from pocketgan.bench.schema.result import Frame, Result

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
# A sustained run ends with the first frame beyond its time.
LEAST_SHARE_OF_TIME = 0.99
_STAMP_LIMIT = 1 << 63


def stamp_faults(result: Result, asked: Asked, elapsed_ns: int | None) -> list[Fault]:
    """What does not hold of the stamps of a Result that has frames.

    Args:
        elapsed_ns: see `soundness.faults`.
    """
    job, frames = result.job, result.frames
    if stamped := _stamped(frames, job):
        return stamped
    found = [*_ordered(result), *_counted(frames, job), *_apart(frames, job)]
    return [*found, *_possible(result, asked), *_clock(result, elapsed_ns)]


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
