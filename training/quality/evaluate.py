"""Every quality number of a folder of generated pictures in one go, each with what it depends on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from pocketgan.errors import DataError, DeviceError, require
from pocketgan.training.quality.distributions import (
    LEAST,
    bias_warning,
    frechet_inception_distance,
    kernel_inception_distance,
)
from pocketgan.training.quality.folder import find_images, left_out_of, match_names
from pocketgan.training.quality.inception import RESIZE, extract, load_inception
from pocketgan.training.quality.perceptual import Backbone, Perceptual, perceptual_distances
from pocketgan.training.quality.segmentation import Judging, Segmenter, measure_confusion
from pocketgan.training.quality.weights import Weights

Metric = Literal["fid", "kid", "lpips", "miou"]


@dataclass(frozen=True)
class Options:
    """What to measure and with what.

    Args:
        metrics: names; miou needs `segmentation` and `labels`, the others a reference.
        inception: `auto`, `package`, `download`, or a file (see `load_inception`).
        lpips_net, lpips_weights: see `Perceptual`.
        segmentation, labels, judging: the network's file, the folder of label PNGs, and how it is asked.
        batch_size: pictures per forward pass.
        workers: threads that decode and resize; one per core where None.
        device: auto, cpu or cuda.
        seed: of KID's subsets.
    """

    metrics: tuple[Metric, ...] = ("fid", "kid")
    inception: str = "auto"
    lpips_net: Backbone = "alex"
    lpips_weights: Path | None = None
    segmentation: Path | None = None
    labels: Path | None = None
    judging: Judging = field(default_factory=Judging)
    batch_size: int = 32
    workers: int | None = None
    device: str = "auto"
    seed: int = 0


@dataclass(frozen=True)
class Measurement:
    """One number. `seconds` is what it takes alone: features, which FID and KID share, and distance.

    `more` holds what belongs to one metric only, such as the IoU of each class.
    """

    value: float
    generated_images: int
    reference_images: int
    weights: Weights
    resize: str
    seconds: float
    more: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        fields = asdict(self)
        more = fields.pop("more")
        return fields | more


@dataclass(frozen=True)
class Quality:
    """Measurements by metric, where they ran, and what to keep in mind when reading them."""

    measurements: dict[Metric, Measurement]
    device: str
    warnings: list[str]


def evaluate(generated: Path, reference: Path | None, options: Options) -> Quality:
    """Measure a folder of pictures against a folder of real ones, or against label maps (mIoU).

    Everything that can be wrong with folders, names and files of weights is found before the long work begins.

    Raises:
        PocketganError: says what to change.
    """
    device = choose_device(options.device)
    pending: list[Callable[[], dict[Metric, Measurement]]] = []
    warnings = [text for folder in (generated, reference) if folder is not None and (text := left_out_of(folder))]
    inception: list[Metric] = [metric for metric in options.metrics if metric in ("fid", "kid")]
    if inception:
        against = _needed(reference, "FID, KID and LPIPS need a folder of reference images")
        pending.append(_distributions(generated, against, inception, options, device=device, warnings=warnings))
    if "lpips" in options.metrics:
        against = _needed(reference, "FID, KID and LPIPS need a folder of reference images")
        pending.append(_perceptual(generated, against, options, device))
    if "miou" in options.metrics:
        pending.append(_segmentation(generated, options, device))
    measured: dict[Metric, Measurement] = {}
    for work in pending:
        measured |= work()
    return Quality({metric: measured[metric] for metric in options.metrics}, device.type, warnings)


def choose_device(name: str) -> torch.device:
    """auto: the GPU where there is one. Raises DeviceError for an unknown or absent device."""
    if name not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"--device takes auto, cpu or cuda, not {name!r}")
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise DeviceError("torch finds no CUDA device here; use --device cpu")
    return torch.device("cuda" if name != "cpu" and there else "cpu")


def check_metrics(names: Sequence[str]) -> tuple[Metric, ...]:
    """Names as given, each once. Raises DataError for one that is unknown."""
    all_metrics = get_args(Metric)
    for name in names:
        if name not in all_metrics:
            raise DataError(f"no metric is called {name!r}; there are: {', '.join(all_metrics)}")
    return tuple(metric for metric in all_metrics if metric in names)


def _needed(path: Path | None, message: str) -> Path:
    if path is None:
        raise DataError(message)
    return path


def _distributions(
    generated: Path,
    reference: Path,
    metrics: list[Metric],
    options: Options,
    *,
    device: torch.device,
    warnings: list[str],
) -> Callable[[], dict[Metric, Measurement]]:
    require("quality", "cleanfid", "torchvision", "scipy")
    folders = (generated, reference)
    files = [find_images(folder) for folder in folders]
    for folder, images in zip(folders, files, strict=True):
        if len(images) < LEAST:
            raise DataError(
                f"FID and KID compare distributions and need {LEAST} images a side at least; {folder} has 1"
            )
    network = load_inception(options.inception, device)
    warning = bias_warning(len(files[0]), len(files[1]), network.features)
    if "fid" in metrics and warning is not None:
        warnings.append(warning)

    def work() -> dict[Metric, Measurement]:
        started = time.perf_counter()
        made, real = (
            extract(network, side, options.batch_size, options.workers, f"features of {folder.name}")
            for folder, side in zip(folders, files, strict=True)
        )
        shared = time.perf_counter() - started
        measured: dict[Metric, Measurement] = {}
        for metric in metrics:
            started = time.perf_counter()
            if metric == "fid":
                value = frechet_inception_distance(made, real)
            else:
                value = kernel_inception_distance(made, real, options.seed)
            seconds = shared + time.perf_counter() - started
            measured[metric] = Measurement(
                value,
                generated_images=len(made),
                reference_images=len(real),
                weights=network.weights,
                resize=RESIZE,
                seconds=seconds,
            )
        return measured

    return work


def _perceptual(
    generated: Path, reference: Path, options: Options, device: torch.device
) -> Callable[[], dict[Metric, Measurement]]:
    pairs = match_names(generated, reference)
    network = Perceptual(options.lpips_net, options.lpips_weights, device)

    def work() -> dict[Metric, Measurement]:
        started = time.perf_counter()
        distances = perceptual_distances(network, pairs, options.batch_size, options.workers)
        seconds = time.perf_counter() - started
        more = {"backbone": options.lpips_net}
        measured = Measurement(
            float(distances.mean()),
            generated_images=len(pairs),
            reference_images=len(pairs),
            weights=network.weights,
            resize="none",
            seconds=seconds,
            more=more,
        )
        return {"lpips": measured}

    return work


def _segmentation(generated: Path, options: Options, device: torch.device) -> Callable[[], dict[Metric, Measurement]]:
    file = _needed(options.segmentation, "mIoU needs a segmentation network: --segmentation MODEL")
    labels = _needed(options.labels, "mIoU needs the label maps that the images were made from: --labels DIR")
    pairs = match_names(generated, labels)
    network = Segmenter(file, device)
    size = options.judging.size or network.size

    def work() -> dict[Metric, Measurement]:
        started = time.perf_counter()
        confusion = measure_confusion(network, pairs, options.judging, options.batch_size, options.workers)
        seconds = time.perf_counter() - started
        mean = confusion.mean()
        if mean is None:
            raise DataError(f"every pixel of {labels} has the label {confusion.ignore}, which is ignored")
        more = {
            "per_class": confusion.per_class(),
            "pixel_accuracy": confusion.pixel_accuracy(),
            "classes": len(confusion.counts),
            "ignore_index": confusion.ignore,
            "scale": options.judging.scale,
        }
        resize = "none" if size is None else f"Pillow bicubic, {size[0]}x{size[1]}"
        measured = Measurement(
            mean,
            generated_images=len(pairs),
            reference_images=len(pairs),
            weights=network.weights,
            resize=resize,
            seconds=seconds,
            more=more,
        )
        return {"miou": measured}

    return work
