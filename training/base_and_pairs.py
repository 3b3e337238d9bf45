"""What a training of a base on a concept begins with, whatever of the base it trains: the base, and pairs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pocketgan import console
from pocketgan.errors import DataError, ModelError
from pocketgan.files import sha256_json, write_atomic
from pocketgan.recipe.choices import Direction
from pocketgan.training.adapter import Concept, weights_digest
from pocketgan.training.data.folders import content_hashes, some
from pocketgan.training.data.kept import kept_for_choosing
from pocketgan.training.data.paired import Pair, PairedImages, find_pairs
from pocketgan.training.generators import GeneratorSpec, check
from pocketgan.training.generators.files import LoadedGenerator, load_generator
from pocketgan.training.quality.distance import l1_distance

_WHAT = "what.json"


@dataclass(frozen=True)
class BaseAndPairs:
    """A base and the pairs of one concept, both read and checked.

    Attributes:
        base: as its file holds it.
        digest: of its weights.
        spec: the base's, at the size that is trained at.
        train, val: the pairs of each split.
    """

    base: LoadedGenerator
    digest: str
    spec: GeneratorSpec
    data: Path
    train: list[Pair]
    val: list[Pair]
    direction: Direction

    @staticmethod
    def read(
        base: Path | LoadedGenerator,
        data: Path,
        *,
        size: tuple[int, int] | None = None,
        direction: Direction = "AtoB",
        only: Collection[str] | None = None,
    ) -> BaseAndPairs:
        """
        Args:
            base: a model file, or what is loaded or built already.
            data: pairs as `training.data.paired` finds them.
            size: (height, width) in pixels; the base's own where None.
            only: names of the pictures, with or without suffix, whose pairs are trained on; all where None.
        Raises:
            PocketganError: base or data cannot be used, or `only` names pictures that are not there to train on.
        """
        loaded = load_generator(base) if isinstance(base, Path) else base
        what = str(base) if isinstance(base, Path) else f"a generator of the family {loaded.spec.family}"
        spec = spec_at(loaded.spec, size, what)
        splits = find_pairs(data)
        train = splits["train"] if only is None else chosen_pairs(splits["train"], only, data)
        return BaseAndPairs(loaded, weights_digest(loaded.module), spec, data, train, splits["val"], direction)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels that is trained at."""
        return self.spec.height, self.spec.width

    def apart(self, seed: int) -> tuple[list[Pair], list[Pair]]:
        """Those that are trained on, and those that are kept for choosing, where something is chosen by a training.

        Raises:
            DataError: there is only one.
        """
        names = {pair.a.relative_to(self.data).as_posix(): pair for pair in self.train}
        if len(names) < 2:
            raise DataError(f"{self.data} holds 1 pair to train on, and choosing keeps one back; add pairs")
        kept = kept_for_choosing([*names], seed)
        return [names[name] for name in names if name not in kept], [names[name] for name in names if name in kept]

    def images(self, pairs: Sequence[Pair], flip: bool = False) -> PairedImages:
        return PairedImages(pairs, self.direction, self.size, flip=flip)

    def check_batch(self, batch_size: int, pairs: Sequence[Pair] | None = None) -> None:
        """Raises DataError where there are fewer pairs to train on (all, or those given) than a step takes."""
        check_batch(self.data, len(self.train if pairs is None else pairs), batch_size)

    def told(self, concept: Concept) -> dict[str, Any]:
        """All that a training depends on beside its options, as JSON."""
        hashes = content_hashes([file for pair in self.train for file in pair.files()], self.data, {})
        return {
            "base": self.digest,
            "size": self.size,
            "pictures": {name: row[0] for name, row in hashes.items()},
            "direction": self.direction,
            "concept": concept.digest,
        }

    def l1(self, generate: Callable[[Tensor], Tensor], device: torch.device) -> tuple[float, float]:
        """Mean absolute difference to the targets of the validation pairs, in [-1, 1]: of what is generated from the
        inputs, and of the inputs themselves."""
        val = self.images(self.val)
        return l1_distance(generate, val, device), l1_distance(lambda images: images, val, device)


def spec_at(spec: GeneratorSpec, size: tuple[int, int] | None, called: str) -> GeneratorSpec:
    """A base's spec at a size of pictures, its own where None.

    Raises:
        ModelError: it does not take pictures, or none of that size.
    """
    spec = spec if size is None else spec.at(*size)
    if (spec.input_channels, spec.output_channels) != (3, 3):
        raise ModelError(
            f"{called} takes {spec.input_channels} channels and gives {spec.output_channels}; pictures have 3"
        )
    check(spec)
    return spec


def check_batch(data: Path, count: int, batch_size: int) -> None:
    """Raises DataError where a folder has fewer pairs to train on than a step takes."""
    if count < batch_size:
        raise DataError(
            f"{data} holds {count} pairs to train on, fewer than the {batch_size} of a step; add pairs or lower the "
            "batch size"
        )


def chosen_pairs(pairs: list[Pair], only: Collection[str], data: Path) -> list[Pair]:
    """The pairs of those names, in the order of `pairs`.

    Raises:
        DataError: some are not among them, or none are named.
    """
    by_name = {name: pair for pair in pairs for name in (pair.a.stem, *(file.name for file in pair.files()))}
    found = {name: by_name.get(name) or by_name.get(Path(name).stem) for name in only}
    missing = sorted(name for name, pair in found.items() if pair is None)
    if missing:
        what = f"no pair in {data} to train on; choose among those, such as the pictures of {data}/train/A"
        raise DataError(some(missing, f"chosen picture has {what}", f"chosen pictures have {what}"))
    if not found:
        raise DataError("no pictures were chosen; a training needs some")
    chosen = set(found.values())
    return [pair for pair in pairs if pair in chosen]


def checkpoints_beside(out: Path, told: dict[str, Any]) -> Path:
    """The folder beside `out`, named after it, of a training's checkpoints.

    They are kept where they are of the same training, by all that it was `told`; else the folder begins empty.
    """
    folder, digest = out.with_name(f"{out.name}.partial"), sha256_json(told)
    try:
        found = json.loads((folder / _WHAT).read_text())["digest"]
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    if found == digest:
        return folder
    if folder.exists():
        console.note(f"{folder} is of another training (base, data, text or options); starting again")
        shutil.rmtree(folder)
    write_atomic(folder / _WHAT, json.dumps({"digest": digest}))
    return folder
