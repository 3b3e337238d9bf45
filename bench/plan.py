"""The plan of a session: which jobs it runs, in which order, what of it is done, and when more runs are needed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from pocketgan import console
from pocketgan.bench.devices.device import Device
from pocketgan.bench.jobs import JobOptions, drawn_entries, must_have_concepts, plan_job
from pocketgan.bench.runners.planning import component_names
from pocketgan.bench.runs import composed, joined
from pocketgan.bench.schema.job import Job
from pocketgan.bench.schema.result import DeviceInfo, Result
from pocketgan.bench.statistics import frame_times, frames_needed, half_width, percentile_interval
from pocketgan.bundle.reader import Bundle

Work = tuple[Bundle, Job]
Key = tuple[str, str, str | None, str | None, int]


class SessionPlan:
    """Every entry that a device can run, of packs with the asked concepts, component by component, in several runs;
    results are taken as they come.

    Attributes:
        runs: how many there are at first. most_runs: how many there are at most, for the sake of `options.until`.
        done: the results that were taken, by bundle, entry, concept, component and run.
    Raises:
        BundleError: a pack lacks an asked concept, or there is no pack.
        DeviceError: the device can run nothing of a bundle.
    """

    def __init__(self, bundles: Sequence[Bundle], device: Device, options: JobOptions) -> None:
        self.runs = options.processes
        self.most_runs = self.runs if options.until is None else max(self.runs, options.most_runs)
        self.done: dict[Key, Result] = {}
        self._until = options.until
        self._manifests = {bundle.digest: bundle.manifest for bundle in bundles}
        must_have_concepts(bundles, options.concepts)
        self._parts = [
            (bundle, entry.id, concept, component)
            for bundle in bundles
            for entry, concept in drawn_entries(bundle, device, options.entry, options.concepts, options.provider)
            for component in component_names(entry)
        ]
        self._jobs = [
            [
                (bundle, plan_job(bundle, entry, options, run, component, concept))
                for bundle, entry, concept, component in self._parts
            ]
            for run in range(self.most_runs)
        ]

    def take_over(self, results: Sequence[Result], device: DeviceInfo) -> str | None:
        """Take the latest good result of each of the jobs on that device; the session of the last one, None where
        there is none. That a Result was marked as simulated, of a device that is not, makes it no other device."""
        jobs = {job.model_dump_json() for job in self.jobs}
        held = [
            result
            for result in results
            if result.frames
            and result.device.model_copy(update={"simulated": device.simulated}) == device
            and result.job.model_dump_json() in jobs
        ]
        for result in held:
            self.take(result)
        return held[-1].session if held else None

    def take(self, result: Result) -> None:
        """A job is done."""
        self.done[_key(result.job)] = result

    @property
    def jobs(self) -> list[Job]:
        """Every job that may be run, done or not."""
        return [job for work in self._jobs for _, job in work]

    @property
    def planned_runs(self) -> int:
        """How many runs of all entries together there are at first."""
        return len(self._parts) * self.runs

    @property
    def steps(self) -> int:
        """Frames, or seconds of sustained runs, that are planned at first and still missing."""
        jobs = [job for run in range(self.runs) for _, job in self._missing(run)]
        return sum(job.iterations or round(job.duration_s or 0) for job in jobs)

    def groups(self) -> Iterator[list[Work]]:
        """What is still missing, run by run, as groups of jobs that take turns.

        The results of a group must have been taken before the next group is asked for: after the planned runs they
        decide whether more are needed, of which users are told.
        """
        for run in range(self.most_runs):
            if run >= self.runs and not self._goes_on(run):
                return
            yield from self._groups_of(run)
        self._say_what_is_undecided()

    def batches(self) -> Iterator[list[list[Work]]]:
        """The same groups for a device that is handed a whole session at once: those of all planned runs, then of run
        after run where more are needed."""
        planned = [group for run in range(self.runs) for group in self._groups_of(run)]
        if planned:
            yield planned
        for run in range(self.runs, self.most_runs):
            if not self._goes_on(run):
                return
            if groups := self._groups_of(run):
                yield groups
        self._say_what_is_undecided()

    def _groups_of(self, run: int) -> list[list[Work]]:
        groups = _by_entry(self._missing(run))
        # Back to front every second time: no group is always the one that finds the device cool.
        return groups if run % 2 == 0 else groups[::-1]

    def _say_what_is_undecided(self) -> None:
        if self._until is not None and _more_runs(self.done.values(), self._until):
            console.note(f"not {self._wish} after {self.most_runs} runs; --most-runs allows more")

    def outcome(self) -> list[Result]:
        """One Result per bundle, entry and concept, its runs joined and its components composed, in the order of the
        bundles."""
        runs = range(self.most_runs)
        measured = [
            joined([self.done[key] for run in runs if (key := (*of, run)) in self.done])
            for of in ((bundle.digest, entry, concept, component) for bundle, entry, concept, component in self._parts)
        ]
        return composed(measured, self._manifests)

    def _missing(self, run: int) -> list[Work]:
        return [(bundle, job) for bundle, job in self._jobs[run] if _key(job) not in self.done]

    def _goes_on(self, run: int) -> bool:
        """Whether the medians are not known well enough before a run beyond the planned ones."""
        assert self._until is not None
        more = _more_runs(self.done.values(), self._until)
        if more and run == self.runs:
            console.note(f"not yet {self._wish}: about {more} more runs, {self.most_runs} in all at most")
        return more > 0

    @property
    def _wish(self) -> str:
        return f"known to ±{100 * (self._until or 0):g} %"


def _more_runs(results: Iterable[Result], until: float) -> int:
    """How many more runs would bring the median of every entry to ±`until` if they go on as they were, 0 where all are
    there. What gave no frames has none to wait for."""
    runs: dict[tuple[str, str, str | None, str | None], list[list[int]]] = {}
    for result in results:
        runs.setdefault(_key(result.job)[:4], []).append(frame_times(result.frames))
    more = 0
    for entry in runs.values():
        times = [time for run in entry for time in run]
        interval = percentile_interval(times) if times else None
        if interval is not None and half_width(interval) > until:
            frames = frames_needed(interval, len(times), until)
            more = max(more, 1, math.ceil((frames / len(times) - 1) * len(entry)))
    return more


def _by_entry(work: Sequence[Work]) -> list[list[Work]]:
    """Jobs that take turns: those of one entry id, whatever concept they draw. A component of several has no equal in
    other bundles."""
    groups: dict[tuple[str, str | None], list[Work]] = {}
    for bundle, job in work:
        groups.setdefault((job.entry, job.component), []).append((bundle, job))
    return list(groups.values())


def _key(job: Job) -> Key:
    return (job.bundle, job.entry, job.concept, job.component, job.run)
