"""From results to what may be compared: the latest result of each job, grouped by circumstances.

A result counts as performance only if it has frames and comes from a real device. A device drops the frames of a model
that failed; frames beside errors are shown, flagged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from pocketgan.bench.budget import share_within
from pocketgan.bench.circumstances import circumstances, differing
from pocketgan.bench.journal import BundleRecord, Results
from pocketgan.bench.naming import concept_of
from pocketgan.bench.report.labels import ROLE_ORDER
from pocketgan.bench.runs import composed, joined, measurements
from pocketgan.bench.schema.result import DeviceInfo, Result
from pocketgan.bench.schema.words import JobMode
from pocketgan.bench.statistics import (
    Summary,
    frame_times,
    frames_per_second,
    mean_interval,
    percentile_interval,
    summarise,
)
from pocketgan.bundle.manifest import Entry
from pocketgan.errors import ResultsError

# Fewer frames carry no interval.
FEWEST_FOR_INTERVAL = 10


@dataclass(frozen=True)
class Timing:
    """Frame times of a result in run order (ms), and what follows from them; bounds are of the 95 % interval."""

    times_ms: np.ndarray
    fps: float
    bounds: tuple[float, float] | None
    summary: Summary

    def share_within(self, limit_ms: float) -> float:
        """Fraction of frames that took at most `limit_ms`."""
        return share_within(self.times_ms.tolist(), limit_ms)


@dataclass(frozen=True)
class Measurement:
    """The result that counts for a job, joined of so many runs, and its bundle; `timing` is None where it is no
    performance number.

    `run_rates` are the frames per second of each run alone; empty where the result is composed of components.
    `differences` are the circumstances in which it was measured otherwise than the most of its group, so that it cannot
    be compared with them.
    """

    bundle: BundleRecord
    result: Result
    timing: Timing | None
    runs: int = 1
    differences: tuple[str, ...] = ()
    run_rates: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """The model's, of a pack with the concept that it drew."""
        return " ".join(filter(None, (self.bundle.manifest.name, self.concept)))

    @property
    def concept(self) -> str | None:
        return concept_of(self.result.job, self.bundle.manifest)

    @property
    def entry(self) -> Entry:
        """The entry that was measured, as it draws the concept."""
        return self.bundle.manifest.entry(self.result.job.entry, self.result.job.concept)

    @property
    def role(self) -> str:
        return self.bundle.manifest.role

    @property
    def flagged(self) -> bool:
        """Whether the device reported errors beside the frames."""
        return bool(self.result.errors)


@dataclass(frozen=True)
class Group:
    """Measurements of one entry, whatever concept it drew, under the same circumstances: device, mode, threads, compute
    units, and how a device that is elsewhere carried it out."""

    members: tuple[Measurement, ...]

    @property
    def first(self) -> Result:
        return self.members[0].result

    @property
    def device(self) -> DeviceInfo:
        return self.first.device

    def of_role(self, role: str) -> Measurement | None:
        """The fastest member of that role that can be compared."""
        comparable = [member for member in self.members if member.role == role and not member.differences]
        return max(comparable, key=speed, default=None)


@dataclass(frozen=True)
class Selection:
    """All that the page shows of the results: measured groups, and apart from them what is no performance."""

    latest: tuple[Measurement, ...]
    groups: tuple[Group, ...]
    superseded: int

    @property
    def failed(self) -> list[Measurement]:
        return [item for item in self.latest if item.result.errors]

    @property
    def simulated(self) -> list[Measurement]:
        return [item for item in self.latest if item.result.device.simulated]

    @property
    def incomparable(self) -> list[Measurement]:
        return [member for member in self.timed if member.differences]

    @property
    def pinned(self) -> list[Measurement]:
        """What was measured with a held clock: for comparisons alone."""
        return [member for member in self.timed if member.result.job.clock == "pinned"]

    @property
    def timed(self) -> list[Measurement]:
        return [member for group in self.groups for member in group.members]


