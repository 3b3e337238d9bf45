"""What a training changes from step to step: networks, optimisers, averages and memories, stepped, saved and loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pocketgan.training.adam import Adam
from pocketgan.training.checkpoint import load_checkpoint, save_checkpoint
from pocketgan.training.data.samples import batch as stack
from pocketgan.training.layout import faster_layers, memory_format
from pocketgan.training.processes import average_over_processes, gathered
from pocketgan.training.programs import Part, Phase, Program

if TYPE_CHECKING:
    from accelerate import Accelerator


class TrainingState:
    """A program on the device of its process, with what optimises it.

    The program's networks are moved and put into train mode where they are optimised; `finish` ends that. Under
    `accelerate launch` every process has a state, and all of them take each step together.

    Args:
        steps: of the whole training; the rates depend on it.
        averaged: name of the network of which an exponential moving average is kept, of its weights and of batch norm's
            statistics alike.
        average_decay: of that average in the long run (`decay_at`); 0 for none.
    """

    def __init__(
        self, program: Program, accelerator: Accelerator, *, steps: int, averaged: str, average_decay: float
    ) -> None:
        self._program = program
        self._accelerator = accelerator
        self._steps = steps
        self._layout = memory_format(accelerator.device)
        self._networks = {
            name: network.to(accelerator.device).to(memory_format=self._layout)  # type: ignore[call-overload]
            for name, network in program.networks().items()
        }
        self._memories = {name: memory.to(accelerator.device) for name, memory in program.memories().items()}
        self._specs = program.optimisers()
        self._parameters = {
            name: [parameter for network in spec.networks for parameter in self._networks[network].parameters()]
            for name, spec in self._specs.items()
        }
        self._optimisers = {
            name: Adam(self._parameters[name], spec.learning_rate, spec.betas) for name, spec in self._specs.items()
        }
        optimised = sorted({network for spec in self._specs.values() for network in spec.networks})
        self._trained = {name: self._networks[name].train() for name in optimised}
        self._average_decay = average_decay
        self._averages: dict[str, dict[str, Tensor]] = {}
        if average_decay:
            self._averages[averaged] = _copied(self._networks[averaged].state_dict())

    def load(self, checkpoint: Path) -> int:
        """Go on from a checkpoint; the number of steps that are done, 0 where there is none that fits."""
        return load_checkpoint(
            checkpoint,
            self._trained,
            self._optimisers,
            self._averages,
            memories=self._memories,
            rank=self._accelerator.process_index,
        )

    def save(self, checkpoint: Path, done: int) -> None:
        """Write, from the first process, all that the step after the first `done` depends on.

        Raises:
            StorageError: the disk is full; the checkpoint before it is intact.
        """
        memories = {name: gathered(memory, self._accelerator) for name, memory in self._memories.items()}
        if self._accelerator.is_main_process:
            save_checkpoint(checkpoint, done, self._trained, self._optimisers, self._averages, memories=memories)

    def save_networks(self, path: Path, done: int) -> None:
        """Write the networks that are optimised, as they are after the first `done` steps; within `evaluation`, as they
        will ship.

        Raises:
            StorageError: the disk is full; what was there before is intact.
        """
        save_checkpoint(path, done, self._trained, {}, {})

    def load_networks(self, path: Path) -> int:
        """Put what `save_networks` wrote in their place; the number of steps that were done then."""
        return load_checkpoint(path, self._trained, {}, {})

    def step(self, samples: Sequence[dict[str, Tensor]], number: int) -> dict[str, Tensor]:
        """Step `number` (counted from 0) of every optimiser on this process's share of a batch; the minimised terms."""
        for name, spec in self._specs.items():
            for group in self._optimisers[name].param_groups:
                group["lr"] = spec.rate(number, self._steps)
        terms = self._phases(_on_device(samples, self._accelerator.device, self._layout))
        # Batch norm's statistics: every process goes on with one network.
        buffers = [buffer for network in self._trained.values() for buffer in network.buffers()]
        average_over_processes([buffer for buffer in buffers if buffer.is_floating_point()], self._accelerator)
        for name, weights in self._averages.items():
            _update_average(weights, self._networks[name], decay_at(number, self._average_decay))
        return terms

    def _phases(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All phases of one step; gradients are averaged over the processes before each optimiser steps."""
        minimised: dict[str, Tensor] = {}
        with self._accelerator.autocast():
            for found in self._computed(self._program.losses(batch)):
                phase, terms = found
                # Only this phase's parameters get gradients: the generator's loss goes through the discriminator
                # without computing or leaving anything in it.
                own = self._parameters[phase]
                torch.stack([*terms.values()]).sum().backward(inputs=own)
                minimised |= {name: value.detach() for name, value in terms.items()}
                if isinstance(found, Part):
                    continue
                for parameter in own:
                    if parameter.grad is None:
                        parameter.grad = torch.zeros_like(parameter)
                average_over_processes(
                    [parameter.grad for parameter in own if parameter.grad is not None], self._accelerator
                )
                self._optimisers[phase].step()
                self._optimisers[phase].zero_grad(set_to_none=True)
        return minimised

    def _computed(self, phases: Iterator[Phase]) -> Iterator[Phase]:
        """The phases, each computed with the faster layers: around the optimisers these would cost time alone."""
        bf16 = self._accelerator.mixed_precision == "bf16"
        while True:
            with faster_layers(self._accelerator.device, self._layout, bf16):
                found = next(phases, None)
            if found is None:
                return
            yield found

    def not_finite(self) -> list[str]:
        """Names of what a checkpoint would hold with numbers that are not finite."""
        modules = {**self._trained, **self._memories}
        parts: dict[str, Iterable[Tensor]] = {
            **{name: module.state_dict().values() for name, module in modules.items()},
            **{
                f"the optimiser of {name}": [value for state in optimiser.state.values() for value in state.values()]
                for name, optimiser in self._optimisers.items()
            },
            **{f"the average of {name}": weights.values() for name, weights in self._averages.items()},
        }
        return [name for name, tensors in parts.items() if not all(torch.isfinite(value).all() for value in tensors)]

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """The networks as they will ship: averages in their place, in eval mode, without gradients."""
        trained = {name: _copied(self._networks[name].state_dict()) for name in self._averages}
        for name, weights in self._averages.items():
            self._networks[name].load_state_dict(weights)
        for network in self._trained.values():
            network.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            for name, weights in trained.items():
                self._networks[name].load_state_dict(weights)
            for network in self._trained.values():
                network.train()

    def finish(self) -> None:
        """Averages take the place of what they are of, and every network is put into eval mode."""
        for name, weights in self._averages.items():
            self._networks[name].load_state_dict(weights)
        for network in self._networks.values():
            network.eval()


def decay_at(step: int, decay: float) -> float:
    """The average's decay after the step of that number, counted from 0: small at first, `decay` in the long run.

    min(decay, (1 + t) / (10 + t)), as TensorFlow's `tf.train.ExponentialMovingAverage` takes it with `num_updates`. An
    average with 0.999 from the first step on would still be a third random start after 1,000 steps.
    """
    return min(decay, (1 + step) / (10 + step))


def _copied(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in weights.items()}


@torch.no_grad()
def _update_average(weights: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    for key, value in network.state_dict().items():
        if value.is_floating_point():
            weights[key].lerp_(value, 1 - decay)
        else:
            weights[key].copy_(value)


def _on_device(
    samples: Sequence[dict[str, Tensor]], device: torch.device, layout: torch.memory_format
) -> dict[str, Tensor]:
    """The batch on the device, in float32; whole numbers (label maps) travel as bytes."""
    batch = {}
    for name, value in stack(samples).items():
        if device.type == "cuda":
            value = value.pin_memory()
        batch[name] = value.to(device, non_blocking=True).float().contiguous(memory_format=layout)
    return batch
