"""Two bundles measured in turns until the gate decides."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from pocketgan import console
from pocketgan.bench.devices.device import Device
from pocketgan.bench.gate import Pair, judge
from pocketgan.bench.jobs import JobOptions, plan_job, runnable_entries
from pocketgan.bench.journal import BundleRecord, Journal
from pocketgan.bench.runners.planning import component_names
from pocketgan.bench.schema.result import Result
from pocketgan.bench.session import new_session
from pocketgan.bundle.reader import Bundle, open_bundle
from pocketgan.errors import DeviceError

# Rounds that one process measures; what a process is lucky or unlucky with (where its memory lies) is drawn anew in
# the next one.
ROUNDS_A_PROCESS = 5
FRAMES_A_TURN = 10
# Entry id, and the component where it has several.
Part = tuple[str, str | None]


@dataclass(frozen=True)
class Comparison:
    """What the gate says of two entries, and the runs that it says it of."""

    pair: Pair
    base: tuple[Result, ...]
    candidate: tuple[Result, ...]


def compare_bundles(
    base: Path,
    candidate: Path,
    device: Device,
    options: JobOptions,
    tolerances: Mapping[str, float],
    most_rounds: int,
    journal_path: Path | None = None,
) -> list[Comparison]:
    """Measure the entries that both bundles have, or each other's only one, and judge them.

    `options.rounds` are measured first, then as many more as the gate asks for, up to `most_rounds`. With
    `journal_path` every run is appended to that results file.

    Raises:
        BundleError: a bundle is damaged.
        DeviceError: the device is locked, or the bundles share no entry that it can run.
        ResultsError, StorageError: the results file is foreign or broken, or cannot be written.
    """
    with ExitStack() as stack:
        one, other = (stack.enter_context(open_bundle(path)) for path in (base, candidate))
        matched = _matched(one, other, device, options)
        stack.enter_context(device.lock())
        journal = None if journal_path is None else stack.enter_context(Journal(journal_path))
        if journal is not None:
            for bundle in (one, other):
                journal.append_bundle(bundle.digest, bundle.manifest)
        session = new_session()
        return [
            _decided(
                (one, *sides[0]),
                (other, *sides[1]),
                device,
                options,
                tolerances=tolerances,
                most_rounds=most_rounds,
                session=session,
                journal=journal,
            )
            for sides in matched
        ]


def _matched(base: Bundle, candidate: Bundle, device: Device, options: JobOptions) -> list[tuple[Part, Part]]:
    """Entries, component by component, that both bundles have; each other's only one whatever it is called."""
    sides = [
        [
            (entry.id, component)
            for entry in runnable_entries(bundle, device, options.entry)
            for component in component_names(entry)
        ]
        for bundle in (base, candidate)
    ]
    if len(sides[0]) == len(sides[1]) == 1:
        return [(sides[0][0], sides[1][0])]
    shared = [part for part in sides[0] if part in sides[1]]
    if not shared:
        there = [", ".join(dict.fromkeys(entry for entry, _ in side)) for side in sides]
        raise DeviceError(
            f"the bundles share no entry that device {device.name} can run: {base.path} has {there[0]}, "
            f"{candidate.path} {there[1]}"
        )
    return [(part, part) for part in shared]


def _decided(
    base: tuple[Bundle, str, str | None],
    candidate: tuple[Bundle, str, str | None],
    device: Device,
    options: JobOptions,
    *,
    tolerances: Mapping[str, float],
    most_rounds: int,
    session: str,
    journal: Journal | None,
) -> Comparison:
    records = [BundleRecord(digest=bundle.digest, manifest=bundle.manifest) for bundle, *_ in (base, candidate)]
    runs: tuple[list[Result], list[Result]] = ([], [])
    rounds_due, rounds = options.rounds, 0
    while True:
        with console.progress(f"measuring {candidate[1]}", (rounds_due - rounds) * FRAMES_A_TURN * 2) as progress:
            while rounds < rounds_due:
                count = min(ROUNDS_A_PROCESS, rounds_due - rounds)
                run_options = replace(options, rounds=count, iterations=count * FRAMES_A_TURN, runs=1)
                work = [
                    (bundle, plan_job(bundle, entry, run_options, len(runs[0]), component))
                    for bundle, entry, component in (base, candidate)
                ]
                results = device.run_interleaved(work, session=session, tick=progress.advance)
                failed = next((error for result in results if not result.frames for error in result.errors), None)
                if failed is not None:
                    raise DeviceError(f"{candidate[1]} cannot be compared: {failed}")
                for side, result in zip(runs, results, strict=True):
                    side.append(result)
                    if journal is not None:
                        journal.append_result(result)
                rounds += count
        pair = judge((runs[0], records[0]), (runs[1], records[1]), tolerances)
        asked_for = [one.rounds for one in pair.metrics if one.rounds is not None]
        if pair.differences or not asked_for or rounds >= most_rounds:
            return Comparison(pair, tuple(runs[0]), tuple(runs[1]))
        rounds_due = min(most_rounds, max(asked_for))
        console.note(f"{candidate[1]}: undecided after {rounds} rounds; measuring {rounds_due - rounds} more")
