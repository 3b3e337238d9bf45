"""What every runner does with its models: load, first inference, golden check; `timing` does the rest."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from pocketgan.bench.runners.file_cache import cached_share
from pocketgan.bench.runners.picture import needs_conversion, to_picture
from pocketgan.bench.runners.protocol import Channel, ModelPlan, Plan, TensorPlan
from pocketgan.bench.runners.timing import Loaded, Run, sustain, take_turns, warm_up
from pocketgan.bundle.named_files import must_name_own_files

RUNS_BEFORE_MEMORY = 2


class Engine(Protocol):
    """One runtime; `fixes_threads` says whether it works on as many threads as it is told."""

    name: str
    fixes_threads: bool

    def start(self, threads: int, compute_units: str = "all") -> tuple[str, list[str]]:
        """Import the runtime, and fix its threads and, where it has a choice, its processors (Job.compute_units).

        Returns its version, and notes on what could not be fixed.
        """
        ...

    def load(self, model: ModelPlan) -> Run:
        """Load a model. The function takes arrays by input name and returns the outputs in the contract's order;
        they may be overwritten by the next call."""
        ...


class WrongOutputError(Exception):
    """A model that does not compute its golden outputs."""


def serve(engine: Engine) -> None:
    """Carry out the plan on standard input with `engine`; the main function of a runner."""
    channel = Channel()
    plan = channel.receive()
    version, notes = engine.start(plan.threads, plan.compute_units)
    runtime_bytes = peak_memory_bytes()
    channel.send("ready", runtime=engine.name, version=version, notes=notes)
    ready: list[Loaded] = []
    for index, model in enumerate(plan.models):
        try:
            ready.append(_prepare(engine, channel, index, model))
            if plan.task == "fresh":
                _measure_fresh(engine, channel, ready[-1], runtime_bytes)
        except WrongOutputError as problem:
            channel.send("failed", model=index, message=str(problem))
        except Exception as problem:  # whatever a runtime throws belongs to this model, not to the others
            channel.send("failed", model=index, message=f"{engine.name} refused the model: {_first_line(problem)}")
    channel.send("done", notes=_time(engine, channel, ready, plan))


def _time(engine: Engine, channel: Channel, models: list[Loaded], plan: Plan) -> list[str]:
    """What the plan's task asks for beyond the check; notes on the threads used."""
    if not models or plan.task not in ("time", "overlap", "sustain"):
        return []
    if plan.task == "sustain":
        for model in models:
            warm_up(channel, model, plan.warmup)
            sustain(channel, model, plan.duration_s)
        return []
    for model in models:
        warm_up(channel, model, plan.warmup)
    notes = take_turns(channel, models, plan)
    return notes if engine.fixes_threads else []


def peak_memory_bytes() -> int:
    """Peak resident memory of this process so far, in bytes."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def agreement(
    outputs: Sequence[np.ndarray], golden: Sequence[np.ndarray], ranges: Sequence[tuple[float, float] | None]
) -> tuple[float | None, float]:
    """PSNR in dB (None where infinite) and maximum absolute error over all outputs; the worst output counts.

    The peak is the width of the declared value range, or of the golden values where none is declared.

    Raises:
        WrongOutputError: another number of outputs, another shape, or values that are not finite.
    """
    if len(outputs) != len(golden):
        raise WrongOutputError(f"the model gives {len(outputs)} outputs, its contract {len(golden)}")
    worst_db, worst_error = math.inf, 0.0
    for output, expected, value_range in zip(outputs, golden, ranges, strict=True):
        if output.shape != expected.shape:
            raise WrongOutputError(f"output of shape {output.shape}, golden output of shape {expected.shape}")
        difference = output.astype(np.float64) - expected.astype(np.float64)
        if not np.isfinite(difference).all():
            raise WrongOutputError("the output holds values that are not finite")
        low, high = value_range or (float(expected.min()), float(expected.max()))
        error = float(np.mean(difference**2))
        if error > 0:
            worst_db = min(worst_db, 10 * math.log10((high - low or 1.0) ** 2 / error))
        worst_error = max(worst_error, float(np.abs(difference).max()))
    return (None if math.isinf(worst_db) else worst_db), worst_error


def _prepare(engine: Engine, channel: Channel, index: int, plan: ModelPlan) -> Loaded:
    """Load, run once and compare with golden; sends `loaded` and `parity`."""
    inputs = {tensor.name: _golden(tensor).astype(tensor.dtype, copy=False) for tensor in plan.inputs}
    golden = [_golden(tensor) for tensor in plan.outputs]
    in_cache = cached_share(Path(plan.file))
    must_name_own_files(engine.name, Path(plan.file))
    started = time.perf_counter_ns()
    run = engine.load(plan)
    loaded = time.perf_counter_ns()
    outputs = run(inputs)
    ended = time.perf_counter_ns()
    channel.send("loaded", model=index, cold_ns=loaded - started, first_ns=ended - loaded, file_cache=in_cache)
    psnr_db, error = agreement(outputs, golden, [tensor.value_range for tensor in plan.outputs])
    channel.send("parity", model=index, psnr_db=psnr_db, max_abs_error=error)
    if psnr_db is not None and psnr_db < plan.floor_db:
        raise WrongOutputError(
            f"wrong output: {psnr_db:.1f} dB from the golden output, {plan.floor_db:g} dB is the floor; not timed"
        )
    picture_input = next((tensor for tensor in plan.inputs if needs_conversion(tensor)), None)
    picture_output = next((i for i, tensor in enumerate(plan.outputs) if needs_conversion(tensor)), None)
    picture = None if picture_input is None else to_picture(inputs[picture_input.name], picture_input)
    return Loaded(
        index,
        plan,
        run,
        inputs,
        picture_input=picture_input,
        picture=picture,
        picture_output=picture_output,
    )


def _golden(tensor: TensorPlan) -> np.ndarray:
    dtype = np.dtype(tensor.golden_dtype).newbyteorder("<")
    return np.fromfile(tensor.golden_file, dtype=dtype).reshape(tensor.golden_shape)


def _measure_fresh(engine: Engine, channel: Channel, model: Loaded, runtime_bytes: int) -> None:
    """Memory with the model in use, then a second load (which would count twice in the peak, so it comes last)."""
    for _ in range(RUNS_BEFORE_MEMORY):
        model.run(model.inputs)
    channel.send("memory", model=model.index, runtime_bytes=runtime_bytes, peak_bytes=peak_memory_bytes())
    started = time.perf_counter_ns()
    engine.load(model.plan)
    channel.send("reloaded", model=model.index, warm_ns=time.perf_counter_ns() - started)


def _first_line(problem: Exception) -> str:
    text = str(problem).strip()
    return f"{type(problem).__name__}: {text.splitlines()[0]}" if text else type(problem).__name__
