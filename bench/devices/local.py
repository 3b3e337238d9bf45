"""This host as a device: one subprocess per runtime, one runtime after the other."""

from __future__ import annotations

import fcntl
import itertools
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Literal

import psutil

from pocketgan.bench.devices.cool_down import wait_until_cool
from pocketgan.bench.devices.device import Tick
from pocketgan.bench.devices.host import conditions, describe_host
from pocketgan.bench.devices.recording import Recording, recording, take
from pocketgan.bench.runners.planning import component_names
from pocketgan.bench.runners.process import STALL_TIMEOUT_S, Event, run_plan
from pocketgan.bench.runners.protocol import Plan, WarmupPlan
from pocketgan.bench.schema.job import CoolDown, Job
from pocketgan.bench.schema.result import DeviceInfo, Result
from pocketgan.bundle.manifest import Entry
from pocketgan.bundle.reader import Bundle
from pocketgan.errors import DeviceBusyError, DeviceError, storage_errors
from pocketgan.files import cache_folder
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

    @contextmanager
    def lock(self) -> Iterator[None]:
        """See Device. The kernel releases the lock when its owner dies, so none goes stale."""
        folder = self._lock_folder or cache_folder()
        path = folder / f"{self.name}.lock"
        with storage_errors(path):
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DeviceBusyError(self.name, _owner(os.read(descriptor, 32).decode(errors="replace"))) from None
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            yield
        finally:
            os.close(descriptor)

    def run(self, bundle: Bundle, job: Job) -> Result:
        """See Device."""
        return self.run_interleaved([(bundle, job)])[0]

    def run_interleaved(
        self, work: Sequence[tuple[Bundle, Job]], *, session: str = "", tick: Tick | None = None
    ) -> list[Result]:
        """See Device. Jobs of one runtime take turns where they ask for the same rounds."""
        report = tick or _silent
        device = self.describe()
        with scratch_folder() as folder:
            runs = [recording(bundle, job, Path(folder) / str(index)) for index, (bundle, job) in enumerate(work)]
            for group in _groups(runs):
                for run in group:
                    self._measure_fresh(run)
                self._measure_frames([run for run in group if not run.failed], report)
        return [run.result(device, session) for run in runs]

    def check(self, work: Sequence[tuple[Bundle, str]]) -> list[list[str]]:
        """See Device."""
        with scratch_folder() as folder:
            answers: list[list[str]] = []
            for index, (bundle, entry) in enumerate(work):
                problems: list[str] = []
                for component in component_names(bundle.manifest.entry(entry)):
                    job = Job(bundle=bundle.digest, entry=entry, component=component)
                    run = recording(bundle, job, Path(folder) / f"{index} {component}")
                    self._run([run], Plan("check", (run.model,)), _silent)
                    problems += [error if component is None else f"{component}: {error}" for error in run.errors]
                answers.append(problems)
        return answers

    def _measure_fresh(self, run: Recording) -> None:
        """Memory and loads, each repeat in a process of its own. A model that kills its runner dies here, alone."""
        run.started_at = datetime.now(UTC).isoformat(timespec="seconds")
        for _ in range(max(1, run.job.cold_repeats)):
            if not run.failed:
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
                tick(
                    1 if plan.task == "sustain" else len(event["frames"]),
                    f"{run.bundle.manifest.name} {run.entry.id} {run.job.component or ''}".strip(),
                )
                if time.monotonic() - last_conditions > interval_s:
                    last_conditions = time.monotonic()
                    run.conditions.append(conditions())

        try:
            run_plan(runs[0].entry.runtime, plan, receive, self._stall_timeout_s)
        except DeviceError as problem:
            for run in runs:
                run.fail(str(problem))


def _owner(written: str) -> str:
    """The process that has the lock, which wrote its number there: by its command, where the system tells it."""
    number = written.strip()
    called = "another pocketgan"
    try:
        words = psutil.Process(int(number)).cmdline()[1:]
        # Options may hold what is nobody's business, such as a database's password.
        plain = list(itertools.takewhile(lambda word: not word.startswith("-"), words))
        called = " ".join([Path(plain[0]).name, *plain[1:3]]) if plain else called
    except (ValueError, psutil.Error):
        pass
    return f"{called} (process {number or 'unknown'})"


def _groups(runs: list[Recording]) -> list[list[Recording]]:
    """Runs that one subprocess takes: same runtime, and jobs that differ in nothing but the model. A sustained run
    heats the host for what comes after it, so that each has its own."""
    groups: dict[tuple[str, str], list[Recording]] = {}
    for index, run in enumerate(runs):
        rule = run.job.model_dump_json(exclude={"bundle", "entry"})
        alone = str(index) if run.job.mode == "sustained" else ""
        groups.setdefault((run.entry.runtime, rule + alone), []).append(run)
    return list(groups.values())


def _silent(count: int, detail: str) -> None:
    """A tick that nobody watches."""
