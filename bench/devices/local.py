"""This host as a device: one subprocess per runtime, one runtime after the other."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Literal

from pocketgan.bench.devices.cool_down import wait_until_cool
from pocketgan.bench.devices.device import Tick
from pocketgan.bench.devices.host import conditions, describe_host
from pocketgan.bench.devices.lock import device_lock
from pocketgan.bench.devices.recording import Recording, recording, take
from pocketgan.bench.devices.turn_groups import turn_groups
from pocketgan.bench.naming import job_name
from pocketgan.bench.runners.planning import component_names
from pocketgan.bench.runners.process import STALL_TIMEOUT_S, Event, run_plan
from pocketgan.bench.runners.protocol import Plan, WarmupPlan
from pocketgan.bench.schema.job import CoolDown, Job
from pocketgan.bench.schema.result import DeviceInfo, Result
from pocketgan.bundle.manifest import Entry
from pocketgan.bundle.reader import Bundle
from pocketgan.errors import DeviceError
from pocketgan.scratch import scratch_folder
from pocketgan.targets import RUNTIMES, runs_on_host

CONDITIONS_INTERVAL_S = 10.0
TASKS: dict[str, Literal["time", "overlap", "sustain"]] = {
    "latency": "time",
    "throughput": "overlap",
    "sustained": "sustain",
}


class LocalDevice:
    """This host.

    Args:
        stall_timeout_s: seconds of silence after which a runner counts as hung.
        lock_folder: where the lock file lies; the user's cache folder if None.
    """

    name = "local"
    simulated = False

    def __init__(self, stall_timeout_s: float = STALL_TIMEOUT_S, lock_folder: Path | None = None) -> None:
        self._stall_timeout_s = stall_timeout_s
        self._lock_folder = lock_folder

    @cached_property
    def runtimes(self) -> tuple[str, ...]:
        """The runtimes whose Python packages are installed."""
        return tuple(name for name, runtime in RUNTIMES.items() if runtime.installed)

    def describe(self) -> DeviceInfo:
        """See Device."""
        return describe_host(self.name)

    def runs(self, entry: Entry) -> bool:
        """Entries of a runtime that is installed and whose target computes on a CPU."""
        return entry.runtime in self.runtimes and runs_on_host(entry.target, entry.runtime)

    def lock(self) -> AbstractContextManager[None]:
        """See Device."""
        return device_lock(self.name, self._lock_folder)

    def run(self, bundle: Bundle, job: Job) -> Result:
        """See Device."""
        return self.run_interleaved([(bundle, job)])[0]

    def run_interleaved(
        self, work: Sequence[tuple[Bundle, Job]], *, session: str = "", tick: Tick | None = None
    ) -> list[Result]:
        """See Device. Jobs of one runtime take turns where they ask for the same rounds."""
        _must_be_here([job for _, job in work])
        report = tick or _silent
        device = self.describe()
        with scratch_folder() as folder:
            runs = [recording(bundle, job, Path(folder) / _folder_name(job)) for bundle, job in work]
            for numbers in turn_groups([(run.entry, run.job) for run in runs]):
                group = [runs[number] for number in numbers]
                for run in group:
                    self._measure_fresh(run, report)
                self._measure_frames([run for run in group if not run.failed], report)
        return [run.result(device, session) for run in runs]

    def check(self, work: Sequence[tuple[Bundle, str, str | None]]) -> list[list[str]]:
        """See Device."""
        with scratch_folder() as folder:
            answers: list[list[str]] = []
            for bundle, entry, concept in work:
                problems: list[str] = []
                for component in component_names(bundle.manifest.entry(entry)):
                    job = Job(bundle=bundle.digest, entry=entry, component=component, concept=concept)
                    run = recording(bundle, job, Path(folder) / _folder_name(job))
                    self._run([run], Plan("check", (run.model,)), _silent)
                    problems += [error if component is None else f"{component}: {error}" for error in run.errors]
                answers.append(problems)
        return answers

    def _measure_fresh(self, run: Recording, tick: Tick) -> None:
        """Memory and loads, each repeat in a process of its own. A model that kills its runner dies here, alone."""
        run.started_at = datetime.now(UTC).isoformat(timespec="seconds")
        for _ in range(max(1, run.job.cold_repeats)):
            if not run.failed:
                tick(0, f"{_shown(run)}, its loads")
                self._run(
                    [run], Plan("fresh", (run.model,), run.job.threads, compute_units=run.job.compute_units), _silent
                )

    def _measure_frames(self, runs: list[Recording], tick: Tick) -> None:
        """The frames of runs that one process takes, once the host is cool."""
        if not runs:
            return
        job = runs[0].job
        cooled, state = wait_until_cool(job.cool_down or CoolDown(timeout_s=0), conditions)
        name = secrets.token_hex(6)
        for run in runs:
            run.cool_down, run.process = cooled if job.cool_down else None, name
            run.conditions.append(state)
        plan = Plan(
            TASKS[job.mode],
            tuple(run.model for run in runs),
            threads=job.threads,
            warmup=WarmupPlan(**job.warmup.model_dump()),
            iterations=job.iterations or 0,
            rounds=job.rounds,
            duration_s=job.duration_s or 0.0,
            compute_units=job.compute_units,
        )
        self._run(runs, plan, tick)
        for run in runs:
            run.conditions.append(conditions())

    def _run(self, runs: list[Recording], plan: Plan, tick: Tick) -> None:
        """Run one plan; whatever its runner reports or dies of goes into `runs`."""
        interval_s = (
            min(CONDITIONS_INTERVAL_S, max(1.0, plan.duration_s / 50)) if plan.duration_s else CONDITIONS_INTERVAL_S
        )
        last_conditions = time.monotonic()

        def receive(event: Event) -> None:
            nonlocal last_conditions
            take(event, runs, plan)
            if event["event"] == "frames":
                run = runs[event["model"]]
                tick(1 if plan.task == "sustain" else len(event["frames"]), _shown(run))
                if time.monotonic() - last_conditions > interval_s:
                    last_conditions = time.monotonic()
                    run.conditions.append(conditions())

        try:
            run_plan(runs[0].entry.runtime, plan, receive, self._stall_timeout_s)
        except DeviceError as problem:
            for run in runs:
                run.fail(str(problem))


def _shown(run: Recording) -> str:
    return f"{run.bundle.manifest.name} {job_name(run.job)}"


def _folder_name(job: Job) -> str:
    """Where a job's files are unpacked: what all concepts of a pack share lies there once."""
    return f"{job.bundle} {job.entry} {job.component or ''}".strip()


def _must_be_here(jobs: Sequence[Job]) -> None:
    """Refuse what only a phone or a browser has.

    Raises:
        DeviceError: a job asks for it.
    """
    for job in jobs:
        asked = {
            f"mode {job.mode}": job.mode in TASKS,
            f"way to run via {job.via}": job.via == "process",
            f"provider {job.provider}": job.provider == "default",
            f"{job.clock} clock": job.clock == "free",
            "battery's gauge": not job.energy,
        }
        for what, there in asked.items():
            if not there:
                raise DeviceError(f"this computer has no {what}; choose a device that has it: pocketgan devices")


def _silent(count: int, detail: str) -> None:
    """A tick that nobody watches."""
