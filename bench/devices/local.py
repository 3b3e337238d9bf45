"""This host as a device: one subprocess per runtime, one runtime after the other."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from pocketgan.bench.devices import Tick
from pocketgan.bench.devices.host import conditions, describe_host
from pocketgan.bench.runners.planning import computes_on_cpu, plan_model
from pocketgan.bench.runners.process import REQUIRED_MODULES, RUNNERS, STALL_TIMEOUT_S, Event, run_plan
from pocketgan.bench.runners.protocol import ModelPlan, Plan
from pocketgan.bench.schema.job import Job
from pocketgan.bench.schema.result import Conditions, DeviceInfo, Frame, MeasuredParity, Memory, Result
from pocketgan.bundle import Bundle
from pocketgan.errors import DeviceError, storage_errors
from pocketgan.files import cache_folder
from pocketgan.manifest import Entry

CONDITIONS_INTERVAL_S = 10.0


@dataclass
class _Run:
    """One job in the making: what its runners have reported so far."""

    bundle: Bundle
    entry: Entry
    job: Job
    model: ModelPlan
    cold_load_ns: list[int] = field(default_factory=list)
    warm_load_ns: list[int] = field(default_factory=list)
    first_inference_ns: list[int] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    memory: Memory | None = None
    conditions: list[Conditions] = field(default_factory=list)
    parity: MeasuredParity | None = None
    runtime_version: str = ""
    errors: list[str] = field(default_factory=list)
    failed: bool = False
    started_at: str = ""

    def fail(self, message: str) -> None:
        """It counts no more; frames that came before are not to be trusted either."""
        self.failed = True
        self.frames.clear()
        self.add_error(message)

    def add_error(self, message: str) -> None:
        if message not in self.errors:
            self.errors.append(message)


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
        return tuple(name for name in RUNNERS if all(find_spec(module) for module in REQUIRED_MODULES[name]))

    def describe(self) -> DeviceInfo:
        """See Device."""
        return describe_host(self.name)

    def runs(self, entry: Entry) -> bool:
        """Single-component entries of a runtime that is installed and whose target computes on a CPU."""
        if entry.runtime not in self.runtimes or len(entry.components) != 1:
            return False
        return computes_on_cpu(entry)

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
                owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
                raise DeviceError(
                    f"device {self.name} is measuring for another pocketgan (process {owner}); wait for it to end"
                ) from None
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
        for _, job in work:
            if job.mode != "latency" or job.iterations is None:
                raise DeviceError(f"device {self.name} measures mode latency, not {job.mode}")
        report = tick or (lambda count, detail: None)
        device = self.describe()
        with tempfile.TemporaryDirectory(prefix="pocketgan-") as folder:
            runs = [
                _new_run(bundle, job.entry, job, Path(folder) / str(index)) for index, (bundle, job) in enumerate(work)
            ]
            for group in _groups(runs):
                for run in group:
                    self._measure_fresh(run)
                self._measure_turns([run for run in group if not run.failed], report)
        return [_result(run, device, session) for run in runs]

    def check(self, work: Sequence[tuple[Bundle, str]]) -> list[list[str]]:
        """See Device."""
        with tempfile.TemporaryDirectory(prefix="pocketgan-") as folder:
            runs = [
                _new_run(bundle, entry, Job(bundle=bundle.digest, entry=entry), Path(folder) / str(index))
                for index, (bundle, entry) in enumerate(work)
            ]
            for run in runs:
                self._run([run], Plan("check", (run.model,)), lambda count, detail: None)
        return [run.errors for run in runs]

    def _measure_fresh(self, run: _Run) -> None:
        """Memory and loads, each repeat in a process of its own. A model that kills its runner dies here, alone."""
        run.started_at = datetime.now(UTC).isoformat(timespec="seconds")
        run.conditions.append(conditions())
        for _ in range(max(1, run.job.cold_repeats)):
            if not run.failed:
                self._run([run], Plan("fresh", (run.model,), run.job.threads), lambda count, detail: None)

    def _measure_turns(self, runs: list[_Run], tick: Tick) -> None:
        if not runs:
            return
        job = runs[0].job
        plan = Plan(
            "time",
            tuple(run.model for run in runs),
            job.threads,
            job.warmup.iterations,
            job.iterations or 0,
            job.rounds,
        )
        self._run(runs, plan, tick)
        for run in runs:
            run.conditions.append(conditions())

    def _run(self, runs: list[_Run], plan: Plan, tick: Tick) -> None:
        """Run one plan; whatever its runner reports or dies of goes into `runs`."""
        last_conditions = time.monotonic()

        def receive(event: Event) -> None:
            nonlocal last_conditions
            _take(event, runs, plan)
            if event["event"] == "frames":
                run = runs[event["model"]]
                tick(len(event["frames"]), f"{run.bundle.manifest.name} {run.entry.id}")
                if time.monotonic() - last_conditions > CONDITIONS_INTERVAL_S:
                    last_conditions = time.monotonic()
                    run.conditions.append(conditions())

        try:
            run_plan(runs[0].entry.runtime, plan, receive, self._stall_timeout_s)
        except DeviceError as problem:
            for run in runs:
                run.fail(str(problem))


def _take(event: Event, runs: list[_Run], plan: Plan) -> None:
    """Store what one event says."""
    kind = event["event"]
    if kind in ("ready", "done"):
        for run in runs:
            run.runtime_version = event.get("version", run.runtime_version)
            for note in event["notes"]:
                run.add_error(str(note))
        return
    run = runs[event["model"]]
    keep_loads = plan.task == "fresh" and run.job.cold_repeats > 0
    if kind == "loaded" and keep_loads:
        run.cold_load_ns.append(event["cold_ns"])
        run.first_inference_ns.append(event["first_ns"])
    elif kind == "reloaded" and keep_loads:
        run.warm_load_ns.append(event["warm_ns"])
    elif kind == "memory" and run.memory is None:
        run.memory = Memory(runtime_bytes=event["runtime_bytes"], peak_bytes=event["peak_bytes"])
    elif kind == "parity":
        run.parity = MeasuredParity(psnr_db=event["psnr_db"], max_abs_error=event["max_abs_error"])
    elif kind == "frames":
        run.frames += [
            Frame(start_ns=start, pre_ns=pre, inference_ns=inference, post_ns=post, round=number)
            for start, pre, inference, post, number in event["frames"]
        ]
    elif kind == "failed":
        run.fail(str(event["message"]))


def _groups(runs: list[_Run]) -> list[list[_Run]]:
    """Runs that one subprocess takes: same runtime, and jobs that differ in nothing but the model."""
    groups: dict[tuple[str, str], list[_Run]] = {}
    for run in runs:
        rule = run.job.model_dump_json(exclude={"bundle", "entry"})
        groups.setdefault((run.entry.runtime, rule), []).append(run)
    return list(groups.values())


def _new_run(bundle: Bundle, entry_id: str, job: Job, folder: Path) -> _Run:
    """Unpack what the entry needs into `folder` and plan its model."""
    bundle.extract(folder, entry_id)
    entry = bundle.manifest.entry(entry_id)
    return _Run(bundle, entry, job, plan_model(bundle, entry, folder))


def _result(run: _Run, device: DeviceInfo, session: str) -> Result:
    return Result(
        session=session,
        job=run.job,
        bundle_name=run.bundle.manifest.name,
        device=device,
        runtime=run.entry.runtime,
        runtime_version=run.runtime_version,
        app_build="release",
        started_at=run.started_at,
        cold_load_ns=run.cold_load_ns,
        warm_load_ns=run.warm_load_ns,
        first_inference_ns=run.first_inference_ns,
        frames=run.frames,
        memory=run.memory,
        conditions=run.conditions,
        delegation=run.entry.delegation,
        parity=run.parity,
        errors=run.errors,
    )
