"""The one training loop: devices, processes, checkpoints, averages, trackers, sample pictures. Knows no program.

Every random choice is a function of the seed and the step, so that a run that was killed and resumed is the run that
was not, bit for bit on one machine.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from pocketgan import console
from pocketgan.errors import ModelError, PocketganError, storage_errors
from pocketgan.training.checkpoint import load_checkpoint, save_checkpoint
from pocketgan.training.convolutions import faster_convolutions
from pocketgan.training.data.images import write_image
from pocketgan.training.data.prefetch import prefetched
from pocketgan.training.data.samples import Samples
from pocketgan.training.data.samples import batch as stack
from pocketgan.training.programs import Program

if TYPE_CHECKING:
    from accelerate import Accelerator

CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class FitOptions:
    """How long and how to train.

    Attributes:
        steps: optimiser steps.
        batch_size: images a step, over all processes.
        seed: of order, augmentation and dropout.
        checkpoint_every, sample_every, log_every: in steps.
        average: name of the network of which an exponential moving average is kept and put in its place at the end.
        average_decay: of that average; 0 for none.
    """

    steps: int
    batch_size: int
    seed: int
    checkpoint_every: int = 200
    sample_every: int = 200
    log_every: int = 20
    average: str = "generator"
    average_decay: float = 0.0


def fit(
    program: Program,
    data: Samples,
    options: FitOptions,
    folder: Path,
    label: str,
    accelerator: Accelerator,
    picture: Callable[[Program], np.ndarray] | None = None,
) -> None:
    """Train until `options.steps`, going on from the checkpoint in `folder` if there is one.

    Writes `checkpoint.safetensors`, `tensorboard/` and `samples/step_N.png` into `folder`, from the first process
    only. On return the program's networks are trained and in eval mode.

    Args:
        picture: makes an (h, w, 3) uint8 overview of the program's present state.
    Raises:
        ModelError: a loss is not a finite number.
        PocketganError: the batch cannot be divided among the processes.
        StorageError: the disk is full; the last checkpoint is intact.
    """
    world = accelerator.num_processes
    if options.batch_size % world:
        raise PocketganError(
            f"{label}: batch_size {options.batch_size} cannot be divided among {world} processes; "
            f"choose a multiple of {world}"
        )
    layout = memory_format(accelerator.device)
    networks = {
        name: network.to(accelerator.device).to(memory_format=layout)  # type: ignore[call-overload]
        for name, network in program.networks().items()
    }
    specs = program.optimisers()
    parameters = {
        name: [p for network in spec.networks for p in networks[network].parameters()] for name, spec in specs.items()
    }
    optimisers = {
        # Fused: one pass over each tensor instead of ten.
        name: torch.optim.Adam(parameters[name], lr=spec.learning_rate, betas=spec.betas, fused=True)
        for name, spec in specs.items()
    }
    trained = {network for spec in specs.values() for network in spec.networks}
    stored = {name: networks[name] for name in trained}
    memories = {name: memory.to(accelerator.device) for name, memory in program.memories().items()}
    averages: dict[str, dict[str, Tensor]] = {}
    if options.average_decay:
        averages[options.average] = {
            key: value.detach().clone() for key, value in networks[options.average].state_dict().items()
        }
    checkpoint = folder / CHECKPOINT
    start = load_checkpoint(checkpoint, stored, optimisers, averages, memories, accelerator.process_index)
    if start:
        console.note(f"{label}: going on from step {start} of {options.steps}")
    tracker = _Tracker(folder, start) if accelerator.is_main_process else None
    for name in trained:
        networks[name].train()

    def samples(step: int) -> list[dict[str, Tensor]]:
        return _samples(data, options, step, accelerator.process_index, world)

    with (
        console.progress(label, options.steps, start) as bar,
        closing(prefetched(samples, start, options.steps)) as batches,
        faster_convolutions(accelerator.device),
    ):
        for step, batch in enumerate(batches, start):
            torch.manual_seed(_key(options.seed, step, accelerator.process_index))
            for name, spec in specs.items():
                for group in optimisers[name].param_groups:
                    group["lr"] = spec.rate(step, options.steps)
            terms = _step(program, _on_device(batch, accelerator.device, layout), parameters, optimisers, accelerator)
            _share_statistics([networks[name] for name in sorted(trained)], accelerator)
            for name, average in averages.items():
                _update_average(average, networks[name], options.average_decay)
            done = step + 1
            last = done == options.steps
            if done % options.log_every == 0 or last or step == start:
                values = {name: float(value) for name, value in terms.items()}
                _require_finite(values, label, done)
                detail = "  ".join(f"{name} {value:.3g}" for name, value in values.items())
                if tracker:
                    tracker.scalars(values, done)
            bar.advance(1, detail)
            if tracker and picture and (done % options.sample_every == 0 or last):
                tracker.picture(_eval_picture(picture, program, [networks[name] for name in sorted(trained)]), done)
            if done % options.checkpoint_every == 0 and not last:
                remembered = {name: _of_all(memory, accelerator) for name, memory in memories.items()}
                if accelerator.is_main_process:
                    save_checkpoint(checkpoint, done, stored, optimisers, averages, remembered)
    if tracker:
        tracker.close()
    for name, average in averages.items():
        networks[name].load_state_dict(average)
    for network in networks.values():
        network.eval()
    accelerator.wait_for_everyone()


def _step(
    program: Program,
    batch: Mapping[str, Tensor],
    parameters: Mapping[str, list[nn.Parameter]],
    optimisers: Mapping[str, torch.optim.Optimizer],
    accelerator: Accelerator,
) -> dict[str, Tensor]:
    """All phases of one step; gradients are averaged over the processes before each optimiser steps."""
    seen: dict[str, Tensor] = {}
    with accelerator.autocast():
        for phase, terms in program.losses(batch):
            # Only this phase's parameters get gradients: the generator's loss goes through the discriminator without
            # computing or leaving anything in it.
            own = parameters[phase]
            torch.stack([*terms.values()]).sum().backward(inputs=own)
            for parameter in own:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            _average_gradients(own, accelerator)
            optimisers[phase].step()
            optimisers[phase].zero_grad(set_to_none=True)
            seen |= {name: value.detach() for name, value in terms.items()}
    return seen


def _average_gradients(parameters: list[nn.Parameter], accelerator: Accelerator) -> None:
    if accelerator.num_processes == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    for gradient, mean in zip(gradients, _mean(gradients, accelerator), strict=True):
        gradient.copy_(mean)


def _mean(tensors: list[Tensor], accelerator: Accelerator) -> list[Tensor]:
    """Mean over the processes, in one message."""
    if not tensors:
        return tensors
    flat = accelerator.reduce(torch.cat([tensor.flatten() for tensor in tensors]), reduction="mean")
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


@torch.no_grad()
def _share_statistics(networks: list[nn.Module], accelerator: Accelerator) -> None:
    """Batch norm statistics become their mean over the processes, so that every process holds one network."""
    if accelerator.num_processes == 1:
        return
    buffers = [b for network in networks for b in network.buffers() if b.is_floating_point()]
    for buffer, mean in zip(buffers, _mean(buffers, accelerator), strict=True):
        buffer.copy_(mean)


@torch.no_grad()
def _update_average(average: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    for key, value in network.state_dict().items():
        if value.is_floating_point():
            average[key].lerp_(value, 1 - decay)
        else:
            average[key].copy_(value)


def memory_format(device: torch.device) -> torch.memory_format:
    """How tensors lie in memory: channels last on a GPU, whose tensor cores read it so; not on a CPU.

    On the CPU oneDNN's weight gradients take up to seven times as long in channels last; see convolutions.py.
    """
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


def _on_device(
    samples: list[dict[str, Tensor]], device: torch.device, layout: torch.memory_format
) -> dict[str, Tensor]:
    """The batch on the device, in float32; whole numbers (label maps) travel as bytes."""
    batch = {}
    for name, value in stack(samples).items():
        if device.type == "cuda":
            value = value.pin_memory()
        batch[name] = value.to(device, non_blocking=True).float().contiguous(memory_format=layout)
    return batch


@torch.no_grad()
def _of_all(memory: nn.Module, accelerator: Accelerator) -> dict[str, Tensor]:
    """What the processes remember, each in a slice of its own along a new first dimension."""
    return {name: accelerator.gather(value[None]) for name, value in memory.state_dict().items()}


def _samples(data: Samples, options: FitOptions, step: int, rank: int, world: int) -> list[dict[str, Tensor]]:
    """This process's share of the batch of a step; every epoch is a fresh permutation."""
    samples = []
    for position in range(step * options.batch_size + rank, (step + 1) * options.batch_size, world):
        epoch, place = divmod(position, len(data))
        samples.append(
            data.sample(
                int(_order(options.seed, epoch, len(data))[place]), np.random.default_rng([options.seed, position])
            )
        )
    return samples


