"""What was measured of an entry, in the figures that people ask for first."""

from __future__ import annotations

from dataclasses import dataclass

from pocketgan.bench.budget import USUAL_MS, hold, share_within
from pocketgan.bench.camera import CameraFigures, camera_figures
from pocketgan.bench.energy import Energy, known_energy
from pocketgan.bench.schema.result import Result
from pocketgan.bench.statistics import NS_PER_MS, frame_times, frames_per_second, summarise
from pocketgan.bench.verdict import Held


@dataclass(frozen=True)
class Measured:
    """Figures of one Result; None where it was not measured.

    Attributes:
        bundle, digest, entry: what ran.
        concept: of a pack; None of a bundle that is none.
        fps: frames per second, 1 / median of pre + inference + post; from a camera how many were shown.
        median_ms, p90_ms, p99_ms: of a whole frame.
        first_inference_ms, cold_load_ms, warm_load_ms: medians of their repeats.
        memory_bytes: peak of the process; `runtime_memory_bytes` what the runtime itself says.
        parity_psnr_db: of the device's output; None where it is equal to the last bit, too.
        composed: the frame is put together from the times of an entry's components.
        input: sizes of what the entry takes, as "3x256x256"; "" where the bundle was not at hand.
        budget_ms: what a frame may take; 33.3 ms (30 FPS) where nobody asked for a budget.
        share_within_budget: of the frames, the fraction that took at most that.
        budget: whether it is held; None where nobody asked.
        camera: from the sensor to the screen; None of other modes. energy: of a frame; None where it is not known.
        errors: what went wrong; empty where nothing did.
        result: the raw samples.
    """

    bundle: str
    digest: str
    entry: str
    concept: str | None
    runtime: str
    session: str
    composed: bool
    fps: float | None
    median_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    first_inference_ms: float | None
    cold_load_ms: float | None
    warm_load_ms: float | None
    memory_bytes: int | None
    runtime_memory_bytes: int | None
    parity_psnr_db: float | None
    input: str
    budget_ms: float
    share_within_budget: float | None
    budget: Held | None
    camera: CameraFigures | None
    energy: Energy | None
    errors: tuple[str, ...]
    result: Result


def measured(result: Result, budget_ms: float | None = None, input: str = "") -> Measured:
    """The figures of a result; `budget_ms` is what a frame may take, `input` what the entry takes."""
    times = frame_times(result.frames)
    frames, limit = (summarise(times) if times else None), budget_ms or USUAL_MS
    return Measured(
        bundle=result.bundle_name,
        digest=result.job.bundle,
        entry=result.job.entry,
        concept=result.job.concept,
        runtime=result.runtime,
        session=result.session,
        composed=result.composed,
        fps=frames_per_second(result.frames) if times else None,
        median_ms=frames.median if frames else None,
        p90_ms=frames.p90 if frames else None,
        p99_ms=frames.p99 if frames else None,
        first_inference_ms=_median_ms(result.first_inference_ns),
        cold_load_ms=_median_ms(result.cold_load_ns),
        warm_load_ms=_median_ms(result.warm_load_ns),
        memory_bytes=result.memory.peak_bytes if result.memory else None,
        runtime_memory_bytes=result.memory.runtime_bytes if result.memory else None,
        parity_psnr_db=result.parity.psnr_db if result.parity else None,
        input=input,
        budget_ms=limit,
        share_within_budget=share_within(times, limit * NS_PER_MS) if times else None,
        budget=hold(result, budget_ms) if times and budget_ms is not None else None,
        camera=camera_figures(result),
        energy=known_energy(result) if times else None,
        errors=tuple(result.errors),
        result=result,
    )


def _median_ms(times_ns: list[int]) -> float | None:
    return summarise(times_ns).median if times_ns else None
