"""What host and runner say to each other, and the runner's end of the pipe.

The host writes one line of JSON, the Plan, on the runner's standard input and keeps it open: its end means that the
host is gone, and the runner ends too. The runner answers with events, one JSON object a line, on the file descriptor
that was its standard output; whatever a runtime prints there goes to standard error, which the host keeps in a file.

Events: `ready` (runtime, version, notes), `loaded` (model, cold_ns, first_ns, file_cache), `reloaded` (model, warm_ns),
`memory` (model, runtime_bytes, peak_bytes), `parity` (model, psnr_db, max_abs_error), `warmed` (model, iterations,
duration_ns, steady), `frames` (model, frames as [start, pre, inference, post, round] and where they overlap end),
`failed` (model, message), `beat` (still alive), `done` (notes).
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

BEAT_INTERVAL_S = 1.0
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


@dataclass(frozen=True)
class TensorPlan:
    """One tensor of a model's contract (see manifest.TensorSpec) and the file of its golden values.

    `golden_dtype` and `golden_shape` describe the raw little-endian file, which may differ from the contract.
    """

    name: str
    shape: tuple[int, ...]
    layout: str | None
    dtype: str
    value_range: tuple[float, float] | None
    colour_space: str | None
    golden_file: str
    golden_dtype: str
    golden_shape: tuple[int, ...]


@dataclass(frozen=True)
class ModelPlan:
    """A model to run: the file that its runtime opens, its contract, and the parity (dB) below which it is wrong.

    `function` is what the runtime calls in a file that holds several; None for what it calls by itself.
    """

    file: str
    inputs: tuple[TensorPlan, ...]
    outputs: tuple[TensorPlan, ...]
    floor_db: float
    repeat: int = 1
    function: str | None = None


@dataclass(frozen=True)
class WarmupPlan:
    """See job.Warmup; without a timeout it is `iterations` frames."""

    iterations: int = 0
    window: int = 5
    tolerance: float = 0.03
    timeout_s: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What a runner does with its models.

    task `fresh`: one model, in a process of its own: memory, cold load, first inference, golden check, warm load.
    task `check`: every model against its golden outputs. The others do the same and warm up; then
    `time`: `rounds` turns each, `overlap`: the same with frames that overlap, `sustain`: each for `duration_s`.
    """

    task: Literal["fresh", "check", "time", "overlap", "sustain"]
    models: tuple[ModelPlan, ...]
    threads: int = 1
    warmup: WarmupPlan = WarmupPlan()
    iterations: int = 0
    rounds: int = 1
    duration_s: float = 0.0
    compute_units: str = "all"

    def to_line(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self)) + "\n"

    @staticmethod
    def from_line(line: str) -> Plan:
        """The inverse of to_line."""
        data = json.loads(line)
        models = tuple(_model(model) for model in data["models"])
        return Plan(**{**data, "models": models, "warmup": WarmupPlan(**data["warmup"])})


def _model(data: dict[str, Any]) -> ModelPlan:
    tensors = {side: tuple(_tensor(tensor) for tensor in data[side]) for side in ("inputs", "outputs")}
    return ModelPlan(**{**data, **tensors})


def _tensor(data: dict[str, Any]) -> TensorPlan:
    value_range = data["value_range"]
    return TensorPlan(
        **{
            **data,
            "shape": tuple(data["shape"]),
            "golden_shape": tuple(data["golden_shape"]),
            "value_range": None if value_range is None else (value_range[0], value_range[1]),
        }
    )


def thread_environment(threads: int) -> dict[str, str]:
    """Environment variables that hold every maths library of a process to `threads` threads."""
    return {name: str(threads) for name in THREAD_VARIABLES}


class Channel:
    """The runner's end: takes the plan, sends events, and ends the process when the host goes away."""

    def __init__(self) -> None:
        self._events = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        self._last_beat = time.monotonic()

    def receive(self) -> Plan:
        """The plan; from then on the end of standard input ends this process at once."""
        plan = Plan.from_line(sys.stdin.readline())
        threading.Thread(target=self._end_with_host, daemon=True).start()
        return plan

    def send(self, event: str, **fields: Any) -> None:
        """Send one event."""
        self._last_beat = time.monotonic()
        self._events.write(json.dumps({"event": event, **fields}) + "\n")
        self._events.flush()

    def beat(self) -> None:
        """Tell the host, about once a second, that the work goes on."""
        if time.monotonic() - self._last_beat >= BEAT_INTERVAL_S:
            self.send("beat")

    @staticmethod
    def _end_with_host() -> None:
        # Raw reads: the buffered sys.stdin holds a lock that the interpreter wants at exit.
        while os.read(0, 4096):
            pass
        os._exit(1)
