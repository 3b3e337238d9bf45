"""The one training loop: steps, checkpoints, losses and sample pictures in their turn. Knows no program.

Every random choice is a function of the seed and the step, so that a run that was killed and resumed is the run that
was not, bit for bit on one machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pocketgan import console
from pocketgan.errors import ModelError, PocketganError
from pocketgan.processor import cpu_name, fast_bf16
from pocketgan.training.data.order import seed_of, share_of_step
from pocketgan.training.data.prefetch import prefetched
from pocketgan.training.data.samples import Samples
from pocketgan.training.measuring import Measuring, Watch
from pocketgan.training.programs import Program
from pocketgan.training.state import TrainingState
from pocketgan.training.tracker import Tracker

if TYPE_CHECKING:
    from accelerate import Accelerator

CHECKPOINT = "checkpoint.safetensors"
# Of seeds: what draws the inputs without targets.
UNLABELLED = 1


@dataclass(frozen=True)
class FitOptions:
    """How long and how to train.

    Attributes:
        steps: optimiser steps.
        batch_size: images a step, over all processes.
        seed: of order, augmentation and dropout.
        checkpoint_every, sample_every, log_every: in steps.
        average: name of the network of which an exponential moving average is kept and put in its place at the end.
        average_decay: of that average in the long run (`state.decay_at`); 0 for none.
        keep_last: whether a checkpoint is written after the last step too, from which a longer training goes on.
        unlabelled_batch_size: inputs without targets a step, over all processes.
    """

    steps: int
    batch_size: int
    seed: int
    checkpoint_every: int = 200
    sample_every: int = 200
    log_every: int = 20
    average: str = "generator"
    average_decay: float = 0.0
    keep_last: bool = False
    unlabelled_batch_size: int = 1


def fit(
    program: Program,
    data: Samples,
    options: FitOptions,
    folder: Path,
    label: str,
    accelerator: Accelerator,
    picture: Callable[[Program], np.ndarray] | None = None,
    measuring: Measuring | None = None,
    unlabelled: Samples | None = None,
) -> None:
    """Train until `options.steps`, going on from the checkpoint in `folder` if there is one.

    Writes `checkpoint.safetensors`, `tensorboard/`, `samples/step_N.png` and what `Evaluations` keeps into `folder`,
    from the first process only. On return the program's networks are trained and in eval mode: those of the last step,
    or of the best evaluation where `measuring` says so.

    Args:
        picture: makes an (h, w, 3) uint8 overview of the program's present state.
        measuring: evaluations; of the first process alone, for which the others wait in their next step.
        unlabelled: inputs without targets, which batches hold beside the pairs; in an order of their own.
    Raises:
        ModelError: a loss or a weight is not a finite number; the checkpoint before it is intact.
        PocketganError: the batch cannot be divided among the processes.
        StorageError: the disk is full; the last checkpoint is intact.
    """
    _must_divide("batch_size", options.batch_size, accelerator.num_processes, label)
    if unlabelled is not None:
        _must_divide("unlabelled_batch_size", options.unlabelled_batch_size, accelerator.num_processes, label)
    if accelerator.mixed_precision == "bf16" and accelerator.device.type == "cpu":
        _say_where_bf16_does_not_pay(label)
    rank, world = accelerator.process_index, accelerator.num_processes
    state = TrainingState(
        program,
        accelerator,
        steps=options.steps,
        averaged=options.average,
        average_decay=options.average_decay,
    )
    checkpoint = folder / CHECKPOINT
    start = state.load(checkpoint)
    if start:
        console.note(f"{label}: going on from step {start} of {options.steps}")
    tracker = Tracker(folder, start) if accelerator.is_main_process else None
    watch = None
    if measuring and tracker:
        watch = Watch(
            measuring, program, state, tracker, folder=folder, steps=options.steps, seed=options.seed, label=label
        )
        watch.go_on(start, label)

    def samples(step: int) -> list[dict[str, Tensor]]:
        pairs = share_of_step(data, step, batch_size=options.batch_size, seed=options.seed, rank=rank, world=world)
        if unlabelled is None:
            return pairs
        size, seed = options.unlabelled_batch_size, seed_of(options.seed, UNLABELLED)
        return pairs + share_of_step(unlabelled, step, batch_size=size, seed=seed, rank=rank, world=world)

    with (
        console.progress(label, options.steps, start) as bar,
        closing(prefetched(samples, start, options.steps)) as batches,
    ):
        for step, batch in enumerate(batches, start):
            torch.manual_seed(seed_of(options.seed, step, rank))
            terms = state.step(batch, step)
            done = step + 1
            last = done == options.steps
            saving = options.keep_last if last else done % options.checkpoint_every == 0
            evaluating = watch is not None and watch.is_due(done)
            if saving or last or evaluating:
                _check_finite(state, label, done)
            if done % options.log_every == 0 or saving or last or step == start:
                values = _finite(terms, label, done)
                detail = "  ".join(f"{name} {value:.3g}" for name, value in values.items())
                if tracker:
                    tracker.scalars(values, done)
            bar.advance(1, detail)
            if watch and evaluating:
                watch.evaluate(done)
            if tracker and picture and (done % options.sample_every == 0 or last):
                with state.evaluation():
                    pixels = picture(program)
                tracker.picture(pixels, done)
            if saving:
                state.save(checkpoint, done)
                if watch:
                    watch.tidy()
        if watch:
            watch.evaluate(options.steps)  # of a shorter training's checkpoint, which had another last step
    if tracker:
        tracker.close()
    state.finish()
    if watch:
        watch.ship()
    accelerator.wait_for_everyone()


def _say_where_bf16_does_not_pay(label: str) -> None:
    fast = fast_bf16()
    if fast is None:
        console.note(
            f"{label}: precision bf16 does not pay on this processor ({cpu_name()}), which has neither AMX nor AVX-512 "
            "BF16: its steps take several times as long as those of fp32"
        )
    elif fast != "AMX":
        console.note(
            f"{label}: precision bf16 may not pay on this processor ({cpu_name()}), which has {fast} without AMX: "
            "compare a few steps with those of fp32"
        )


def _must_divide(name: str, batch_size: int, world: int, label: str) -> None:
    if batch_size % world:
        raise PocketganError(
            f"{label}: {name} {batch_size} cannot be divided among {world} processes; choose a multiple of {world}"
        )


def _finite(terms: Mapping[str, Tensor], label: str, step: int) -> dict[str, float]:
    """The terms' values.

    Raises:
        ModelError: one of them is not a finite number.
    """
    values = {name: float(value) for name, value in terms.items()}
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        raise _diverged(label, bad, step)
    return values


def _check_finite(state: TrainingState, label: str, step: int) -> None:
    """Before anything is written: weights may be lost in a step whose losses were finite still.

    Raises:
        ModelError: a weight, an optimiser's moment or an average is not a finite number.
    """
    bad = state.not_finite()
    if bad:
        raise _diverged(label, bad, step)


def _diverged(label: str, what: Sequence[str], step: int) -> ModelError:
    return ModelError(
        f"{label} diverged: {', '.join(what)} {'is' if len(what) == 1 else 'are'} not finite at step {step}; lower the "
        "learning rate and run again with --restart"
    )
