"""How good a sub-network's pictures are, on images that the supernet is not trained on: a task a candidate.

The driver writes the images once, as they come to the network (`write_images`); a worker loads them, the supernet and
what judges once, and then spends its time on candidates alone: each is cut out of the supernet, its batch norms gather
their statistics anew, and it draws.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from pocketgan.errors import ModelError, PocketganError
from pocketgan.files import canonical_json, write_atomic
from pocketgan.recipe.choices import Metric, Scale
from pocketgan.training.data.images import to_pixels, to_tensor
from pocketgan.training.data.labels import LabelFormat, LabelMaps
from pocketgan.training.data.samples import Pictures
from pocketgan.training.evaluator import Evaluator, Judges, load_judges
from pocketgan.training.generators import GeneratorSpec
from pocketgan.training.generators.files import load_generator
from pocketgan.training.parallel import Pool
from pocketgan.training.supernet import Supernet, recalibrate
from pocketgan.training.supernet_space import Configuration, Space
from pocketgan.training.task_replies import Product
from pocketgan.training.task_work import Task

VERSION = "evolve-1"
_CALIBRATION_BATCH = 8
# Of these a higher value is better.
_HIGHER: frozenset[Metric] = frozenset(("miou",))


@dataclass(frozen=True)
class Judging:
    """What candidates are judged by, as `evaluator.Asked` has it."""

    metric: Metric
    inception: str | None = None
    lpips_weights: str | None = None
    judge: str | None = None
    judge_scale: Scale = "imagenet"

    @property
    def evaluate(self) -> Sequence[Metric]:
        return (self.metric,)

    def file(self) -> Path | None:
        """The file of what the metric asks, where one is named."""
        named = {"fid": self.inception, "lpips": self.lpips_weights, "miou": self.judge}.get(self.metric)
        return None if named is None else Path(named)


def write_images(path: Path, kept: Sequence[dict[str, Tensor]], calibration: Sequence[Tensor]) -> None:
    """Write images as the network takes them: pictures as bytes, channels of 0 and 1 as bits.

    Args:
        kept: `input` (c, h, w) and `target` (3, h, w) of the images that judge.
        calibration: (c, h, w) inputs over which batch norms gather their statistics.
    Raises:
        StorageError: the disk is full or read-only.
    """
    inputs = [*(one["input"] for one in kept), *calibration]
    # Of a picture no value is 0, so that bits and bytes are both exact.
    pack = _bits if all(bool(((image == 0) | (image == 1)).all()) for image in inputs) else _bytes
    tensors = {
        "input": [pack(one["input"]) for one in kept],
        "target": [_bytes(one["target"]) for one in kept],
        "calibration": [pack(image) for image in calibration],
    }
    shape = torch.tensor(kept[0]["input"].shape)
    write_atomic(path, save({"shape": shape, **{name: torch.stack(rows) for name, rows in tensors.items() if rows}}))


def _bytes(image: Tensor) -> Tensor:
    return torch.from_numpy(to_pixels(image).copy())


def _bits(image: Tensor) -> Tensor:
    return torch.from_numpy(np.packbits(image.numpy().astype(bool)))


def _unpacked(row: Tensor, shape: Sequence[int]) -> Tensor:
    if row.dim() == 3:
        return to_tensor(row.numpy())
    bits = np.unpackbits(row.numpy(), count=int(np.prod(shape)))
    return torch.from_numpy(bits.reshape(shape)).float()


class KeptImages:
    """What `write_images` wrote, as pictures to measure on."""

    paired = True

    def __init__(self, path: Path) -> None:
        tensors = load_file(path)
        self.shape = tensors["shape"].tolist()
        self.inputs, self.targets = tensors["input"], tensors["target"]
        self._calibration = tensors.get("calibration", self.inputs[:0])

    def __len__(self) -> int:
        return len(self.inputs)

    def whole(self, index: int) -> dict[str, Tensor]:
        return {"input": _unpacked(self.inputs[index], self.shape), "target": to_tensor(self.targets[index].numpy())}

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        return self.whole(index)

    def view(self, tensor: Tensor) -> np.ndarray:
        return to_pixels(tensor[:3])

    def calibration(self) -> Iterator[Tensor]:
        """Batches of (n, c, h, w) inputs."""
        for rows in self._calibration.split(_CALIBRATION_BATCH):
            yield torch.stack([_unpacked(row, self.shape) for row in rows])


class _KeptMaps(LabelMaps):
    """The same of label maps, whose classes are to be found again."""

    def __init__(self, images: KeptImages, form: LabelFormat) -> None:
        super().__init__([], form, (images.shape[1], images.shape[2]))
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def whole(self, index: int) -> dict[str, Tensor]:
        return self._images.whole(index)


@dataclass(frozen=True)
class Quality:
    """Judges candidates through a pool.

    Attributes:
        pool: where they are judged.
        results: folder of what was judged, which a killed search goes on from.
        supernet: file of the trained supernet.
        images: what `write_images` wrote.
        form: how label maps became channels; None where inputs are pictures.
    """

    pool: Pool
    results: Path
    space: Space
    supernet: Path
    images: Path
    form: LabelFormat | None = None

    def __call__(self, candidates: Sequence[Configuration], judging: Judging, label: str) -> list[float]:
        """Of each candidate, in their order: lower is better, mIoU with its sign changed.

        Raises:
            PocketganError: one of them could not be judged; what was judged is kept.
        """
        paths = {"supernet": self.supernet, "images": self.images}
        if (file := judging.file()) is not None:
            paths["judge"] = file
        known = {
            "space": self.space.to_json(),
            "metric": judging.metric,
            "scale": judging.judge_scale if judging.metric == "miou" else None,
            "form": None if self.form is None else asdict(self.form),
        }
        tasks = {
            f"{index:04d}": Task({**known, "configuration": one.to_json()}, paths)
            for index, one in enumerate(candidates)
        }
        outcomes = self.pool.map(judge_candidate, tasks, self.results, version=VERSION, accept=_accept, label=label)
        for outcome in outcomes.values():
            if not outcome.ok:
                raise PocketganError(
                    f"a candidate of the evolution could not be judged: {outcome.error}; those that were are kept, and "
                    "the same command goes on"
                )
        return [measured(float(outcomes[name].value["value"]), judging) for name in tasks]


def measured(judged: float, judging: Judging) -> float:
    """What was measured of a candidate of which the search knows a number that is better the lower it is, and back."""
    return -judged if judging.metric in _HIGHER else judged


def judge_candidate(task: Task, seed: int) -> Product:
    """Cut a candidate out of the supernet and measure it: {"value": ...}."""
    arguments = task.arguments
    supernet, images = task.paths["supernet"], task.paths["images"]
    where = device()
    kept = _images(images, _stamp(images))
    whole = _supernet(supernet, _stamp(supernet), canonical_json(arguments["space"]))
    torch.manual_seed(seed)
    network, _ = inherited(whole, Configuration.from_json(arguments["configuration"]), kept, where)
    form = None if arguments["form"] is None else LabelFormat(**arguments["form"])
    data: Pictures = kept if form is None else _KeptMaps(kept, form)
    file = task.paths.get("judge")
    size, classes = (kept.shape[1], kept.shape[2]), None if form is None else form.classes
    judges = _judges(_judging(arguments, file), None if file is None else _stamp(file), size, classes, where)
    measured = Evaluator(data, (arguments["metric"],), judges, where)
    with torch.no_grad():
        return Product({"value": measured(network)[arguments["metric"]]})


def device() -> torch.device:
    """Where candidates are drawn: on the first GPU, if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def inherited(
    whole: Supernet, one: Configuration, images: KeptImages, device: torch.device
) -> tuple[nn.Module, GeneratorSpec]:
    """A sub-network with the weights that it inherits, its norms gathered anew over the images, in eval mode."""
    network, spec = whole.extract(one)
    network = network.to(device)
    recalibrate(network, images.calibration())
    return network, spec