def select(results: Results) -> Selection:
    """The latest result of each job, timed and grouped.

    Raises:
        ResultsError: a result whose bundle has no record.
    """
    latest: dict[tuple[object, ...], Result] = {}
    manifests = {digest: record.manifest for digest, record in results.bundles.items()}
    for result in results.results:
        if result.job.bundle not in results.bundles:
            raise ResultsError(f"a result of {result.bundle_name} ({result.job.bundle[:12]}) has no bundle record")
    measured_runs = measurements(results.results)
    counts: dict[tuple[object, ...], int] = {}
    rates: dict[tuple[object, ...], tuple[float, ...]] = {}
    for runs in measured_runs:
        counts[_identity(runs[0])] = max(len(runs), counts.get(_identity(runs[0]), 0))
        if runs[0].job.component is None:
            rates[_identity(runs[0])] = tuple(filter(None, map(_rate, runs)))
    edits = composed([joined(runs) for runs in measured_runs], manifests)
    for result in sorted(edits, key=lambda result: result.started_at):
        concept = concept_of(result.job, manifests[result.job.bundle])
        latest[(result.job.bundle, concept, *_circumstances(result))] = result
    measured = [
        Measurement(
            results.bundles[r.job.bundle], r, _timing(r), counts[_identity(r)], run_rates=rates.get(_identity(r), ())
        )
        for r in latest.values()
    ]
    measured.sort(key=_rank)
    return Selection(tuple(measured), tuple(_groups(measured)), len(edits) - len(latest))


def _identity(result: Result) -> tuple[object, ...]:
    """The same for all runs and components of a measurement."""
    return (result.session, result.job.bundle, result.job.concept, *_circumstances(result))


def _circumstances(result: Result) -> tuple[object, ...]:
    device, job = result.device, result.job
    # Every computer is called "local": its processor tells it from others of its kind.
    machine = (device.kind, device.name, device.model, device.cpu, device.os, device.simulated)
    return (machine, job.entry, job.mode, job.threads, job.compute_units, job.via, job.provider, job.clock)


def _groups(measured: Iterable[Measurement]) -> list[Group]:
    members: dict[tuple[object, ...], list[Measurement]] = {}
    for item in measured:
        if item.timing is not None:
            members.setdefault(_circumstances(item.result), []).append(item)
    return [Group(_compared(group)) for group in members.values()]


def _compared(group: list[Measurement]) -> tuple[Measurement, ...]:
    """The members, each with the circumstances that most of them do not share."""
    settings = [circumstances(item.result, item.entry) for item in group]
    usual = max(settings, key=lambda one: (settings.count(one), -settings.index(one)))
    return tuple(
        replace(item, differences=tuple(differing(usual, one))) for item, one in zip(group, settings, strict=True)
    )


def _timing(result: Result) -> Timing | None:
    if result.device.simulated or not result.frames:
        return None
    times_ns = frame_times(result.frames)
    if not times_ns:
        return None
    times_ms = np.asarray(times_ns, dtype=np.float64) / 1e6
    if float(np.median(times_ms)) <= 0:
        return None
    # Edits that were composed of few frames of a component that runs often are all alike.
    bounds = None if result.composed else _fps_bounds(times_ms, result.job.mode)
    return Timing(times_ms, frames_per_second(result.frames), bounds, summarise(times_ns))


def _rate(run: Result) -> float:
    """Frames per second of a single run; 0 where it has none that count."""
    times_ns = frame_times(run.frames)
    return frames_per_second(run.frames) if times_ns and np.median(times_ns) > 0 else 0.0


def _fps_bounds(times_ms: np.ndarray, mode: JobMode) -> tuple[float, float] | None:
    """Of the mean where frames overlap or come from a camera, of the median else; as `frames_per_second` has it."""
    if len(times_ms) < FEWEST_FOR_INTERVAL:
        return None
    interval_of = mean_interval if mode in ("throughput", "camera") else percentile_interval
    interval = interval_of(times_ms.tolist())
    return (1000 / interval.high, 1000 / interval.low) if interval.low > 0 else None


def speed(item: Measurement) -> float:
    """Frames per second, 0 where there is no timing."""
    return item.timing.fps if item.timing else 0.0


def _rank(item: Measurement) -> tuple[int, float, str]:
    return (ROLE_ORDER.index(item.role), -speed(item), item.name)
