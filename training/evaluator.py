"""What a training is measured by while it runs: its pictures of images that it does not train on.

Numbers are those that `pocketgan quality` gives for the same pictures saved as PNG, but for L1, which is that of the
tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pocketgan.errors import DataError, ModelError
from pocketgan.recipe.choices import Metric, Scale
from pocketgan.training.data.images import to_pixels, to_tensor
from pocketgan.training.data.labels import LabelMaps
from pocketgan.training.data.prefetch import prefetched
from pocketgan.training.data.samples import Pictures
from pocketgan.training.data.unpaired import UnpairedImages
from pocketgan.training.quality.confusion import Confusion
from pocketgan.training.quality.distributions import frechet_inception_distance, kernel_inception_distance
from pocketgan.training.quality.inception import Inception, features, load_inception
from pocketgan.training.quality.perceptual import LEAST_SIDE, Perceptual
from pocketgan.training.quality.segmentation import Segmenter, find_labels

Generate = Callable[[Tensor], Tensor]
# They compare two sets of pictures, and need several in each.
OF_SETS: frozenset[Metric] = frozenset(("fid", "kid"))
# They compare one picture with another.
OF_PAIRS: frozenset[Metric] = frozenset(("l1", "lpips"))


@dataclass(frozen=True)
class Judges:
    """The networks that the metrics ask; None where no metric asks it. `scale`: of pixels for the segmenter."""

    inception: Inception | None = None
    perceptual: Perceptual | None = None
    segmenter: Segmenter | None = None
    scale: Scale = "imagenet"


class Asked(Protocol):
    """What is measured, and by which files: a recipe's section of a training, for one."""

    @property
    def evaluate(self) -> Sequence[Metric]: ...
    @property
    def inception(self) -> str | None: ...
    @property
    def lpips_weights(self) -> str | None: ...
    @property
    def judge(self) -> str | None: ...
    @property
    def judge_scale(self) -> Scale: ...


def load_judges(stage: Asked, size: tuple[int, int], classes: int | None, device: torch.device) -> Judges:
    """The networks that the metrics ask, each tried on a picture.

    Args:
        size: (height, width) of the pictures.
        classes: of the label maps that the segmentation network is to find again.
    Raises:
        MissingExtraError: an optional part is not installed.
        ModelError: weights are not to be had, are of another network, or cannot judge such pictures.
    """
    asked = set(stage.evaluate)
    if "lpips" in asked and min(size) < LEAST_SIDE:
        raise ModelError(f"LPIPS needs images of {LEAST_SIDE} pixels a side at least, not {size[0]}x{size[1]}")
    weights = None if stage.lpips_weights is None else Path(stage.lpips_weights)
    return Judges(
        inception=load_inception(stage.inception or "auto", device) if asked & OF_SETS else None,
        perceptual=Perceptual("alex", weights, device) if "lpips" in asked else None,
        segmenter=_load_segmenter(Path(str(stage.judge)), size, classes, device) if "miou" in asked else None,
        scale=stage.judge_scale,
    )


def _load_segmenter(path: Path, size: tuple[int, int], classes: int | None, device: torch.device) -> Segmenter:
    segmenter = Segmenter(path, device, advice="a judge takes pictures of the recipe's resolution, or names its own")
    answer = segmenter(torch.zeros(1, 3, *(segmenter.size or size)))
    if answer.is_floating_point() and answer.shape[1] != classes:
        raise ModelError(f"the judge {path} tells {answer.shape[1]} classes apart, but data.classes is {classes}")
    return segmenter