def forget() -> None:
    """Free what this process has loaded for candidates that it judged itself."""
    for cache in (_supernet, _images, _judges):
        cache.cache_clear()


def _judging(arguments: Any, file: Path | None) -> Judging:
    named = None if file is None else str(file)
    return Judging(
        arguments["metric"], inception=named, lpips_weights=named, judge=named, judge_scale=arguments["scale"] or "unit"
    )


def _stamp(path: Path) -> tuple[int, int]:
    """What tells that a file is another than before."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=1)
def _supernet(path: Path, stamp: tuple[int, int], space: str) -> Supernet:
    return Supernet(Space.from_json(json.loads(space)), load_generator(path).module)


@lru_cache(maxsize=1)
def _images(path: Path, stamp: tuple[int, int]) -> KeptImages:
    return KeptImages(path)


@lru_cache(maxsize=2)
def _judges(
    judging: Judging,
    stamp: tuple[int, int] | None,
    size: tuple[int, int],
    classes: int | None,
    device: torch.device,
) -> Judges:
    return load_judges(judging, size, classes, device)


def _accept(task: Task, product: Product) -> None:
    value = product.value.get("value")
    if set(product.value) != {"value"} or type(value) not in (int, float) or product.files:
        raise ModelError("it gave back something other than one number")
