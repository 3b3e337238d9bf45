"""What a camera's frames came to on the screen. Pure functions on Results of mode camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pocketgan.bench.schema.result import Result
from pocketgan.bench.statistics import (
    NS_PER_MS,
    NS_PER_S,
    Interval,
    frame_times,
    frames_per_second,
    mean_interval,
    percentile,
    percentile_interval,
)


@dataclass(frozen=True)
class CameraFigures:
    """From the sensor to the screen.

    Attributes:
        fps: frames that were shown a second. shown: how many were, in `seconds` from the first to the last.
        dropped: frames of the camera that nobody saw, because a newer one came before they were computed or shown; None
            where the device does not count them. dropped_share: of all that it gave.
        delay_ms, delay_p95_ms: from the sensor's stamp to the screen, median and 95th percentile.
        estimated: whether the system told of no frame, or not of every one, when it was on the screen.
        refresh_hz: the slowest and the fastest rate of the display; None where it was not told.
    """

    fps: float
    shown: int
    seconds: float
    dropped: int | None
    dropped_share: float | None
    delay_ms: float
    delay_p95_ms: float
    estimated: bool
    refresh_hz: tuple[float, float] | None


def delays_ms(result: Result) -> list[float]:
    """From the sensor's stamp to the screen, of each frame that was shown, in milliseconds."""
    return [
        (frame.display_ns - frame.capture_ns) / NS_PER_MS
        for frame in result.frames
        if frame.display_ns is not None and frame.capture_ns is not None
    ]


def camera_figures(result: Result) -> CameraFigures | None:
    """The figures of a Result of mode camera; None of any other, or where fewer than two frames were shown."""
    displays = [frame.display_ns for frame in result.frames if frame.display_ns is not None]
    delays = delays_ms(result)
    if result.job.mode != "camera" or len(displays) < 2 or not delays or displays[-1] <= displays[0]:
        return None
    never_shown, uncomputed = len(result.frames) - len(displays), result.dropped_frames
    dropped = None if uncomputed is None else uncomputed + never_shown
    rates = [state.refresh_hz for state in result.conditions if state.refresh_hz is not None]
    return CameraFigures(
        fps=frames_per_second(result.frames),
        shown=len(displays),
        seconds=(displays[-1] - displays[0]) / NS_PER_S,
        dropped=dropped,
        dropped_share=None if dropped is None or uncomputed is None else dropped / (len(result.frames) + uncomputed),
        delay_ms=percentile(delays, 50),
        delay_p95_ms=percentile(delays, 95),
        estimated=any(frame.display_estimated is not False for frame in result.frames if frame.display_ns is not None),
        refresh_hz=(min(rates), max(rates)) if rates else None,
    )


def shown_interval(result: Result, confidence: float) -> Interval | None:
    """Milliseconds from one frame on the screen to the next: their mean, which is 1000 / FPS. Their median is a
    multiple of what the display takes for a picture, whatever the model takes. None where no two were shown."""
    times = frame_times(result.frames)
    return mean_interval([time / NS_PER_MS for time in times], confidence) if times else None


def delay_interval(result: Result, confidence: float) -> Interval | None:
    """Milliseconds from the sensor's stamp to the screen: their median. None where no frame was shown."""
    delays = delays_ms(result)
    return percentile_interval(delays, 50, confidence) if delays else None


def refresh_words(rates: Sequence[float] | None) -> str:
    """`60 Hz`, or `60 to 120 Hz` where it changed; "" where it is not known."""
    if not rates:
        return ""
    slow, fast = round(min(rates)), round(max(rates))
    return f"{slow} Hz" if slow == fast else f"{slow} to {fast} Hz"
