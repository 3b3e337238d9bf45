"""The loop that every runner shares: load, first inference, golden check, warm-up, rounds of turns."""

from __future__ import annotations

import gc
import math
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from pocketgan.bench.runners.picture import needs_conversion, to_picture, to_tensor
from pocketgan.bench.runners.protocol import Channel, ModelPlan, Plan, TensorPlan

Inputs = Mapping[str, np.ndarray]
Run = Callable[[Inputs], Sequence[np.ndarray]]

# Scheduler noise and the interpreter's own threads stay far below this.
THREAD_TOLERANCE = 1.25
SHORTEST_THREAD_CHECK_S = 0.05
RUNS_BEFORE_MEMORY = 2


class Engine(Protocol):
    """One runtime."""

    name: str

    def start(self, threads: int) -> tuple[str, list[str]]:
        """Import the runtime and fix its threads; its version, and notes on what could not be fixed."""
        ...

    def load(self, model: ModelPlan) -> Run:
        """Load a model. The function takes arrays by input name and returns the outputs in the contract's order;
        they may be overwritten by the next call."""
        ...


class WrongOutputError(Exception):
    """A model that does not compute its golden outputs."""


@dataclass
class _Ready:
    """A loaded and checked model with what its frames need."""

    index: int
    plan: ModelPlan
    run: Run
    inputs: dict[str, np.ndarray]
    picture_input: TensorPlan | None
    picture: np.ndarray | None
    picture_output: int | None


def serve(engine: Engine) -> None:
    """Carry out the plan on standard input with `engine`; the main function of a runner."""
    channel = Channel()
    plan = channel.receive()
    version, notes = engine.start(plan.threads)
    runtime_bytes = peak_memory_bytes()
    channel.send("ready", runtime=engine.name, version=version, notes=notes)
    ready = []
    for index, model in enumerate(plan.models):
        try:
            ready.append(_prepare(engine, channel, index, model))
            if plan.task == "fresh":
                _measure_fresh(engine, channel, ready[-1], runtime_bytes)
        except WrongOutputError as problem:
            channel.send("failed", model=index, message=str(problem))
        except Exception as problem:  # whatever a runtime throws belongs to this model, not to the others
            channel.send("failed", model=index, message=f"{engine.name} refused the model: {_first_line(problem)}")
    done = _time_rounds(channel, ready, plan) if plan.task == "time" and ready else []
    channel.send("done", notes=done)


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


def turns(models: int, rounds: int) -> list[list[int]]:
    """Order of the models in each round: rotated by one every second round, and back to front in between, so that
    each model stands equally often early and late, before and after each other."""
    orders = []
    for number in range(rounds):
        start = number // 2 % models
        order = [*range(start, models), *range(start)]
        orders.append(order if number % 2 == 0 else order[::-1])
    return orders


def _prepare(engine: Engine, channel: Channel, index: int, plan: ModelPlan) -> _Ready:
    """Load, run once and compare with golden; sends `loaded` and `parity`."""
    inputs = {tensor.name: _golden(tensor).astype(tensor.dtype, copy=False) for tensor in plan.inputs}
    golden = [_golden(tensor) for tensor in plan.outputs]
    started = time.perf_counter_ns()
    run = engine.load(plan)
    loaded = time.perf_counter_ns()
    outputs = run(inputs)
    ended = time.perf_counter_ns()
    channel.send("loaded", model=index, cold_ns=loaded - started, first_ns=ended - loaded)
    psnr_db, error = agreement(outputs, golden, [tensor.value_range for tensor in plan.outputs])
    channel.send("parity", model=index, psnr_db=psnr_db, max_abs_error=error)
    if psnr_db is not None and psnr_db < plan.floor_db:
        raise WrongOutputError(
            f"wrong output: {psnr_db:.1f} dB from the golden output, {plan.floor_db:g} dB is the floor; not timed"
        )
    picture_input = next((tensor for tensor in plan.inputs if needs_conversion(tensor)), None)
    picture_output = next((i for i, tensor in enumerate(plan.outputs) if needs_conversion(tensor)), None)
    picture = None if picture_input is None else to_picture(inputs[picture_input.name], picture_input)
    return _Ready(index, plan, run, inputs, picture_input, picture, picture_output)


