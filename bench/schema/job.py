"""A Job: what a device is asked to measure.

1.1 adds `via`, `provider`, `clock` and mode `camera`; 1.2 adds `energy`; 1.3 is that of its Results.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pocketgan.bench.schema.words import ClockRegime as ClockRegime
from pocketgan.bench.schema.words import JobMode as JobMode
from pocketgan.bench.schema.words import Provider as Provider
from pocketgan.bench.schema.words import Via as Via
from pocketgan.bundle.manifest import Name, Sha256, Strict

SCHEMA_VERSION = "1.3"
# Of the same major version; a reader leaves out what a later minor one added.
Version = Annotated[str, Field(pattern=r"^1\.[0-9]{1,4}$")]


class Warmup(Strict):
    """Frames that run before the first sample is taken: `iterations` at least, then until the device is steady.

    It is steady when the medians of the last two windows of `window` frames differ by at most `tolerance` (a share of
    the later one). After `timeout_s` the run begins in any case; 0 leaves it at `iterations`. The Result says what
    came of it.
    """

    iterations: int = Field(default=5, ge=0)
    window: int = Field(default=5, ge=1)
    tolerance: float = Field(default=0.03, gt=0)
    timeout_s: float = Field(default=10, ge=0)


class CoolDown(Strict):
    """Gate before the run: wait until the device is cool, `timeout_s` at most.

    It is cool when it reports at most this thermal state and this temperature, each where the OS tells it.
    """

    maximum_thermal_state: Literal["nominal", "fair", "serious", "critical"] = "nominal"
    maximum_temperature_c: float | None = None
    timeout_s: float = Field(default=300, ge=0)


class Job(Strict):
    """One measurement of one entry of one bundle.

    Exactly one of `iterations` and `duration_s` is set; latency and throughput count iterations, sustained and camera
    seconds.
    `rounds` splits the iterations so that compared models take turns. A session splits a measurement into several
    jobs, each in a process of its own and numbered by `run`. Of an entry with several components each is a job on its
    own, run once a frame whatever its `repeat`: the host composes whole edits of them.
    `energy` asks for the battery's current and voltage about once a second, of a phone that no charger is on; modes
    sustained and camera alone last long enough for it.
    """

    schema_version: Version = SCHEMA_VERSION
    bundle: Sha256
    entry: Name
    component: Name | None = None
    mode: JobMode = "latency"
    via: Via = "process"
    provider: Provider = "default"
    clock: ClockRegime = "free"
    warmup: Warmup = Warmup()
    iterations: int | None = Field(default=50, ge=1)
    duration_s: float | None = Field(default=None, gt=0)
    rounds: int = Field(default=5, ge=1)
    run: int = Field(default=0, ge=0)
    threads: int = Field(default=1, ge=1)
    compute_units: Literal["all", "cpu", "cpu_and_gpu", "cpu_and_neural_engine"] = "all"
    cold_repeats: int = Field(default=1, ge=0)
    cool_down: CoolDown | None = None
    energy: bool = False

    @model_validator(mode="after")
    def _frames_or_seconds(self) -> Job:
        by_seconds = self.mode in ("sustained", "camera")
        length_asked = self.duration_s if by_seconds else self.iterations
        other = self.iterations if by_seconds else self.duration_s
        if length_asked is None or other is not None:
            length = "duration_s and not iterations" if by_seconds else "iterations and not duration_s"
            raise ValueError(f"mode {self.mode} needs {length}")
        if self.energy and not by_seconds:
            raise ValueError("energy needs mode sustained or camera")
        return self
