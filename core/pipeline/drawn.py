"""Pictures of a teacher that only a runtime can run: drawn once, and learnt from as other pairs are.

A runtime beside torch in every training step would cost both their threads, and on a GPU most of the time. So the stage
`teacher` leaves `pictures/<split>/N.png`: the photo left, what the teacher makes of it right.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan import console
from pocketgan.fitting import Size
from pocketgan.pipeline.images import ImageIndex, Split, load_images
from pocketgan.pipeline.networks import TEACHER_BUNDLE
from pocketgan.recipe.recipe import Recipe
from pocketgan.recipe.sections import TeacherStage, Training

if TYPE_CHECKING:
    import numpy as np

    from pocketgan.training.data.paired import PairedImages
    from pocketgan.training.data.samples import Pictures

PICTURES = "pictures"
_SPLITS = ("train", "val")


def draw_pictures(recipe: Recipe, run: Path, folder: Path) -> dict[str, Any]:
    """Draw what is not drawn yet, keep the teacher's bundle, and say where it came from.

    Raises:
        ModelError: the teacher cannot be used, or does not fit the photos.
    """
    import numpy as np

    from pocketgan.foreign.teacher import open_teacher
    from pocketgan.pictures import write_image
    from pocketgan.training.data.images import to_pixels

    stage = recipe.teacher
    assert stage is not None
    assert stage.weights is not None
    photos = {split: load_images(recipe, run, split) for split in _SPLITS}
    missing = [
        (split, index, path)
        for split in _SPLITS
        for index in range(input_count(photos[split]))
        if not (path := folder / PICTURES / split / f"{index:05d}.png").is_file()
    ]

    under_way: deque[np.ndarray] = deque()

    def inputs() -> Iterator[np.ndarray]:
        for split, index, _ in missing:
            under_way.append(to_pixels(photos[split].whole(index)["input"]))
            yield under_way[-1]

    with (
        open_teacher(stage.weights, recipe.size, value_range=stage.range) as teacher,
        console.progress("teacher's pictures", len(missing)) as bar,
    ):
        for (_, _, path), picture in zip(missing, teacher.draw(inputs()), strict=True):
            write_image(path, np.hstack([under_way.popleft(), picture]))
            bar.advance()
        _keep_bundle(stage, recipe.size, folder / TEACHER_BUNDLE)
        return teacher.origin.model_dump()


def _keep_bundle(stage: TeacherStage, size: Size, path: Path) -> None:
    from pocketgan.bundle.naming import bundle_name
    from pocketgan.foreign.output_range import ASSUMED
    from pocketgan.foreign.packing import pack_foreign

    file = Path(str(stage.weights))
    if file.suffix.lower() == ".pgb":
        shutil.copyfile(file, path)
        return
    name, value_range = bundle_name(None, file.stem), stage.range or ASSUMED
    pack_foreign("onnx", file, path, name=name, precision="fp32", input_shape=(3, *size), value_range=value_range)


def input_count(photos: Pictures) -> int:
    """How many inputs there are; unpaired targets are not counted."""
    from pocketgan.training.data.unpaired import UnpairedImages

    return len(photos.inputs) if isinstance(photos, UnpairedImages) else len(photos)


def learns_from_pictures(recipe: Recipe) -> bool:
    """Whether the student's targets are the pictures that its teacher left."""
    return recipe.teacher is not None and recipe.teacher.is_foreign


def learnt_split(recipe: Recipe, run: Path, split: str) -> Split:
    """The images of a split that are learnt from: those of the data, or the pictures that the teacher left."""
    if not learns_from_pictures(recipe):
        return ImageIndex.read(run).splits[split]
    return _drawn_split(run / "teacher", split)


def learnt_images(
    recipe: Recipe, run: Path, split: str, augmented: Training | None = None, only: Split | None = None
) -> Pictures:
    """The same, read; `augmented` and `only` as in `images.load_images`."""
    if not learns_from_pictures(recipe):
        return load_images(recipe, run, split, augmented=augmented, only=only)
    return drawn_pairs(recipe, run / "teacher", split, augmented, only)


def _drawn_split(folder: Path, split: str) -> Split:
    return Split([[f"{split}/{path.name}"] for path in sorted((folder / PICTURES / split).glob("*.png"))])


def drawn_pairs(
    recipe: Recipe, folder: Path, split: str, augmented: Training | None = None, only: Split | None = None
) -> PairedImages:
    """Photos with what the teacher made of them, as the stage `teacher` leaves them in its `folder`."""
    from pocketgan.training.data.paired import Pair, PairedImages

    pairs = [Pair(folder / PICTURES / name) for (name,) in (only or _drawn_split(folder, split)).items]
    if augmented is None:
        return PairedImages(pairs, "AtoB", recipe.size)
    return PairedImages(
        pairs,
        "AtoB",
        recipe.size,
        load_scale=augmented.load_scale,
        flip=augmented.flip,
        part=augmented.crop_size,
    )
