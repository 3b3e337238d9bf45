"""A Result: raw samples of one Job, and the circumstances they were taken in. All times are nanoseconds."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pocketgan.bench.schema.job import SCHEMA_VERSION, Job, Version
from pocketgan.bundle.manifest import Delegation, Name, Strict

Nanoseconds = int


class DeviceInfo(Strict):
    """What ran the job."""

    name: str
    model: str
    kind: Literal["local", "android", "ios"]
    os: str
    os_build: str
    cpu: str
    cores: int = Field(ge=1)
    memory_bytes: int = Field(ge=0)
    simulated: bool = False


class Conditions(Strict):
    """State of the device at one moment; null where the OS does not tell."""

    at_ns: Nanoseconds
    thermal_state: Literal["nominal", "fair", "serious", "critical"] | None = None
    temperature_c: float | None = None
    frequency_mhz: float | None = None
    load_average: float | None = None
    battery_percent: float | None = None
    charging: bool | None = None


class Frame(Strict):
    """One timed frame: its start on the device's monotonic clock and its three parts.

    Where frames overlap (throughput), `end_ns` is when it was done, on the same clock.
    """

    start_ns: Nanoseconds
    pre_ns: Nanoseconds = Field(ge=0)
    inference_ns: Nanoseconds = Field(ge=0)
    post_ns: Nanoseconds = Field(ge=0)
    round: int = Field(ge=0)
    end_ns: Nanoseconds | None = None


class WarmedUp(Strict):
    """What the warm-up rule of the Job came to; not `steady` where it ran out of time."""

    iterations: int = Field(ge=0)
    duration_ns: Nanoseconds = Field(ge=0)
    steady: bool


class CooledDown(Strict):
    """What the cool-down gate of the Job came to: how long it waited, and whether the device was cool then.

    `cool` is null where the OS tells neither thermal state nor temperature.
    """

    waited_s: float = Field(ge=0)
    cool: bool | None


class Memory(Strict):
    """Peak resident memory of a separate pass, in bytes: with the runtime alone, and with the model loaded and run."""

    runtime_bytes: int = Field(ge=0)
    peak_bytes: int = Field(ge=0)


class MeasuredParity(Strict):
    """Agreement with the golden outputs on this device; `psnr_db` is null where it is infinite."""

    psnr_db: float | None
    max_abs_error: float = Field(ge=0)


class Result(Strict):
    """Everything a device has to say about one Job; the host does all statistics.

    `process` names the process that timed the frames: results of one took turns in it, round by round. `file_cache` is,
    for each cold load, the share of the model's file that was in the OS's cache before; empty where it does not tell.
    `composed` is for the host: the frames are whole edits, put together of frames of the entry's components.
    """

    schema_version: Version = SCHEMA_VERSION
    session: str
    job: Job
    bundle_name: Name
    device: DeviceInfo
    runtime: str
    runtime_version: str
    app_build: Literal["debug", "release"]
    started_at: str
    process: str = ""
    cool_down: CooledDown | None = None
    warmup: WarmedUp | None = None
    file_cache: list[float] = []
    composed: bool = False
    cold_load_ns: list[Nanoseconds] = []
    warm_load_ns: list[Nanoseconds] = []
    first_inference_ns: list[Nanoseconds] = []
    frames: list[Frame] = []
    memory: Memory | None = None
    conditions: list[Conditions] = []
    delegation: Delegation | None = None
    parity: MeasuredParity | None = None
    errors: list[str] = []
