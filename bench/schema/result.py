"""A Result: raw samples of one Job, and the circumstances they were taken in. All times are nanoseconds.

1.1 adds what devices that are elsewhere tell: `placement`, `clock`, `parity_after`, `dropped_frames`, a frame's stamps
of capture and display, and more of the conditions; `web` is a kind of device. 1.2 adds what energy per frame needs,
`charger_checks` and the battery's readings, and what else an app's conditions hold: the display's refresh rate,
sustained-performance mode and performance hints. 1.3 adds `page`, and whether it was `visible`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pocketgan.bench.schema.job import SCHEMA_VERSION, ClockRegime, Job, Version
from pocketgan.bundle.manifest import Count, Delegation, Name, Strict

Nanoseconds = int


class DeviceInfo(Strict):
    """What ran the job."""

    name: str
    model: str
    kind: Literal["local", "android", "ios", "web"]
    os: str
    os_build: str
    cpu: str
    cores: int = Field(ge=1)
    memory_bytes: int = Field(ge=0)
    simulated: bool = False


class Conditions(Strict):
    """State of the device at one moment; null where the OS does not tell.

    `thermal_headroom` is the OS's forecast of how near throttling is: 0 far, 1 there. `power_w` is drawn from the
    battery: its current times its voltage, negative while it is charged. `current_a` (of the same sign), `voltage_v`
    and `charge_mah`, what is left in the battery by its counter, are as the OS tells them. `refresh_hz` is the
    display's now. `sustained_performance` and `performance_hint`: whether what measures has asked for Android's
    sustained-performance mode, and has a session of performance hints open. `visible`: of a page, whether it is in
    front.
    """

    at_ns: Nanoseconds
    thermal_state: Literal["nominal", "fair", "serious", "critical"] | None = None
    temperature_c: float | None = None
    frequency_mhz: float | None = None
    load_average: float | None = None
    battery_percent: float | None = None
    charging: bool | None = None
    thermal_headroom: float | None = Field(default=None, ge=0)
    power_w: float | None = None
    power_save: bool | None = None
    screen_on: bool | None = None
    current_a: float | None = None
    voltage_v: float | None = Field(default=None, gt=0)
    charge_mah: float | None = Field(default=None, ge=0)
    refresh_hz: float | None = Field(default=None, gt=0)
    sustained_performance: bool | None = None
    performance_hint: bool | None = None
    visible: bool | None = None


class Frame(Strict):
    """One timed frame: its start on the device's monotonic clock and its three parts.

    Where frames overlap (throughput), `end_ns` is when it was done, on the same clock. In mode camera `capture_ns` is
    the sensor's stamp and `display_ns` when the frame was on the screen, on that clock too; `display_estimated` where
    the system does not tell and it is its forecast, or when the frame was handed over.
    """

    start_ns: Nanoseconds
    pre_ns: Nanoseconds = Field(ge=0)
    inference_ns: Nanoseconds = Field(ge=0)
    post_ns: Nanoseconds = Field(ge=0)
    round: int = Field(ge=0)
    end_ns: Nanoseconds | None = None
    capture_ns: Nanoseconds | None = None
    display_ns: Nanoseconds | None = None
    display_estimated: bool | None = None

    def model_post_init(self, context: object, /) -> None:
        """Share the set of the names that were given: one of its own is two thirds of a frame's memory, and there are
        tens of thousands of frames in a Result."""
        given = self.__pydantic_fields_set__
        object.__setattr__(self, "__pydantic_fields_set__", _GIVEN.setdefault(frozenset(given), given))


# Copies of a frame have sets of their own.
_GIVEN: dict[frozenset[str], set[str]] = {}


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


class Placement(Strict):
    """Where a model ran, as evidence; what cannot be known is null.

    `requested` is the provider that was asked for, `planned` how many nodes each provider or backend was given (ONNX
    Runtime's profile, ExecuTorch's delegates), `registered` what the runtime can use on this device, `cpu_ns` the
    median frame with the CPU alone beside it, `observed` what the times or counters of the device say.
    """

    requested: str
    planned: dict[str, Count] | None = None
    registered: list[str] | None = None
    cpu_ns: Nanoseconds | None = Field(default=None, ge=0)
    observed: str | None = None


class Clock(Strict):
    """The clock regime that the frames were measured in, with the frequencies read back before and after, in MHz."""

    regime: ClockRegime
    before_mhz: float | None = Field(default=None, gt=0)
    after_mhz: float | None = Field(default=None, gt=0)


class Page(Strict):
    """The page that measured in a browser, and what its figures are worth.

    `isolated`: whether other pages are kept out of its process (COOP and COEP), without which there are neither
    threads nor fine timers. `timer_step_ns` is the smallest step of its clock that it saw. `gpu` is the adapter, as
    WebGPU tells it; null where there is none. `threads` is how many the runtime was given. `begun_again`: how often the
    measurement was thrown away and begun anew, because the page was hidden or had to load again.
    """

    browser: str
    isolated: bool
    timer_step_ns: Nanoseconds = Field(ge=0)
    gpu: str | None = None
    threads: int = Field(ge=1)
    begun_again: int = Field(default=0, ge=0)


class ChargerCheck(Strict):
    """What the host saw of a phone's power at one moment, beside what the phone measured: the proof of an energy Job.

    `at` is the host's date and time. `usb`: adb spoke through a cable. `charger`: one is on the phone, as `dumpsys
    battery` says; null where it does not. `simulated`: it was told what to say (`dumpsys battery unplug`).
    """

    at: str
    usb: bool
    charger: bool | None
    simulated: bool


class Result(Strict):
    """Everything a device has to say about one Job; the host does all statistics.

    `process` names the process that timed the frames: results of one took turns in it, round by round. `file_cache` is,
    for each cold load, the share of the model's file that was in the OS's cache before; empty where it does not tell.
    `parity` is taken before the clock runs, `parity_after` of the output of the last timed frame.
    `dropped_frames` counts those of the camera that nothing was computed of; a frame that was never shown has no
    `display_ns`.
    `composed` is for the host: the frames are whole edits, put together of frames of the entry's components. So are
    `charger_checks`, taken before and after an energy Job.
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
    parity_after: MeasuredParity | None = None
    placement: Placement | None = None
    clock: Clock | None = None
    dropped_frames: int | None = Field(default=None, ge=0)
    charger_checks: list[ChargerCheck] = []
    page: Page | None = None
    errors: list[str] = []
