"""A Job: what a device is asked to measure."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pocketgan.manifest import Name, Sha256, Strict

SCHEMA_VERSION = "1.0"


class Warmup(Strict):
    """Frames that run before the first sample is taken."""

    iterations: int = Field(default=5, ge=0)


class CoolDown(Strict):
    """Gate before the run: wait until the device reports at most this thermal state, `timeout_s` at most."""

    maximum_thermal_state: Literal["nominal", "fair", "serious", "critical"] = "nominal"
    timeout_s: float = Field(default=300, ge=0)


class Job(Strict):
    """One measurement of one entry of one bundle.

    Exactly one of `iterations` and `duration_s` is set; latency and throughput count iterations, sustained seconds.
    `rounds` splits the iterations so that compared models take turns.
    """

    schema_version: str = SCHEMA_VERSION
    bundle: Sha256
    entry: Name
    mode: Literal["latency", "throughput", "sustained"] = "latency"
    warmup: Warmup = Warmup()
    iterations: int | None = Field(default=50, ge=1)
    duration_s: float | None = Field(default=None, gt=0)
    rounds: int = Field(default=5, ge=1)
    threads: int = Field(default=1, ge=1)
    compute_units: Literal["all", "cpu", "cpu_and_gpu", "cpu_and_neural_engine"] = "all"
    cold_repeats: int = Field(default=1, ge=0)
    cool_down: CoolDown | None = None
