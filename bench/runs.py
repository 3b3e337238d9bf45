"""A session measures an entry in several runs, each in a process of its own, and component by component: which results
belong together, and what they say as one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from pocketgan.bench.schema.result import Frame, MeasuredParity, Memory, Result
from pocketgan.bench.statistics import round_times
from pocketgan.bundle.manifest import Component, Manifest

NS_PER_MS = 1e6


def measurements(results: Iterable[Result]) -> list[list[Result]]:
    """Runs that belong together: of one session, device and job. Where a run was repeated, because it failed or a
    session was resumed, the last that has frames counts. Measurements are in the order of their last run."""
    runs_of_job: dict[tuple[str, str, str], dict[int, Result]] = {}
    for result in results:
        key = (result.session, result.device.model_dump_json(), result.job.model_dump_json(exclude={"run"}))
        runs = runs_of_job.pop(key, {})
        before = runs.get(result.job.run)
        if before is None or result.frames or not before.frames:
            runs[result.job.run] = result
        runs_of_job[key] = runs
    return [[runs[number] for number in sorted(runs)] for runs in runs_of_job.values()]


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
        for name in ("file_cache", "cold_load_ns", "warm_load_ns", "first_inference_ns", "conditions", "charger_checks")
    }
    iterations = [run.job.iterations for run in runs if run.job.iterations is not None]
    job = first.job.model_copy(
        update={"run": 0, "rounds": rounds, "iterations": sum(iterations) if iterations else None}
    )
    last = {
        name: next((value for run in reversed(runs) if (value := getattr(run, name)) is not None), None)
        for name in ("memory", "parity", "parity_after", "cool_down", "warmup", "placement", "clock")
    }
    dropped = [run.dropped_frames for run in runs if run.dropped_frames is not None]
    errors = list(dict.fromkeys(error for run in runs for error in run.errors))
    return first.model_copy(
        update={
            **lists,
            **last,
            "frames": frames,
            "job": job,
            "errors": errors,
            "dropped_frames": sum(dropped) if dropped else None,
        }
    )


def composed(results: Sequence[Result], manifests: Mapping[str, Manifest]) -> list[Result]:
    """Results of components that belong to one entry as one Result of whole edits, in the place of the first; results
    of entries with a single component as they are.

    An edit takes what its components take, each as often as its `repeat` says: as many consecutive frames of it, from
    where the last edit ended, are added up. There are as many edits as the component that was timed least has frames.

    Args:
        results: joined runs (see `joined`). manifests: by bundle digest.
    """
    parts: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        key = result.model_dump_json(include={"session", "device"}), result.job.model_dump_json(exclude={"component"})
        alone = "" if result.job.component is not None else str(len(parts))
        parts.setdefault((*key, alone), []).append(result)
    return [
        of[0] if of[0].job.component is None else _composed(of, manifests[of[0].job.bundle]) for of in parts.values()
    ]


def _composed(parts: Sequence[Result], manifest: Manifest) -> Result:
    entry = manifest.entry(parts[0].job.entry)
    by_name = {part.job.component: part for part in parts}
    errors = [f"{part.job.component}: {error}" for part in parts for error in part.errors]
    missing = [one.name for one in entry.components if one.name not in by_name or not by_name[one.name].frames]
    if missing:
        errors.append(f"no frames of the components {', '.join(missing)}, so that no edit can be composed")
    sampled = [] if missing else [(one, by_name[one.name].frames) for one in entry.components]
    count = min((len(frames) for _, frames in sampled), default=0)
    edits = [_edit(sampled, number) for number in range(count)]
    cold, warm, first = (
        [sum(times) for times in zip(*(getattr(part, name) for part in parts), strict=False)]
        for name in ("cold_load_ns", "warm_load_ns", "first_inference_ns")
    )
    return parts[0].model_copy(
        update={
            "job": parts[0].job.model_copy(update={"component": None}),
            "composed": True,
            "frames": edits,
            "errors": errors,
            "cold_load_ns": cold,
            "warm_load_ns": warm,
            "first_inference_ns": first,
            "memory": _together([part.memory for part in parts if part.memory is not None]),
            "conditions": [state for part in parts for state in part.conditions],
            "parity": _worst([part.parity for part in parts if part.parity is not None]),
        }
    )


def _edit(sampled: Sequence[tuple[Component, Sequence[Frame]]], number: int) -> Frame:
    pre = inference = post = 0
    for component, frames in sampled:
        for step in range(component.repeat):
            frame = frames[(number * component.repeat + step) % len(frames)]
            pre, post = pre + frame.pre_ns, post + frame.post_ns
            inference += frame.inference_ns
    return Frame(
        start_ns=sampled[0][1][number].start_ns, pre_ns=pre, inference_ns=inference, post_ns=post, round=number
    )


def _together(memories: Sequence[Memory]) -> Memory | None:
    """All components loaded at once, on one runtime."""
    if not memories:
        return None
    runtime = max(memory.runtime_bytes for memory in memories)
    own = sum(max(memory.peak_bytes - memory.runtime_bytes, 0) for memory in memories)
    return Memory(runtime_bytes=runtime, peak_bytes=runtime + own)


def _worst(parities: Sequence[MeasuredParity]) -> MeasuredParity | None:
    return min(parities, key=lambda one: math.inf if one.psnr_db is None else one.psnr_db, default=None)


def turn_times(runs: Sequence[Result]) -> dict[tuple[str, int], list[float]]:
    """Frame times in milliseconds by turn, named by process (session and run, where a device names none) and round:
    turns of one name on both sides of a comparison lay side by side in time."""
    return {
        (run.process or f"{run.session} {run.job.run}", number): [time / NS_PER_MS for time in times]
        for run in runs
        for number, times in round_times(run.frames).items()
        if times
    }


def paired(base: Sequence[Result], candidate: Sequence[Result]) -> bool:
    """Whether the two took turns, so that what the machine did meanwhile cancels."""
    return turn_times(base).keys() == turn_times(candidate).keys()
