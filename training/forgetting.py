"""What a base still knows of its old concepts when a new adapter is on it.

E2GAN's reproduction found that LoRA overwrote old concepts. An adapter that is off changes nothing, to the last bit:
that is checked. With the adapter on, an old concept's text asks the base for what it drew before; how much farther from
that concept's targets the pictures are then is what is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from pocketgan.errors import DataError, ModelError, require
from pocketgan.training.adapter_files import load_adapter
from pocketgan.training.data.concepts import Concept, read_concepts
from pocketgan.training.data.images import to_pixels, to_tensor
from pocketgan.training.data.paired import PairedImages, split_pairs
from pocketgan.training.generators.files import load_generator
from pocketgan.training.lora import attach
from pocketgan.training.parallel import Outcome, Pool, Product, Task
from pocketgan.training.processes import join
from pocketgan.training.quality.perceptual import LEAST_SIDE, Perceptual
from pocketgan.training.task_replies import ReplyError
from pocketgan.training.text.encoder import TextEncoder
from pocketgan.training.text.precomputed import PrecomputedText, write_features

VERSION = "old-1"
FLAGGED_ABOVE = 1.2
MOST_IMAGES = 32
_LARGEST = 1 << 20


@dataclass(frozen=True)
class OldConcepts:
    """What the base was trained on.

    Attributes:
        folder: of concepts, as `pocketgan pairs make` writes it.
        lpips_weights: torchvision's AlexNet for LPIPS (`Perceptual`); L1 is measured where None.
    """

    folder: Path
    lpips_weights: Path | None = None


@dataclass(frozen=True)
class LookedAt:
    """Old concepts, ready to be looked at: their folders, and a file with the features of their texts."""

    concepts: tuple[Concept, ...]
    texts: Path
    size: tuple[int, int]
    lpips_weights: Path | None


def old_concepts_of(old: OldConcepts, encoder: TextEncoder, work: Path, size: tuple[int, int]) -> LookedAt:
    """Find the old concepts and encode their texts, before anything is trained.

    Args:
        work: folder for the features of the texts.
        size: (height, width) of the pictures.
    Raises:
        DataError: the folder holds no concepts, or one has no pairs for validation.
        ModelError: the weights for LPIPS cannot be used, or the pictures are too small for it.
        MissingExtraError: LPIPS is not installed.
    """
    concepts = tuple(read_concepts(old.folder))
    for concept in concepts:
        if not split_pairs(concept.folder, "val"):
            raise DataError(f"{concept.folder} holds no pairs for validation, by which old concepts are looked at")
    if old.lpips_weights is not None:
        if min(size) < LEAST_SIDE:
            raise ModelError(f"LPIPS needs images of {LEAST_SIDE} pixels a side at least, not {size[0]}x{size[1]}")
        require("quality", "lpips", "torchvision")
        Perceptual("alex", old.lpips_weights)
    texts = list(dict.fromkeys(concept.record.text for concept in concepts))
    path = work / "texts" / "old.safetensors"
    write_features(path, texts, encoder.encode(texts), encoder.identity)
    return LookedAt(concepts, path, size, old.lpips_weights)


def forgetting_task(looked: LookedAt, base: Path, adapter: Path) -> Task:
    """The task of one adapter: every old concept with it on."""
    texts = {concept.record.name: concept.record.text for concept in looked.concepts}
    paths = {"base": base, "adapter": adapter, "texts": looked.texts}
    paths |= {f"old {concept.record.name}": concept.folder for concept in looked.concepts}
    if looked.lpips_weights is not None:
        paths["lpips"] = looked.lpips_weights
    return Task({"old": texts, "size": list(looked.size)}, paths)


def look_back(tasks: Mapping[str, Task], looked: LookedAt, work: Path, pool: Pool) -> dict[str, Outcome]:
    """Run the tasks of adapters, by the adapters' names; what was looked at before is not looked at again.

    An adapter that changes the base's pictures while it is off is a failed one.
    """
    names = [concept.record.name for concept in looked.concepts]

    def accept(task: Task, product: Product) -> None:
        _check(product, names, "l1" if looked.lpips_weights is None else "lpips")

    return pool.map(measure_old, tasks, work, version=VERSION, accept=accept, largest=_LARGEST, label="old concepts")


@torch.no_grad()
def measure_old(task: Task, seed: int) -> Product:
    """The task of a worker: the base's pictures of every old concept, with the adapter off and on."""
    loaded = load_generator(task.paths["base"])
    adapted = attach(loaded, load_adapter(task.paths["adapter"])).eval()
    features = PrecomputedText(task.paths["texts"])
    height, width = task.arguments["size"]
    device = join().device
    base, adapted = loaded.module.eval().to(device), adapted.to(device)
    judge, distance = _judge(task.paths.get("lpips"), device)
    rows = []
    for name, text in task.arguments["old"].items():
        pairs = split_pairs(task.paths[f"old {name}"], "val")[:MOST_IMAGES]
        images = PairedImages(pairs, "AtoB", (height, width))
        tokens = features.encode([text]).to(device)
        distances, same = [], True
        for index in range(len(images)):
            pair = images.whole(index)
            photo, target = pair["input"][None].to(device), pair["target"][None]
            alone, on = base(photo, tokens), adapted.base(photo, tokens)
            with adapted.off():
                same = same and torch.equal(adapted.base(photo, tokens), alone)
            distances.append([distance(made.float().cpu(), target) for made in (alone, on)])
        before, after = (sum(side) / len(distances) for side in zip(*distances, strict=True))
        rows.append(
            {
                "name": name,
                "judge": judge,
                "images": len(images),
                "base": before,
                "adapted": after,
                "ratio": after / before if before else None,
                "flagged": after > FLAGGED_ABOVE * before,
                "same_when_off": same,
            }
        )
    return Product({"old": rows})


def _judge(weights: Path | None, device: torch.device) -> tuple[str, Callable[[Tensor, Tensor], float]]:
    """The distance of (1, 3, h, w) pictures in [-1, 1]: LPIPS of what would be saved as PNG, or L1."""
    if weights is None:
        return "l1", lambda made, target: float((made - target).abs().mean())
    network = Perceptual("alex", weights, device)

    def lpips(made: Tensor, target: Tensor) -> float:
        saved = [to_tensor(to_pixels(one[0]))[None] for one in (made, target)]
        return float(network(*saved))

    return "lpips", lpips


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    name: str
    judge: Literal["l1", "lpips"]
    images: Annotated[int, Field(ge=1)]
    base: Annotated[float, Field(ge=0)]
    adapted: Annotated[float, Field(ge=0)]
    ratio: Annotated[float, Field(ge=0)] | None
    flagged: bool
    same_when_off: bool


def _check(product: Product, names: list[str], judge: str) -> None:
    """Raises ReplyError where a worker's figures are of other concepts or cannot be, or the base was not the same."""
    told: Any = product.value.get("old")
    try:
        rows = [_Row.model_validate(row) for row in told]
    except (ValidationError, TypeError) as error:
        raise ReplyError(f"its figures cannot be used: {str(error).splitlines()[0]}") from error
    if [row.name for row in rows] != names or {row.judge for row in rows} != {judge}:
        raise ReplyError("its figures are of other concepts than those that were asked for")
    changed = [row.name for row in rows if not row.same_when_off]
    if changed:
        raise ReplyError(f"with the adapter off, the base's pictures of {', '.join(changed)} are not those of the base")
