"""Two bundles measured in turns until the gate decides."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from pocketgan import console
from pocketgan.bench.devices.device import Device
from pocketgan.bench.devices.waiting import locked
from pocketgan.bench.gate import judge
from pocketgan.bench.jobs import JobOptions, drawn_entries, must_have_concepts, options_on, plan_job
from pocketgan.bench.journal import BundleRecord, Journal
from pocketgan.bench.looks import looks
from pocketgan.bench.naming import drawn_name
from pocketgan.bench.runners.planning import component_names
from pocketgan.bench.schema.result import Result
from pocketgan.bench.session import new_session
from pocketgan.bench.verdict import CONFIDENCE, Pair
from pocketgan.bundle.reader import Bundle, open_bundle
from pocketgan.errors import DeviceError

# Rounds that one process measures; what a process is lucky or unlucky with (where its memory lies) is drawn anew in
# the next one.
ROUNDS_A_PROCESS = 5
FRAMES_A_TURN = 10
# Entry id, the concept that it draws in a pack, and the component where it has several.
Part = tuple[str, str | None, str | None]


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
    *,
    budget_ms: float | None = None,
    wait_s: float = 0,
) -> list[Comparison]:
    """Measure the entries that both bundles have, of packs by concept, or each other's only one, and judge them.

    The gate looks after `options.rounds`, and then while it is undecided each time that they have doubled, up to
    `most_rounds`. With `journal_path` every run is appended to that results file.

    Args:
        budget_ms: what a frame of the candidate may take.
        wait_s: how long to wait for a device that is busy.
    Raises:
        BundleError: a bundle is damaged.
        DeviceError: the device is locked, or the bundles share no entry that it can run.
        ResultsError, StorageError: the results file is foreign or broken, or cannot be written.
    """
    options = options_on(device, options)
    with ExitStack() as stack:
        one, other = (stack.enter_context(open_bundle(path)) for path in (base, candidate))
        matched = _matched(one, other, device, options)
        stack.enter_context(locked(device, wait_s))
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
                budget_ms=budget_ms,
                session=session,
                journal=journal,
            )
            for sides in matched
        ]


def _matched(base: Bundle, candidate: Bundle, device: Device, options: JobOptions) -> list[tuple[Part, Part]]:
    """Entries, concept by concept and component by component, that both bundles have; where a side draws one concept
    alone, such as a bundle that is no pack, it is that; each other's only entry whatever it is called."""
    must_have_concepts((base, candidate), options.concepts)
    sides: list[list[Part]] = [
        [
            (entry.id, concept, component)
            for entry, concept in drawn_entries(bundle, device, options.entry, options.concepts, options.provider)
            for component in component_names(entry)
        ]
        for bundle in (base, candidate)
    ]
    if len(sides[0]) == len(sides[1]) == 1:
        return [(sides[0][0], sides[1][0])]
    shared = [(part, part) for part in sides[0] if part in sides[1]]
    if not shared and all(len({concept for _, concept, _ in side}) == 1 for side in sides):
        shared = [(one, other) for one in sides[0] for other in sides[1] if (one[0], one[2]) == (other[0], other[2])]
    if not shared:
        there = [", ".join(dict.fromkeys(drawn_name(entry, concept) for entry, concept, _ in side)) for side in sides]
        raise DeviceError(
            f"the bundles share no entry that device {device.name} can run: {base.path} has {there[0]}, "
            f"{candidate.path} {there[1]}"
        )
    return shared


def _decided(
    base: tuple[Bundle, str, str | None, str | None],
    candidate: tuple[Bundle, str, str | None, str | None],
    device: Device,
    options: JobOptions,
    *,
    tolerances: Mapping[str, float],
    most_rounds: int,
    budget_ms: float | None,
    session: str,
    journal: Journal | None,
) -> Comparison:
    records = [BundleRecord(digest=bundle.digest, manifest=bundle.manifest) for bundle, *_ in (base, candidate)]
    runs: tuple[list[Result], list[Result]] = ([], [])
    schedule, rounds = looks(options.rounds, most_rounds, CONFIDENCE, ROUNDS_A_PROCESS), 0
    for rounds_due in schedule:
        with console.progress(f"measuring {candidate[1]}", (rounds_due - rounds) * FRAMES_A_TURN * 2) as progress:
            while rounds < rounds_due:
                count = min(ROUNDS_A_PROCESS, rounds_due - rounds)
                run_options = replace(options, rounds=count, iterations=count * FRAMES_A_TURN, runs=1)
                work = [
                    (bundle, plan_job(bundle, entry, run_options, len(runs[0]), component, concept))
                    for bundle, entry, concept, component in (base, candidate)
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
        pair = judge((runs[0], records[0]), (runs[1], records[1]), tolerances, budget_ms=budget_ms, looks=len(schedule))
        if not _undecided(pair):
            break
        if rounds < schedule[-1]:
            more = next(due for due in schedule if due > rounds) - rounds
            console.note(f"{candidate[1]}: undecided after {rounds} rounds; measuring {more} more")
    return Comparison(pair, tuple(runs[0]), tuple(runs[1]))


def _undecided(pair: Pair) -> bool:
    """Whether more rounds would help."""
    if pair.budget is not None and pair.budget.frames is not None:
        return True
    return not pair.differences and any(one.rounds is not None for one in pair.metrics)
