"""Times layers and whole networks as a runtime on this device runs them, and gives the latency model fitted to them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketgan import console
from pocketgan.errors import DeviceError
from pocketgan.latency.cache import TimesCache
from pocketgan.latency.platform import Platform, check_platform
from pocketgan.latency.points import layer_network, layer_points, whole_network
from pocketgan.latency.prediction import LatencyModel, fit
from pocketgan.scratch import scratch_folder
from pocketgan.targets import TARGETS

if TYPE_CHECKING:
    from torch import nn

    from pocketgan.bench.runners.protocol import ModelPlan
    from pocketgan.training.generators import GeneratorSpec

ROUNDS, FRAMES_PER_ROUND, WARMUP = 8, 4, 2


def latency_model(spec: GeneratorSpec, platform: Platform, refresh: bool = False) -> LatencyModel:
    """The latency model of networks pruned from `spec`, from the cache where it has their layers.

    Args:
        refresh: measure again whatever the cache holds.
    Raises:
        ExportError: the target is unknown or cannot express the layers.
        DeviceError: this host cannot run the target, or another pocketgan is measuring.
        StorageError: the cache cannot be written.
    """
    check_platform(platform)
    cache = TimesCache(platform, refresh)
    layers = layer_points(spec, TARGETS[platform.target].layers_per_shape)
    missing = [layer for layer in layers if layer not in cache.times]
    if missing:
        console.note(
            f"timing {len(missing)} layers on this device, once (a minute or two): {platform.target}, "
            f"{platform.threads} thread{'s' if platform.threads > 1 else ''}"
        )
        modules = [(layer_network(layer), (layer.inputs, layer.height, layer.width)) for layer in missing]
        cache.times.update(zip(missing, time_modules(modules, platform), strict=True))
        cache.save()
    model, whole = fit({layer: cache.times[layer] for layer in layers}), whole_network(spec)
    if whole.digest not in cache.networks:
        cache.networks[whole.digest] = measure_networks([whole], platform)[0]
        cache.save()
    return model.corrected(whole, cache.networks[whole.digest])


def measure_networks(specs: Sequence[GeneratorSpec], platform: Platform, rounds: int = ROUNDS) -> list[float]:
    """Milliseconds that fresh networks of these specs take, undisturbed: the fastest of each one's runs.

    Args:
        rounds: how often they take turns; a busy machine needs more until each had a quiet moment.
    Raises:
        ExportError, DeviceError: as `latency_model`.
    """
    from pocketgan.training.generators import build

    check_platform(platform)
    modules = [(build(spec), (spec.input_channels, spec.height, spec.width)) for spec in specs]
    return time_modules(modules, platform, rounds)


def time_modules(
    modules: Sequence[tuple[nn.Module, tuple[int, int, int]]], platform: Platform, rounds: int = ROUNDS
) -> list[float]:
    """Milliseconds of each module with its input's shape, undisturbed: the fastest of its runs.

    They take turns in one subprocess, so that a slow spell of the machine hits no one alone.
    """
    from pocketgan.bench.devices.local import LocalDevice
    from pocketgan.bench.runners.process import run_plan
    from pocketgan.bench.runners.protocol import Plan, WarmupPlan

    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder())
        stack.enter_context(LocalDevice().lock())
        plans: list[ModelPlan] = []
        with console.progress("export", len(modules)) as bar:
            for index, (module, shape) in enumerate(modules):
                plans.append(_exported(module, shape, platform.target, folder / str(index)))
                bar.advance()
        best = [math.inf] * len(plans)
        frames = rounds * FRAMES_PER_ROUND
        plan = Plan("time", tuple(plans), platform.threads, WarmupPlan(WARMUP), frames, rounds)
        with console.progress("timing", len(plans) * frames) as bar:

            def take(event: dict[str, Any]) -> None:
                if event["event"] == "failed":
                    raise DeviceError(f"a layer cannot be timed: {event['message']}")
                if event["event"] == "frames":
                    times = [inference for _, _, inference, _, _ in event["frames"]]
                    best[event["model"]] = min(best[event["model"]], min(times) / 1e6)
                    bar.advance(len(times))

            run_plan(platform.runtime, plan, take)
    return best


def _exported(module: nn.Module, shape: tuple[int, int, int], target: str, folder: Path) -> ModelPlan:
    """The module as the target's file with golden tensors beside it, as a runner takes it."""
    import torch

    from pocketgan.bench.runners.protocol import ModelPlan, TensorPlan
    from pocketgan.export.entry import export
    from pocketgan.export.golden import golden_outputs, write_golden

    folder.mkdir(parents=True)
    # Not the stand-ins for photos: a deep layer may be one pixel large.
    golden = golden_outputs(module, np.random.default_rng(0).uniform(-1, 1, (1, *shape)).astype(np.float32))
    artifact = export(module, target, folder=folder, example=(torch.zeros(1, *shape),), golden=golden)
    stored = write_golden(folder, golden)
    sides = []
    for tensor in (stored.inputs[0], stored.outputs[0]):
        size = tuple(tensor.shape)
        file = str(folder / tensor.file.path)
        sides.append((TensorPlan(tensor.name, size, "NCHW", "float32", None, None, file, "float32", size),))
    return ModelPlan(str(folder / artifact.entry.components[0].entry_point), sides[0], sides[1], floor_db=30.0)