@functools.lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> list[int]:
    return torch.randperm(count, generator=torch.Generator().manual_seed(_key(seed, epoch, 0))).tolist()


def _key(*numbers: int) -> int:
    """A seed that differs for every tuple of numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def _require_finite(values: Mapping[str, float], label: str, step: int) -> None:
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        raise ModelError(
            f"{label} diverged: {', '.join(bad)} is not a finite number at step {step}; "
            "lower the learning rate and run again"
        )


@torch.no_grad()
def _eval_picture(picture: Callable[[Program], np.ndarray], program: Program, networks: list[nn.Module]) -> np.ndarray:
    for network in networks:
        network.eval()
    try:
        return picture(program)
    finally:
        for network in networks:
            network.train()


class _Tracker:
    """TensorBoard scalars and pictures, and the pictures as PNG."""

    def __init__(self, folder: Path, start: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = folder / "samples"
        with storage_errors(folder):
            # Events after the checkpoint that a killed run left are hidden.
            self._writer: Any = SummaryWriter(folder / "tensorboard", purge_step=start + 1 if start else None)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"loss/{name}", value, step)

    def picture(self, pixels: np.ndarray, step: int) -> None:
        write_image(self._folder / f"step_{step:06d}.png", pixels)
        self._writer.add_image("samples", pixels, step, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()
