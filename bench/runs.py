"""A session measures an entry in several runs, each in a process of its own: which belong together, and as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pocketgan.bench.schema.result import Result
from pocketgan.bench.statistics import round_times

NS_PER_MS = 1e6


def measurements(results: Iterable[Result]) -> list[list[Result]]:
    """Runs that belong together: of one session, device and job. Where a run was repeated, because it failed or a
    session was resumed, the last that has frames counts. Measurements are in the order of their last run."""
    found: dict[tuple[str, str, str], dict[int, Result]] = {}
    for result in results:
        key = (result.session, result.device.model_dump_json(), result.job.model_dump_json(exclude={"run"}))
        runs = found.pop(key, {})
        before = runs.get(result.job.run)
        if before is None or result.frames or not before.frames:
            runs[result.job.run] = result
        found[key] = runs
    return [[runs[number] for number in sorted(runs)] for runs in found.values()]


def joined(runs: Sequence[Result]) -> Result:
    """One Result of runs that belong together, in their order, rounds numbered on."""
    first = runs[0]
    if len(runs) == 1:
        return first
    frames, rounds = [], 0
    for run in runs:
        frames += [frame.model_copy(update={"round": frame.round + rounds}) for frame in run.frames]
        rounds += run.job.rounds
    lists = {
        name: [value for run in runs for value in getattr(run, name)]
        for name in ("file_cache", "cold_load_ns", "warm_load_ns", "first_inference_ns", "conditions")
    }
    iterations = [run.job.iterations for run in runs if run.job.iterations is not None]
    job = first.job.model_copy(
        update={"run": 0, "rounds": rounds, "iterations": sum(iterations) if iterations else None}
    )
    last = {
        name: next((value for run in reversed(runs) if (value := getattr(run, name)) is not None), None)
        for name in ("memory", "parity", "cool_down", "warmup")
    }
    errors = list(dict.fromkeys(error for run in runs for error in run.errors))
    return first.model_copy(update={**lists, **last, "frames": frames, "job": job, "errors": errors})


def turn_times(runs: Sequence[Result]) -> dict[tuple[str, int], list[float]]:
    """Frame times in milliseconds by turn, named by process (session and run, where a device names none) and round:
    turns of one name on both sides of a comparison lay side by side in time."""
    return {
        (run.process or f"{run.session} {run.job.run}", number): [time / NS_PER_MS for time in times]
        for run in runs
        for number, times in round_times(run.frames).items()
        if times
    }
