"""Times layers as a runtime on this device runs them, once: results are cached per device, target, versions and number
of threads. Whole networks are timed the same way."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketgan import console
from pocketgan.errors import DeviceError
from pocketgan.files import sha256_json, write_atomic
from pocketgan.latency.prediction import EMPTY, LatencyModel, Unit, fit, units

if TYPE_CHECKING:
    from torch import nn

    from pocketgan.bench.runners.protocol import ModelPlan
    from pocketgan.training.generators import GeneratorSpec

CACHE_FORMAT = 2
# Micro-benchmarks of each shape of layer; more where a kind has few shapes, fewer where it has many.
LAYERS_PER_SHAPE = {"onnx": 6, "executorch-xnnpack": 4}
LEAST_PER_KIND, ENOUGH_PER_KIND = 12, 48
IMAGE_CHANNELS = 4
ROUNDS, FRAMES_PER_ROUND, WARMUP = 8, 4, 2
# Widths of the points go down to this part of the teacher's, evenly on a logarithmic scale.
SMALLEST_PART = 1 / 16
# Half of the points have few outputs, of which each number of blocks has a speed of its own.
NARROW = (8, 16, 24, 32)
# In the other half inputs and outputs are multiples of these in turn, 1 meaning odd: odd ones take other kernels.
ROUNDINGS = ((8, 8), (16, 16), (1, 4), (4, 1), (16, 8), (1, 1), (8, 16), (4, 4))


@dataclass(frozen=True)
class Platform:
    """What times belong to."""

    target: str
    threads: int = 1

    @property
    def runtime(self) -> str:
        from pocketgan.export.targets import find_target

        return find_target(self.target)[0].runtime

    def identity(self) -> dict[str, Any]:
        """All that times depend on but the network."""
        from pocketgan.bench.devices.host import cpu_name
        from pocketgan.export.targets import find_target

        target, precision = find_target(self.target)
        return {
            "format": CACHE_FORMAT,
            "device": cpu_name(),
            "target": target.name,
            "precision": precision,
            "rewrites": list(target.rewrites),
            "versions": {package: metadata.version(package) for package in target.packages},
            "threads": self.threads,
        }


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
    cache = _Cache(platform, refresh)
    layers = layer_points(spec, LAYERS_PER_SHAPE[platform.target])
    missing = [layer for layer in layers if layer not in cache.times]
    if missing:
        console.note(
            f"timing {len(missing)} layers on this device, once (a minute or two): {platform.target}, "
            f"{platform.threads} thread{'s' if platform.threads > 1 else ''}"
        )
        modules = [(_layer_network(layer), (layer.inputs, layer.height, layer.width)) for layer in missing]
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


def check_platform(platform: Platform) -> None:
    """Raises ExportError or DeviceError where this host cannot time the target."""
    from pocketgan.bench.devices.local import LocalDevice
    from pocketgan.export.targets import find_target

    target, _ = find_target(platform.target)
    if target.name not in LAYERS_PER_SHAPE:
        raise DeviceError(
            f"latency on {target.name} can be measured on a Mac or a phone only, not on this host; "
            f"here --target takes {', '.join(LAYERS_PER_SHAPE)}"
        )
    target.check_installed()
    if target.runtime not in LocalDevice().runtimes:
        raise DeviceError(f"the runtime {target.runtime} is not installed here: pip install 'pocketgan[export]'")
    if platform.threads < 1:
        raise DeviceError(f"--threads is at least 1, not {platform.threads}")


def layer_points(spec: GeneratorSpec, per_shape: int) -> list[Unit]:
    """Layers to time: of each shape of layer that `spec` has about `per_shape` widths, spread over what pruning leaves.

    The points are those of the R2 sequence (Roberts 2018), which fills a square evenly, on logarithmic axes.
    """
    shapes: dict[tuple[object, ...], Unit] = {}
    for layer in units(spec):
        if layer.kind == "norm" and layer.norm.startswith("batch"):
            continue
        widens = layer.outputs > layer.inputs
        shape = (layer.group, layer.kernel, layer.stride, layer.height, layer.width, widens)
        if shape not in shapes or layer.inputs * layer.outputs > shapes[shape].inputs * shapes[shape].outputs:
            shapes[shape] = layer
    kinds = Counter(layer.group for layer in shapes.values())
    points = [EMPTY]
    for layer in shapes.values():
        # Shape after shape takes the next points of one sequence: those of one kind share constants.
        shared = kinds[layer.group]
        enough = max(2, -(-ENOUGH_PER_KIND // shared))
        count = max(min(per_shape, enough), -(-LEAST_PER_KIND // shared))
        points += [_narrowed(layer, len(points) + index) for index in range(count)]
    return list(dict.fromkeys(points))


def _narrowed(layer: Unit, index: int) -> Unit:
    """The layer with fewer channels: the `index`-th point."""
    u, v = (0.5 + (index + 1) * 0.7548776662) % 1, (0.5 + (index + 1) * 0.5698402910) % 1
    turn, spread = divmod(index, 2)
    rounding = ROUNDINGS[turn % len(ROUNDINGS)] if spread else (8, 1)
    inputs = layer.inputs if layer.inputs <= IMAGE_CHANNELS else _part(layer.inputs, v, rounding[0])
    outputs = _part(layer.outputs, u, rounding[1]) if spread else min(NARROW[turn % len(NARROW)], layer.outputs)
    if layer.head:
        outputs = layer.outputs
    if layer.kind == "norm":
        outputs = inputs
    groups = layer.groups
    if layer.group == "depthwise":
        inputs = groups = outputs
    return replace(layer, inputs=inputs, outputs=outputs, groups=groups)


def _part(width: int, u: float, rounding: int) -> int:
    part = width * SMALLEST_PART ** (1 - u)
    if rounding == 1:
        return min(width - 1 | 1, int(part) | 1)
    return max(min(rounding, width), min(width, round(part / rounding) * rounding))


def whole_network(spec: GeneratorSpec) -> GeneratorSpec:
    """A quarter of the widths, in multiples of 8: the network that shows what the layers alone do not."""
    return spec.with_widths({name: min(width, max(8, round(width / 32) * 8)) for name, width in spec.widths.items()})


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
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pocketgan-")))
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
    from pocketgan.export import export
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


def _layer_network(layer: Unit) -> nn.Module:
    """The layer as networks hold it: reflection in front of odd kernels of stride 1, ReLU behind, tanh to the image."""
    import torch
    from torch import nn

    k, s = layer.kernel, layer.stride
    parts: list[nn.Module] = []
    if layer.kind == "empty":
        pass
    elif layer.kind == "norm":
        parts.append(nn.InstanceNorm2d(layer.inputs, affine=layer.norm == "instance-affine"))
    elif layer.kind == "transposed":
        padding = (k - s + 1) // 2
        parts.append(nn.ConvTranspose2d(layer.inputs, layer.outputs, k, s, padding, 2 * padding - (k - s)))
    elif s == 1 and k % 2 and 0 < k // 2 < min(layer.height, layer.width):
        parts.append(nn.ReflectionPad2d(k // 2))
        parts.append(nn.Conv2d(layer.inputs, layer.outputs, k, groups=layer.groups))
    else:
        parts.append(nn.Conv2d(layer.inputs, layer.outputs, k, s, padding=(k - 1) // 2, groups=layer.groups))
    module = nn.Sequential(*parts, nn.Tanh() if layer.head else nn.ReLU())
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.1, generator=generator)
    return module


class _Cache:
    """Milliseconds by layer, and by spec digest, of one platform; a file in the user's cache folder."""

    def __init__(self, platform: Platform, refresh: bool) -> None:
        self._identity = platform.identity()
        self.path = cache_folder() / f"latency-{platform.target}-{sha256_json(self._identity)[:16]}.json"
        self.times: dict[Unit, float] = {}
        self.networks: dict[str, float] = {}
        if not refresh:
            self._load()

    def _load(self) -> None:
        """What cannot be read is measured again."""
        try:
            stored = json.loads(self.path.read_text())
            if stored["identity"] == self._identity:
                times = {Unit(**layer): float(ms) for layer, ms in stored["times"]}
                self.networks = {str(digest): float(ms) for digest, ms in stored["networks"].items()}
                self.times = times
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass

    def save(self) -> None:
        """Raises StorageError where the folder cannot be written."""
        times = [[asdict(layer), ms] for layer, ms in self.times.items()]
        write_atomic(self.path, json.dumps({"identity": self._identity, "times": times, "networks": self.networks}))


def cache_folder() -> Path:
    """`pocketgan` in the user's cache folder (XDG_CACHE_HOME)."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "pocketgan"
