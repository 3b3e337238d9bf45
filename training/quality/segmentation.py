"""mIoU of generated pictures: a segmentation network finds in them the label maps that they were made from.

The network is an ONNX or a TorchScript file:

* input: one tensor, NCHW float32 RGB, scaled as `scale` says;
* output (the first one counts): class logits (n, classes, h, w), or an integer label map (n, h, w) or (n, 1, h, w).

Logits are enlarged to the label map's size (bilinear) before the largest is taken, label maps by nearest pixels.
Labels are single-channel PNGs that hold class indices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pocketgan import console
from pocketgan.errors import DataError, ModelError, require
from pocketgan.pictures import read_image, read_indices, resize
from pocketgan.recipe.choices import Scale
from pocketgan.training.quality.confusion import Confusion
from pocketgan.training.quality.inception import load_torchscript
from pocketgan.training.quality.stream import batches
from pocketgan.training.quality.weights import Weights, record_weights

_IMAGENET_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
_IMAGENET_STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
_SCALES: dict[str, Callable[[Tensor], Tensor]] = {
    "imagenet": lambda x: (x / 255 - _IMAGENET_MEAN) / _IMAGENET_STD,
    "unit": lambda x: x / 255,
    "signed": lambda x: x / 127.5 - 1,
    "bytes": lambda x: x,
}


@dataclass(frozen=True)
class Judging:
    """How a segmentation network is asked.

    Args:
        scale: imagenet ([0, 1] less ImageNet's mean, by its deviation), unit [0, 1], signed [-1, 1] or bytes [0, 255].
        size: (height, width) that pictures are resized to (bicubic); None keeps theirs, or takes the file's fixed one.
        classes: number of classes; known from logits, needed for label maps.
        ignore: label of pixels that do not count.
    """

    scale: Scale = "imagenet"
    size: tuple[int, int] | None = None
    classes: int | None = None
    ignore: int | None = 255


class Segmenter:
    """A segmentation network in a file.

    Args:
        advice: what to do where it fails on pictures of their size.
    Raises:
        ModelError: the file is missing, is neither ONNX nor TorchScript, or does not take one NCHW float32 tensor.
    """

    def __init__(self, path: Path, device: torch.device | str = "cpu", advice: str = "see --segmentation-size") -> None:
        self.path = path
        self._advice = advice
        self.device = torch.device(device)
        self.weights: Weights = record_weights(path, "file")
        self.size: tuple[int, int] | None = None
        self._one_by_one = False
        self._run = self._load_onnx() if path.suffix.lower() == ".onnx" else self._load_torchscript()

    def _load_torchscript(self) -> Callable[[Tensor], Any]:
        module = load_torchscript(self.path, self.device)

        def run(pictures: Tensor) -> Any:
            with torch.inference_mode():
                output = module(pictures.to(self.device))
            if isinstance(output, dict):
                output = next(iter(output.values()), None)
            return output[0] if isinstance(output, list | tuple) and output else output

        return run

    def _load_onnx(self) -> Callable[[Tensor], Any]:
        require("quality", "onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4
        try:
            session = onnxruntime.InferenceSession(
                str(self.path), sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has a class of its own for every status
            raise ModelError(f"{self.path} is not an ONNX model that onnxruntime can load") from error
        inputs = session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
            described = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
            raise ModelError(f"{self.path} must take one NCHW float32 tensor; it takes {described}")
        batch, _, height, width = inputs[0].shape
        if isinstance(batch, int) and batch != 1:
            raise ModelError(f"{self.path} takes {batch} pictures at a time only; export it with a free batch, or 1")
        self._one_by_one = batch == 1
        if isinstance(height, int) and isinstance(width, int):
            self.size = (height, width)
        first = session.get_outputs()[0].name
        return lambda pictures: torch.from_numpy(session.run([first], {inputs[0].name: pictures.numpy()})[0])

    def __call__(self, pictures: Tensor) -> Tensor:
        """(n, 3, h, w) scaled -> (n, classes, h, w) logits or (n, 1, h, w) integer label maps.

        Raises:
            ModelError: the network fails on such pictures, or its output is neither.
        """
        size = "x".join(map(str, pictures.shape[1:]))
        try:
            parts = [self._run(part) for part in pictures.split(1 if self._one_by_one else len(pictures))]
        except Exception as error:  # whatever a foreign network raises
            reason = str(error).strip().splitlines()[-1]
            raise ModelError(f"{self.path} fails on pictures of {size}: {reason}; {self._advice}") from error
        if not all(isinstance(part, Tensor) for part in parts):
            raise ModelError(f"{self.path} must return a tensor; it returns {type(parts[0]).__name__}")
        output = torch.cat(parts).cpu()
        if output.is_floating_point():
            right = output.ndim == 4 and output.shape[1] >= 2
        else:
            output = output[:, None] if output.ndim == 3 else output
            right = output.ndim == 4 and output.shape[1] == 1
        if not right or len(output) != len(pictures):
            raise ModelError(
                f"{self.path} must return class logits (n, classes, h, w) or an integer label map (n, h, w); "
                f"for {len(pictures)} pictures of {size} it returns {output.dtype} {tuple(output.shape)}"
            )
        return output


def measure_confusion(
    network: Segmenter,
    pairs: Sequence[tuple[Path, Path]],
    judging: Judging,
    batch_size: int = 8,
    workers: int | None = None,
) -> Confusion:
    """Pixels by label and prediction over (picture, label PNG) files.

    Raises:
        DataError: a picture is unreadable, or a label PNG is, or has colours or holds an index that is no class.
        ModelError: the network's output is neither logits nor a label map, or its classes are not those asked for.
    """
    if judging.scale not in _SCALES:
        raise ModelError(f"--segmentation-scale takes {', '.join(get_args(Scale))}, not {judging.scale!r}")
    size = judging.size or network.size

    def prepare(pair: tuple[Path, Path]) -> tuple[Path, Tensor, np.ndarray]:
        return pair[1], _scaled(read_image(pair[0]), judging.scale, size), read_indices(pair[1]).astype(np.int64)

    confusion: Confusion | None = None
    with console.progress("miou", len(pairs)) as bar:
        for batch in batches(pairs, prepare, batch_size, workers):
            for _, same in groupby(batch, key=lambda item: (item[1].shape, item[2].shape)):
                group = list(same)
                output = network(torch.stack([picture for _, picture, _ in group]))
                if confusion is None:
                    confusion = Confusion(_classes(network, output, judging), judging.ignore)
                for (path, _, labels), scores in zip(group, output, strict=True):
                    predicted = _label_map(scores[None], labels.shape)
                    try:
                        confusion.add(predicted, labels)
                    except ValueError as error:
                        raise DataError(f"{path}: {error}; see --classes and --ignore-index") from error
            bar.advance(len(batch))
    assert confusion is not None
    return confusion


def find_labels(network: Segmenter, pixels: np.ndarray, scale: Scale) -> np.ndarray:
    """The label map that the network finds in an (h, w, 3) uint8 picture: (h, w) class indices.

    Raises:
        ModelError: the network fails on such pictures, or its output is neither logits nor a label map.
    """
    return _label_map(network(_scaled(pixels, scale, network.size)[None]), pixels.shape[:2])


def _scaled(pixels: np.ndarray, scale: Scale, size: tuple[int, int] | None) -> Tensor:
    """(h, w, 3) uint8 -> (3, h, w) float32, resized to `size` = (height, width) where that is given."""
    if size is not None:
        pixels = resize(pixels, *size)
    return _SCALES[scale](torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float())


def _classes(network: Segmenter, output: Tensor, judging: Judging) -> int:
    if not output.is_floating_point():
        if judging.classes is None:
            raise ModelError(f"{network.path} returns label maps; say how many classes there are with --classes")
        return judging.classes
    if judging.classes not in (None, output.shape[1]):
        raise ModelError(f"{network.path} returns logits of {output.shape[1]} classes, but --classes {judging.classes}")
    return output.shape[1]


def _label_map(output: Tensor, size: tuple[int, ...]) -> np.ndarray:
    """(1, classes, h, w) logits or a (1, 1, h, w) label map -> (h, w) class indices at the labels' size."""
    if output.is_floating_point():
        if output.shape[2:] != size:
            output = F.interpolate(output.float(), size=size, mode="bilinear", align_corners=False)
        return output[0].argmax(0).numpy()
    if output.shape[2:] != size:
        # float64 holds every class index exactly; interpolate takes no integers.
        output = F.interpolate(output.double(), size=size, mode="nearest-exact").long()
    return output[0, 0].numpy()
