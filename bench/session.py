"""A measuring session: which entries of which bundles run, in which order, and that nothing measured is lost."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pocketgan import console
from pocketgan.bench.devices import Device
from pocketgan.bench.journal import Journal, SampleRow
from pocketgan.bench.runners.planning import component_names
from pocketgan.bench.runs import composed, joined
from pocketgan.bench.schema.job import CoolDown, Job, Warmup
from pocketgan.bench.schema.result import Result
from pocketgan.bench.statistics import frame_times, frames_needed, half_width, percentile_interval
from pocketgan.bundle.manifest import Entry
from pocketgan.bundle.reader import Bundle, open_bundle
from pocketgan.errors import DeviceError


@dataclass(frozen=True)
class JobOptions:
    """What every Job of a session has in common (see Job). `entry` restricts it to one entry id.

    `iterations` and `rounds` are split evenly over `runs`, rounded up; each run is a process of its own, because what a
    process is lucky or unlucky with (where its memory lies) is drawn anew in the next one. Mode `sustained` takes
    `duration_s` instead and one run. With `until`, a share, there are as many more runs (`most_runs` in all) as it
    takes until the 95 % interval of every entry's median is that narrow on both sides.
    """

    mode: Literal["latency", "throughput", "sustained"] = "latency"
    iterations: int = 60
    rounds: int = 12
    warmup: Warmup = field(default_factory=Warmup)
    threads: int = 1
    cold_repeats: int = 1
    entry: str | None = None
    runs: int = 3
    duration_s: float = 60.0
    cool_down: CoolDown | None = None
    until: float | None = None
    most_runs: int = 20

    @property
    def processes(self) -> int:
        """How many runs there are."""
        return 1 if self.mode == "sustained" else min(self.runs, self.iterations)


Key = tuple[str, str, str | None, int]


def measure(
    bundles: Sequence[Path],
    device: Device,
    options: JobOptions,
    journal_path: Path,
    samples: Mapping[str, Sequence[SampleRow]] | None = None,
    resume: bool = False,
) -> list[Result]:
    """Measure every entry of `bundles` that `device` can run, and append it to the results file.

    Bundles that share an entry id take turns, so that they can be compared. Each run is appended when it ends, so that
    an interrupted session loses no more than the one under way; a file that is there already is continued with a new
    session.

    Args:
        samples: sample rows for the results file, by bundle digest.
        resume: take over the runs that the file already holds of the same jobs on this device, and go on in their
            session; runs without frames are measured again.
    Returns:
        One Result per bundle and entry, its runs joined and its components composed, in the order of the bundles; what
        went wrong with a model is in its errors.
    Raises:
        BundleError: a bundle is damaged.
        DeviceError: the device is locked, or can run nothing of a bundle.
        ResultsError, StorageError: the results file is foreign or broken, or cannot be written.
    """
    with ExitStack() as stack:
        opened = _open_all(stack, bundles)
        entries = [
            (bundle, entry.id, component)
            for bundle in opened
            for entry in runnable_entries(bundle, device, options.entry)
            for component in component_names(entry)
        ]
        stack.enter_context(device.lock())
        journal = stack.enter_context(Journal(journal_path))
        for bundle in opened:
            journal.append_bundle(bundle.digest, bundle.manifest, (samples or {}).get(bundle.digest, ()))
        most = options.processes if options.until is None else max(options.processes, options.most_runs)
        plan = [
            [(bundle, plan_job(bundle, entry, options, run, component)) for bundle, entry, component in entries]
            for run in range(most)
        ]
        done, session = _held(journal, device, [job for jobs in plan for _, job in jobs]) if resume else ({}, None)
        if done:
            console.note(f"{len(done)} of {len(entries) * options.processes} runs are in {journal_path} already")
        session = session or new_session()
        todo = [[(bundle, job) for bundle, job in jobs if _key(job) not in done] for jobs in plan]
        planned = [job for jobs in todo[: options.processes] for _, job in jobs]
        steps = sum(job.iterations or round(job.duration_s or 0) for job in planned)
        wished = f"known to ±{100 * (options.until or 0):g} %"
        with console.progress("measuring", steps) as progress, _told_where(journal_path):
            for number, jobs in enumerate(todo):
                if options.until is not None and number >= options.processes:
                    more = _more_runs(done.values(), options.until)
                    if not more:
                        break
                    if number == options.processes:
                        console.note(f"not yet {wished}: about {more} more runs, {most} in all at most")
                # Back to front every second time: no group is always the one that finds the device cool.
                groups = _groups(jobs)
                for group in groups if number % 2 == 0 else reversed(groups):
                    for result in device.run_interleaved(group, session=session, tick=progress.advance):
                        journal.append_result(result)
                        done[_key(result.job)] = result
            else:
                if options.until is not None and _more_runs(done.values(), options.until):
                    console.note(f"not {wished} after {most} runs; --most-runs allows more")
        found = [
            joined([done[key] for run in range(most) if (key := (bundle.digest, entry, component, run)) in done])
            for bundle, entry, component in entries
        ]
        return composed(found, {bundle.digest: bundle.manifest for bundle in opened})


@contextmanager
def _told_where(path: Path) -> Iterator[None]:
    """Say, when the user stops it, where the runs so far are."""
    try:
        yield
    except KeyboardInterrupt:
        console.note(f"{path} holds the runs that were complete; --resume goes on from there")
        raise


def _more_runs(results: Iterable[Result], until: float) -> int:
    """How many more runs would bring the median of every entry to ±`until` if they go on as they were, 0 where all are
    there. What gave no frames has none to wait for."""
    runs: dict[tuple[str, str, str | None], list[list[int]]] = {}
    for result in results:
        job = result.job
        runs.setdefault((job.bundle, job.entry, job.component), []).append(frame_times(result.frames))
    more = 0
    for entry in runs.values():
        times = [time for run in entry for time in run]
        interval = percentile_interval(times) if times else None
        if interval is not None and half_width(interval) > until:
            needed = frames_needed(interval, len(times), until)
            more = max(more, 1, math.ceil((needed / len(times) - 1) * len(entry)))
    return more


def _open_all(stack: ExitStack, paths: Sequence[Path]) -> list[Bundle]:
    """The bundles, each once, in order."""
    opened: dict[str, Bundle] = {}
    for path in paths:
        bundle = stack.enter_context(open_bundle(path))
        opened.setdefault(bundle.digest, bundle)
    return list(opened.values())


def runnable_entries(bundle: Bundle, device: Device, entry_id: str | None) -> list[Entry]:
    """The entries that the device can run, or the one of that id.

    Raises:
        DeviceError: there is none.
    """
    entries = bundle.manifest.entries
    there = ", ".join(entry.id for entry in entries)
    if entry_id is not None:
        entries = [entry for entry in entries if entry.id == entry_id]
        if not entries:
            raise DeviceError(f"{bundle.path} has no entry {entry_id}; it has: {there}")
    runnable = [entry for entry in entries if device.runs(entry)]
    if not runnable:
        asked = entry_id or f"none of the entries of {bundle.path} ({there})"
        verb = "cannot run" if entry_id else "can run"
        raise DeviceError(f"device {device.name} {verb} {asked}; it runs: {', '.join(device.runtimes) or 'nothing'}")
    return runnable


def plan_job(bundle: Bundle, entry_id: str, options: JobOptions, run: int = 0, component: str | None = None) -> Job:
    """The Job of one run of one entry, or of one of its components."""
    sustained = options.mode == "sustained"
    return Job(
        bundle=bundle.digest,
        entry=entry_id,
        component=component,
        mode=options.mode,
        warmup=options.warmup,
        iterations=None if sustained else -(-options.iterations // options.processes),
        duration_s=options.duration_s if sustained else None,
        rounds=1 if sustained else -(-options.rounds // options.processes),
        run=run,
        threads=options.threads,
        cold_repeats=options.cold_repeats,
        cool_down=options.cool_down,
    )


def _groups(work: list[tuple[Bundle, Job]]) -> list[list[tuple[Bundle, Job]]]:
    """Jobs that take turns: those of one entry id. A component of several has no equal in other bundles."""
    groups: dict[tuple[str, str | None], list[tuple[Bundle, Job]]] = {}
    for bundle, job in work:
        groups.setdefault((job.entry, job.component), []).append((bundle, job))
    return list(groups.values())


def _key(job: Job) -> Key:
    return (job.bundle, job.entry, job.component, job.run)


def _held(journal: Journal, device: Device, jobs: Sequence[Job]) -> tuple[dict[Key, Result], str | None]:
    """The latest good result of each of the jobs on this device, and the session of the last of them."""
    there = device.describe()
    wanted = {job.model_dump_json() for job in jobs}
    found = [
        result
        for result in journal.results.results
        if result.frames and result.device == there and result.job.model_dump_json() in wanted
    ]
    return {_key(result.job): result for result in found}, found[-1].session if found else None


def new_session() -> str:
    """Name of a session: when it began, and something that no other has."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