class Evaluator:
    """Measures a generator on whole images.

    Args:
        data: images that it is not trained on; two at least for metrics of sets.
        metrics: l1 and lpips compare with the target of pairs, else with the teacher's picture of the same input; fid
            and kid with the targets, of photos alone with the teacher's pictures.
        judges: the networks that they ask.
        device: where the generator is.
        teacher: of a student, on the same device.
    """

    def __init__(
        self,
        data: Pictures,
        metrics: Sequence[Metric],
        judges: Judges,
        device: torch.device,
        teacher: Generate | None = None,
    ) -> None:
        self._data = data
        self._metrics = tuple(metrics)
        self._judges = judges
        self._device = device
        self._teacher = teacher
        self._targets: np.ndarray | None = None

    @torch.no_grad()
    def __call__(self, generate: Generate) -> dict[str, float]:
        """The metrics' values, by name, of a generator in eval mode: (1, c, h, w) -> (1, 3, h, w) in [-1, 1].

        Raises:
            DataError: a value is not defined for these pictures.
            ModelError: the segmentation network finds what is no class.
        """
        differences: list[float] = []
        distances: list[float] = []
        pictures: list[np.ndarray] = []
        confusion = self._confusion()
        for scene in prefetched(self._data.whole, 0, self._count("inputs")):
            images = scene["input"][None].to(self._device)
            made = generate(images).float().cpu()
            pixels = to_pixels(made[0])
            if OF_PAIRS & set(self._metrics):
                wanted = self._wanted(scene, images)
                differences.append(float((made - wanted).abs().mean()))
                if self._judges.perceptual is not None:
                    saved = [to_tensor(one)[None] for one in (pixels, to_pixels(wanted[0]))]
                    distances.append(float(self._judges.perceptual(*saved)))
            if confusion is not None:
                self._count_pixels(confusion, pixels, scene["input"])
            if self._judges.inception is not None:
                pictures.append(pixels)
        values: dict[str, Callable[[], float]] = {
            "l1": lambda: float(np.mean(differences)),
            "lpips": lambda: float(np.mean(distances)),
            "fid": lambda: frechet_inception_distance(made_features, self._target_features()),
            "kid": lambda: kernel_inception_distance(made_features, self._target_features()),
            "miou": lambda: _mean(confusion),
        }
        made_features = self._features(pictures)
        return {metric: values[metric]() for metric in self._metrics}

    def _wanted(self, scene: dict[str, Tensor], images: Tensor) -> Tensor:
        if self._data.paired:
            return scene["target"][None]
        assert self._teacher is not None  # the recipe's rule: a teacher of unpaired images is not compared so
        return self._teacher(images).float().cpu()

    def _target(self, scene: dict[str, Tensor]) -> Tensor:
        """What sets of pictures are compared with: the targets, of photos alone what the teacher makes of them."""
        return scene["target"] if "target" in scene else self._wanted(scene, scene["input"][None].to(self._device))[0]

    def _count(self, side: str) -> int:
        """How many inputs or targets there are; of unpaired images each side has its own number."""
        return len(getattr(self._data, side)) if isinstance(self._data, UnpairedImages) else len(self._data)

    def _features(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """(pictures, features); empty where no metric needs them."""
        inception = self._judges.inception
        return np.empty((0, 0)) if inception is None else np.concatenate([*features(inception, pictures)])

    def _target_features(self) -> np.ndarray:
        if self._targets is None:
            whole = prefetched(self._data.whole, 0, self._count("targets"))
            self._targets = self._features([to_pixels(self._target(scene)) for scene in whole])
        return self._targets

    def _confusion(self) -> Confusion | None:
        if "miou" not in self._metrics:
            return None
        assert isinstance(self._data, LabelMaps)
        return Confusion(self._data.form.classes, ignore=self._data.form.classes)

    def _count_pixels(self, confusion: Confusion, pixels: np.ndarray, labels: Tensor) -> None:
        segmenter = self._judges.segmenter
        assert isinstance(self._data, LabelMaps)
        assert segmenter is not None
        try:
            confusion.add(find_labels(segmenter, pixels, self._judges.scale), self._data.indices(labels))
        except ValueError as error:
            raise ModelError(f"the judge {segmenter.path} does not fit data.classes: {error}") from error


def _mean(confusion: Confusion | None) -> float:
    mean = None if confusion is None else confusion.mean()
    if mean is None:
        raise DataError("every pixel of the label maps that are kept for choosing is unknown: there is no mIoU of them")
    return mean
