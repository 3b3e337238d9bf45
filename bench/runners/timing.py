"""Frames of loaded models on the clock: warm-up until steady, turns, overlapping frames, a sustained run."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

import numpy as np

from pocketgan.bench.runners.picture import to_picture, to_tensor
from pocketgan.bench.runners.protocol import Channel, ModelPlan, Plan, TensorPlan, WarmupPlan

Inputs = Mapping[str, np.ndarray]
Run = Callable[[Inputs], Sequence[np.ndarray]]

# Scheduler noise and the interpreter's own threads stay far below this.
THREAD_TOLERANCE = 1.25
SHORTEST_THREAD_CHECK_S = 0.05
# How often a sustained run hands over its frames.
BATCH_S = 1.0


@dataclass
class Loaded:
    """A loaded and checked model with what its frames need."""

    index: int
    plan: ModelPlan
    run: Run
    inputs: dict[str, np.ndarray]
    picture_input: TensorPlan | None
    picture: np.ndarray | None
    picture_output: int | None


def warm_up(channel: Channel, model: Loaded, rule: WarmupPlan) -> None:
    """Run frames until the rule (job.Warmup) is met; sends `warmed`."""

    def frame() -> int:
        time_ns = sum(_frame(model, 0)[1:4])
        channel.beat()
        return time_ns

    iterations, spent, steady = until_warm(rule, frame, time.perf_counter_ns)
    channel.send("warmed", model=model.index, iterations=iterations, duration_ns=spent, steady=steady)


def until_warm(rule: WarmupPlan, frame: Callable[[], int], clock: Callable[[], int]) -> tuple[int, int, bool]:
    """Run frames until the rule (job.Warmup) is met.

    Args:
        frame: runs one frame and returns its nanoseconds. clock: nanoseconds now.
    Returns:
        How many frames ran, the nanoseconds that they took in all, and whether the device was steady then.
    """
    started = clock()
    end = started + int(rule.timeout_s * 1e9)
    times: list[int] = []
    steady = rule.timeout_s <= 0
    while len(times) < rule.iterations or not (steady or clock() >= end):
        times.append(frame())
        # Looked at once a window: with every frame anew, chance would find two windows alike.
        if len(times) % rule.window == 0 and len(times) >= 2 * rule.window:
            before, last = (median(part) for part in (times[-2 * rule.window : -rule.window], times[-rule.window :]))
            steady = steady or abs(before - last) <= rule.tolerance * last
    return len(times), clock() - started, steady


def turns(models: int, rounds: int) -> list[list[int]]:
    """Order of the models in each round: rotated by one every second round, and back to front in between, so that
    each model stands equally often early and late, before and after each other."""
    orders = []
    for number in range(rounds):
        start = number // 2 % models
        order = [*range(start, models), *range(start)]
        orders.append(order if number % 2 == 0 else order[::-1])
    return orders


def frames_of_rounds(iterations: int, rounds: int) -> list[int]:
    """How many frames each round has: as equal as can be, the first ones one more; never a round without any."""
    rounds = min(rounds, iterations)
    return [iterations // rounds + (number < iterations % rounds) for number in range(rounds)]


def take_turns(channel: Channel, models: list[Loaded], plan: Plan) -> list[str]:
    """Let the models take turns; sends `frames` after each turn. Returns notes on the threads used."""
    counts = frames_of_rounds(plan.iterations, plan.rounds)
    turn = _overlapping if plan.task == "overlap" else _one_by_one
    gc.collect()
    gc.disable()
    all_s = main_s = 0.0
    for number, order in enumerate(turns(len(models), len(counts))):
        for position in order:
            model = models[position]
            if len(models) > 1:
                _frame(model, number)  # the other model's turn has evicted this one's weights; an app's would be there
            all_before, main_before = time.process_time(), time.thread_time()
            frames = turn(channel, model, counts[number], number)
            all_s += time.process_time() - all_before
            main_s += time.thread_time() - main_before
            channel.send("frames", model=model.index, frames=frames)
        gc.collect()
    return [] if plan.task == "overlap" else thread_notes(all_s, main_s, plan.threads)


def sustain(channel: Channel, model: Loaded, duration_s: float) -> None:
    """Frame after frame for that long; sends `frames` about once a second."""
    gc.collect()
    gc.disable()
    now = time.perf_counter_ns()
    end, batch_end = now + int(duration_s * 1e9), now + int(BATCH_S * 1e9)
    frames: list[list[int]] = []
    while now < end:
        frames.append(_frame(model, 0))
        now = time.perf_counter_ns()
        if now >= batch_end or now >= end:
            channel.send("frames", model=model.index, frames=frames)
            frames, batch_end = [], now + int(BATCH_S * 1e9)
    gc.enable()


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


def _one_by_one(channel: Channel, model: Loaded, count: int, number: int) -> list[list[int]]:
    frames = []
    for _ in range(count):
        frames.append(_frame(model, number))
        channel.beat()
    return frames


def _overlapping(channel: Channel, model: Loaded, count: int, number: int) -> list[list[int]]:
    """As a camera app pipelines: while a frame is inferred, the next one's picture becomes a tensor and the last
    one's output a picture, each on a thread of its own. Frames as in `_frame`, with their end."""

    def convert() -> tuple[int, int, np.ndarray | None]:
        started = time.perf_counter_ns()
        tensor = None
        if model.picture_input is not None and model.picture is not None:
            tensor = to_tensor(model.picture, model.picture_input)
        return started, time.perf_counter_ns() - started, tensor

    def finish(frame: list[int], output: np.ndarray | None) -> list[int]:
        before = time.perf_counter_ns()
        if model.picture_output is not None and output is not None:
            to_picture(output, model.plan.outputs[model.picture_output])
        ended = time.perf_counter_ns()
        return [*frame, ended - before, number, ended]

    frames: list[Future[list[int]]] = []
    with ThreadPoolExecutor(1) as converters, ThreadPoolExecutor(1) as finishers:
        converted = converters.submit(convert)
        for left in range(count, 0, -1):
            started, pre, tensor = converted.result()
            if left > 1:
                converted = converters.submit(convert)
            if model.picture_input is not None and tensor is not None:
                model.inputs[model.picture_input.name] = tensor
            before = time.perf_counter_ns()
            outputs = _infer(model)
            # The next inference may write to the same place.
            output = None if model.picture_output is None else outputs[model.picture_output].copy()
            inference = time.perf_counter_ns() - before
            if frames:
                frames[-1].result()
            frames.append(finishers.submit(finish, [started, pre, inference], output))
            channel.beat()
    return [frame.result() for frame in frames]


def _infer(model: Loaded) -> Sequence[np.ndarray]:
    for _ in range(model.plan.repeat):
        outputs = model.run(model.inputs)
    return outputs


def _frame(model: Loaded, number: int) -> list[int]:
    """One edit: picture to tensor, inference, tensor to picture. Returns [start, pre, inference, post, round]."""
    started = time.perf_counter_ns()
    before = started
    if model.picture_input is not None and model.picture is not None:
        model.inputs[model.picture_input.name] = to_tensor(model.picture, model.picture_input)
        before = time.perf_counter_ns()
    outputs = _infer(model)
    after = ended = time.perf_counter_ns()
    if model.picture_output is not None:
        to_picture(outputs[model.picture_output], model.plan.outputs[model.picture_output])
        ended = time.perf_counter_ns()
    return [started, before - started, after - before, ended - after, number]
