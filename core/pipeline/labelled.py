"""Which training images have a label, and the inputs that have none.

A recipe may take the targets of a share of the training images alone (`data.labels`), as semi-supervised methods are
measured. Which they are follows from the content of their files, so that they are the same on every machine, whatever
the files are called, and those of 10 % are among those of 25 %. The targets of the others are never read; their inputs,
and those of the folder `data.unlabelled`, are what a program may learn from without targets.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan import console
from pocketgan.errors import DataError
from pocketgan.picture_files import left_out
from pocketgan.pipeline.choosing import apart
from pocketgan.pipeline.drawn import learnt_images, learnt_split
from pocketgan.pipeline.images import (
    UNLABELLED,
    ImageIndex,
    InputFolder,
    Split,
    framing_of,
    input_format,
    load_images,
    pictures_of,
)
from pocketgan.recipe.recipe import Recipe
from pocketgan.recipe.sections import DataStage, Training

if TYPE_CHECKING:
    from pocketgan.training.data.inputs import Input, Inputs


_FOLDER = "folder"
_PLACES = {
    "train": "labelled training images",
    UNLABELLED: "training images whose label is left aside",
    "val": "validation images",
    _FOLDER: "the folder itself",
}


def part_by_labels(split: Split, fraction: float, digest_of: Callable[[str], str]) -> tuple[Split, Split]:
    """The labelled share of the training images, and the others; each in the order of the split.

    Args:
        digest_of: SHA-256 of a file's content, by its name.
    Raises:
        DataError: no image would be labelled.
    """

    def rank(item: Sequence[str]) -> tuple[str, Sequence[str]]:
        content = " ".join(digest_of(name) for name in item)
        return hashlib.sha256(content.encode()).hexdigest(), item

    total = len(split.items)
    count = round(fraction * total)
    if not count:
        images = "training image" if total == 1 else f"{total} training images"
        raise DataError(
            f"data.labels {fraction:g} of {images} leaves no labelled image; choose {1 / total:.2g} or more"
        )
    labelled = {tuple(item) for item in sorted(split.items, key=rank)[:count]}
    return (
        Split([item for item in split.items if tuple(item) in labelled]),
        Split([item for item in split.items if tuple(item) not in labelled]),
    )


def find_unlabelled(stage: DataStage, root: Path, splits: dict[str, Split]) -> tuple[InputFolder, dict[str, Any]]:
    """The inputs of the folder `data.unlabelled`, checked, and facts about them.

    Inputs that the data set holds already are left out with a note: an image that is kept for choosing or for
    validation is not to be trained on, and one that is drawn twice as often as others weighs twice.

    Args:
        root: of the data set, whose splits are given.
    Raises:
        DataError: the folder or its images cannot be used, or all of them are in the data set.
    """
    from pocketgan.training.data.folders import content_hashes
    from pocketgan.training.data.inputs import check_proportions, find_inputs, inputs_of, look_at_inputs

    folder, form = Path(str(stage.unlabelled)).resolve(), input_format(stage)
    try:
        inputs = find_inputs(folder, form)
        if text := left_out(sorted({path.parent for one in inputs for path in one.files()}), _files(inputs)):
            console.note(f"data.unlabelled: {text}")
        own = {
            name: look_at_inputs(inputs_of(pictures_of(stage, root, split, (1, 1))), form)
            for name, split in splits.items()
            if name in _PLACES
        }
        seen = look_at_inputs(inputs, form)
        if stage.fit == "stretch":
            check_proportions(inputs, seen, [*own["train"], *own.get(UNLABELLED, ())])
    except DataError as error:
        what = "" if form is None else "; it holds inputs of the generator, which are label maps here, not photos"
        raise DataError(f"data.unlabelled: {error}{what}") from error
    place_of = {look.digest: name for name, looks in own.items() for look in looks}
    kept, repeats = [], Counter[str]()
    for it, look in zip(inputs, seen, strict=True):
        if look.digest in place_of:
            repeats[place_of[look.digest]] += 1
        else:
            place_of[look.digest] = _FOLDER
            kept.append(it)
    if repeats:
        where = ", ".join(f"{words}: {repeats[place]}" for place, words in _PLACES.items() if repeats[place])
        told = f"{repeats.total()} of {len(inputs)} inputs in {folder} repeat others by content ({where})"
        if not kept:
            raise DataError(f"data.unlabelled: {told}, and none is left; name a folder of others, or remove it")
        console.note(f"data.unlabelled: {told} and {'is' if repeats.total() == 1 else 'are'} left out")
    names = [[path.relative_to(folder).as_posix() for path in one.files()] for one in kept]
    files = content_hashes(_files(kept), folder, {})
    return InputFolder(str(folder), names, files), {"inputs": len(kept), "repeats": dict(repeats)}


def _files(inputs: Sequence[Input]) -> list[Path]:
    return sorted(path for one in inputs for path in one.files())


def unlabelled_inputs(recipe: Recipe, run: Path, stage: Training) -> Inputs | None:
    """The inputs without targets that a section's program learns from, augmented as it says; None where it takes none.

    They are those of the training images whose label is left aside and of the folder `data.unlabelled`. Where there are
    neither, the inputs of the labelled images serve, but for those that are kept for choosing.
    """
    if not stage.takes_unlabelled:
        return None
    from pocketgan.training.data.inputs import Input, Inputs, inputs_of

    assert recipe.data is not None
    index, found = ImageIndex.read(run), []
    if UNLABELLED in index.splits:
        found += inputs_of(load_images(recipe, run, UNLABELLED))
    if index.inputs is not None:
        root = Path(recipe.data.unlabelled or index.inputs.root).resolve()
        for name, *instance in index.inputs.names:
            found.append(Input(root / name, instance=root / instance[0] if instance else None))
    if not found:
        only = None if stage.evaluate_every is None else apart(learnt_split(recipe, run, "train"), recipe.seed)[0]
        found = inputs_of(learnt_images(recipe, run, "train", only=only))
        console.note("no image is without a label: the inputs of the labelled ones serve as unlabelled ones, too")
    return Inputs(found, input_format(recipe.data), recipe.size, **framing_of(recipe.data, stage))