def _golden(tensor: TensorPlan) -> np.ndarray:
    dtype = np.dtype(tensor.golden_dtype).newbyteorder("<")
    return np.fromfile(tensor.golden_file, dtype=dtype).reshape(tensor.golden_shape)


def _measure_fresh(engine: Engine, channel: Channel, model: _Ready, runtime_bytes: int) -> None:
    """Memory with the model in use, then a second load (which would count twice in the peak, so it comes last)."""
    for _ in range(RUNS_BEFORE_MEMORY):
        model.run(model.inputs)
    channel.send("memory", model=model.index, runtime_bytes=runtime_bytes, peak_bytes=peak_memory_bytes())
    started = time.perf_counter_ns()
    engine.load(model.plan)
    channel.send("reloaded", model=model.index, warm_ns=time.perf_counter_ns() - started)


def _time_rounds(channel: Channel, models: list[_Ready], plan: Plan) -> list[str]:
    """Warm up, then let the models take turns; sends `frames` after each turn. Returns notes on the threads used."""
    for model in models:
        for _ in range(plan.warmup):
            _frame(model, 0)
            channel.beat()
    rounds = min(plan.rounds, plan.iterations)
    counts = [plan.iterations // rounds + (number < plan.iterations % rounds) for number in range(rounds)]
    gc.collect()
    gc.disable()
    all_s = main_s = 0.0
    for number, order in enumerate(turns(len(models), rounds)):
        for position in order:
            model = models[position]
            if len(models) > 1:
                _frame(model, number)  # the other model's turn has evicted this one's weights; an app's would be there
            frames = []
            all_before, main_before = time.process_time(), time.thread_time()
            for _ in range(counts[number]):
                frames.append(_frame(model, number))
                channel.beat()
            all_s += time.process_time() - all_before
            main_s += time.thread_time() - main_before
            channel.send("frames", model=model.index, frames=frames)
        gc.collect()
    return thread_notes(all_s, main_s, plan.threads)


def thread_notes(all_s: float, main_s: float, threads: int) -> list[str]:
    """What to say where a runtime used more threads than were asked for.

    Args:
        all_s, main_s: CPU seconds of all threads of the process, and of the one that calls the runtime, which takes an
            equal share of the work. Their ratio holds on a busy machine too, where CPU time per wall time does not.
    """
    if all_s < SHORTEST_THREAD_CHECK_S or all_s <= threads * THREAD_TOLERANCE * main_s:
        return []
    used = all_s / max(main_s, 1e-9)
    return [f"the runtime spread its work over {used:.1f} threads though {threads} were asked for"]


def _frame(model: _Ready, number: int) -> list[int]:
    """One edit: picture to tensor, inference, tensor to picture. Returns [start, pre, inference, post, round]."""
    started = time.perf_counter_ns()
    before = started
    if model.picture_input is not None and model.picture is not None:
        model.inputs[model.picture_input.name] = to_tensor(model.picture, model.picture_input)
        before = time.perf_counter_ns()
    for _ in range(model.plan.repeat):
        outputs = model.run(model.inputs)
    after = ended = time.perf_counter_ns()
    if model.picture_output is not None:
        to_picture(outputs[model.picture_output], model.plan.outputs[model.picture_output])
        ended = time.perf_counter_ns()
    return [started, before - started, after - before, ended - after, number]


def _first_line(problem: Exception) -> str:
    text = str(problem).strip()
    return f"{type(problem).__name__}: {text.splitlines()[0]}" if text else type(problem).__name__
