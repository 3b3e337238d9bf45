"""A measuring session: which entries of which bundles run, in which order, and that nothing measured is lost."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pocketgan import console
from pocketgan.bench.devices import Device
from pocketgan.bench.journal import Journal, SampleRow
from pocketgan.bench.schema.job import Job, Warmup
from pocketgan.bench.schema.result import Result
from pocketgan.bundle import Bundle, open_bundle
from pocketgan.errors import DeviceError
from pocketgan.manifest import Entry


@dataclass(frozen=True)
class JobOptions:
    """What every Job of a session has in common (see Job). `entry` restricts it to one entry id."""

    mode: Literal["latency", "throughput", "sustained"] = "latency"
    iterations: int = 50
    rounds: int = 5
    warmup: int = 5
    threads: int = 1
    cold_repeats: int = 1
    entry: str | None = None


Key = tuple[str, str, str, str, int, int | None]


def measure(
    bundles: Sequence[Path],
    device: Device,
    options: JobOptions,
    journal_path: Path,
    samples: Mapping[str, Sequence[SampleRow]] | None = None,
    resume: bool = False,
) -> list[Result]:
    """Measure every entry of `bundles` that `device` can run, and append it to the results file.

    Bundles that share an entry id take turns, so that they can be compared. Results are appended as they come; a file
    that is there already is continued with a new session.

    Args:
        samples: sample rows for the results file, by bundle digest.
        resume: take over what the file already holds of the same bundle, entry, device, mode, threads and iterations;
            results without frames are measured again.
    Returns:
        One Result per bundle and entry, in the order of the bundles; what went wrong with a model is in its errors.
    Raises:
        BundleError: a bundle is damaged.
        DeviceError: the device is locked, or can run nothing of a bundle.
        ResultsError, StorageError: the results file is foreign or broken, or cannot be written.
    """
    with ExitStack() as stack:
        opened = _open_all(stack, bundles)
        work = [
            (bundle, plan_job(bundle, entry.id, options))
            for bundle in opened
            for entry in runnable_entries(bundle, device, options.entry)
        ]
        stack.enter_context(device.lock())
        journal = stack.enter_context(Journal(journal_path))
        for bundle in opened:
            journal.append_bundle(bundle.digest, bundle.manifest, (samples or {}).get(bundle.digest, ()))
        done = _held(journal, device) if resume else {}
        todo = [(bundle, job) for bundle, job in work if _key(job, device) not in done]
        if len(todo) < len(work):
            console.note(f"{len(work) - len(todo)} of {len(work)} entries are in {journal_path} already")
        session = new_session()
        frames = sum(job.iterations or 0 for _, job in todo)
        with console.progress("measuring", frames) as progress:
            for turn in _groups(todo):
                for result in device.run_interleaved(turn, session=session, tick=progress.advance):
                    journal.append_result(result)
                    done[_key(result.job, device)] = result
        return [done[_key(job, device)] for _, job in work]


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


def plan_job(bundle: Bundle, entry_id: str, options: JobOptions) -> Job:
    """The Job of one entry."""
    return Job(
        bundle=bundle.digest,
        entry=entry_id,
        mode=options.mode,
        warmup=Warmup(iterations=options.warmup),
        iterations=options.iterations,
        rounds=options.rounds,
        threads=options.threads,
        cold_repeats=options.cold_repeats,
    )


def _groups(work: list[tuple[Bundle, Job]]) -> list[list[tuple[Bundle, Job]]]:
    """Jobs that take turns: those of one entry id."""
    groups: dict[str, list[tuple[Bundle, Job]]] = {}
    for bundle, job in work:
        groups.setdefault(job.entry, []).append((bundle, job))
    return list(groups.values())


def _key(job: Job, device: Device) -> Key:
    return (job.bundle, job.entry, device.name, job.mode, job.threads, job.iterations)


def _held(journal: Journal, device: Device) -> dict[Key, Result]:
    """The latest good result of each key on this device."""
    return {
        _key(result.job, device): result
        for result in journal.results.results
        if result.frames and result.device.name == device.name
    }


def new_session() -> str:
    """Name of a session: when it began, and something that no other has."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
