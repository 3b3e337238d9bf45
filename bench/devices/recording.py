"""A Result in the making: what the runners of one job have reported so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pocketgan.bench.runners.planning import plan_model
from pocketgan.bench.runners.process import Event
from pocketgan.bench.runners.protocol import ModelPlan, Plan
from pocketgan.bench.schema.job import Job
from pocketgan.bench.schema.result import (
    Conditions,
    CooledDown,
    DeviceInfo,
    Frame,
    MeasuredParity,
    Memory,
    Result,
    WarmedUp,
)
from pocketgan.bundle.manifest import Entry
from pocketgan.bundle.reader import Bundle


@dataclass
class Recording:
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
    process: str = ""
    cool_down: CooledDown | None = None
    warmup: WarmedUp | None = None
    file_cache: list[float] = field(default_factory=list)

    def fail(self, message: str) -> None:
        """It counts no more; frames that came before are not to be trusted either."""
        self.failed = True
        self.frames.clear()
        self.add_error(message)

    def add_error(self, message: str) -> None:
        if message not in self.errors:
            self.errors.append(message)

    def result(self, device: DeviceInfo, session: str) -> Result:
        """What there is of it now."""
        return Result(
            session=session,
            job=self.job,
            bundle_name=self.bundle.manifest.name,
            device=device,
            runtime=self.entry.runtime,
            runtime_version=self.runtime_version,
            app_build="release",
            started_at=self.started_at,
            process=self.process,
            cool_down=self.cool_down,
            warmup=self.warmup,
            file_cache=self.file_cache,
            cold_load_ns=self.cold_load_ns,
            warm_load_ns=self.warm_load_ns,
            first_inference_ns=self.first_inference_ns,
            frames=self.frames,
            memory=self.memory,
            conditions=self.conditions,
            delegation=self.entry.delegation,
            parity=self.parity,
            errors=self.errors,
        )


def recording(bundle: Bundle, job: Job, folder: Path) -> Recording:
    """Plan the job's model, whose files lie in `folder`, or are unpacked there."""
    if not folder.exists():
        bundle.extract(folder, job.entry, job.component)
    entry = bundle.entry(job.entry, job.concept)
    return Recording(bundle, entry, job, plan_model(bundle, entry, folder, job.component))


def take(event: Event, runs: Sequence[Recording], plan: Plan) -> None:
    """Store what one event of a plan on these runs says."""
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
        if event["file_cache"] is not None:
            run.file_cache.append(event["file_cache"])
    elif kind == "reloaded" and keep_loads:
        run.warm_load_ns.append(event["warm_ns"])
    elif kind == "memory" and run.memory is None:
        run.memory = Memory(runtime_bytes=event["runtime_bytes"], peak_bytes=event["peak_bytes"])
    elif kind == "parity" and run.bundle.manifest.has_reference(run.entry):
        run.parity = MeasuredParity(psnr_db=event["psnr_db"], max_abs_error=event["max_abs_error"])
    elif kind == "warmed":
        run.warmup = WarmedUp(iterations=event["iterations"], duration_ns=event["duration_ns"], steady=event["steady"])
    elif kind == "frames":
        run.frames += [_frame(*frame) for frame in event["frames"]]
    elif kind == "failed":
        run.fail(str(event["message"]))


def _frame(start: int, pre: int, inference: int, post: int, number: int, end: int | None = None) -> Frame:
    return Frame(start_ns=start, pre_ns=pre, inference_ns=inference, post_ns=post, round=number, end_ns=end)
