"""The stage `data`: images found or made, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pocketgan import console
from pocketgan.errors import DataError, require
from pocketgan.files import sha256_file, write_atomic
from pocketgan.pipeline.images import INDEX, UNLABELLED, WHOLE, ImageIndex, Split, find_splits
from pocketgan.pipeline.labelled import find_unlabelled, part_by_labels
from pocketgan.pipeline.stage import Context, Stage, facts_of
from pocketgan.recipe.recipe import Recipe


def _check(recipe: Recipe) -> None:
    from pocketgan.doctor import check_torch_pair

    require("train", "torch", "accelerate", "safetensors", "tensorboard", "cv2")
    check_torch_pair()
    if recipe.data is not None and recipe.data.source == "builtin":
        from pocketgan.training.teachers.filters import check_effect

        check_effect(recipe.data.effect)
    trained = [stage for stage in (recipe.teacher, recipe.distill) if stage is not None]
    if recipe.data is not None and recipe.data.unlabelled and not any(stage.takes_unlabelled for stage in trained):
        programs = [*dict.fromkeys(stage.program for stage in trained)]
        learn = "learns" if len(programs) == 1 else "learn"
        who = f"{' and '.join(programs)} {learn} from pairs alone" if programs else "nothing is trained"
        console.note(f"data.unlabelled: {who}; these inputs are checked and left")


def _outside(recipe: Recipe, run: Path) -> Any:
    """Content of the user's folder, or which built-in photos there are and the splits that they belong to.

    Hashes of files that have not changed since are taken from the last index.
    """
    stage = recipe.data
    assert stage is not None
    if stage.source == "builtin":
        from pocketgan.training.data.photos import PHOTOS

        return {**{photo.path: photo.split for photo in PHOTOS}, **_unlabelled_content(recipe, run)}
    if stage.folder is None:
        raise DataError("this recipe reads a folder of images; name it with --data DIR")
    root = Path(stage.folder).resolve()
    if not root.is_dir():
        raise DataError(f"there is no data folder {stage.folder}")
    return {**_data_content(recipe, root, run), **_unlabelled_content(recipe, run)}


def _data_content(recipe: Recipe, root: Path, run: Path) -> dict[str, Any]:
    """What the data's folder holds for the recipe, and of several concepts what their texts depend on."""
    stage = recipe.data
    assert stage is not None
    if stage.kind != "concepts":
        return _content(_pictures_below(root), root, run)
    from pocketgan.pipeline import prompts

    concepts = prompts.offered(recipe, root)
    return {**_content(prompts.files_of(concepts, root), root, run), **prompts.outside(concepts, stage.text)}


def _unlabelled_content(recipe: Recipe, run: Path) -> dict[str, Any]:
    """That of the folder `data.unlabelled`; empty where there is none."""
    assert recipe.data is not None
    if recipe.data.unlabelled is None:
        return {}
    root = Path(recipe.data.unlabelled).resolve()
    if not root.is_dir():
        raise DataError(f"data.unlabelled: there is no folder {recipe.data.unlabelled}")
    return {UNLABELLED: _content(_pictures_below(root), root, run)}


def _pictures_below(root: Path) -> list[Path]:
    from pocketgan.picture_files import is_image

    return sorted(path for path in root.rglob("*") if is_image(path) and path.is_file())


def _content(files: list[Path], root: Path, run: Path) -> dict[str, str]:
    """SHA-256 of picture files, by their names relative to the folder."""
    from pocketgan.training.data.folders import content_hashes

    return {name: values[0] for name, values in content_hashes(files, root, _known_hashes(run, root)).items()}


def _known_hashes(run: Path, root: Path) -> dict[str, list[Any]]:
    """Of files in that folder, whose size and time tell that they are the same."""
    try:
        index = ImageIndex.read(run)
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}
    if index.inputs is not None and index.inputs.root == str(root):
        return index.inputs.files
    return index.files if index.root == str(root) else {}


def _make_data(context: Context) -> dict[str, Any]:
    """Pairs made from built-in photos, or images found in the user's folder and checked."""
    stage = context.recipe.data
    assert stage is not None
    facts: dict[str, Any] = {}
    files: dict[str, list[Any]] = {}
    if stage.source == "builtin":
        root, splits = context.folder, _make_builtin(context)
    else:
        from pocketgan.picture_files import left_out
        from pocketgan.training.data.folders import content_hashes

        root = Path(str(stage.folder)).resolve()
        splits, facts = _found(context, root)
        paths = sorted({root / name for split in splits.values() for name in split.files()})
        if stage.kind != "concepts" and (text := left_out(sorted({path.parent for path in paths}), paths)):
            console.note(text)
        files = content_hashes(paths, root, {})
    if stage.labels < 1:
        total = len(splits["train"].items)
        digest_of = lambda name: files[name][0] if name in files else sha256_file(root / name)  # noqa: E731
        labelled, others = part_by_labels(splits["train"], stage.labels, digest_of)
        splits = {**splits, "train": labelled, UNLABELLED: others}
        facts["labels"] = {"share": stage.labels, "labelled": len(labelled.items), "of": total}
    inputs = None
    if stage.unlabelled is not None:
        inputs, facts["unlabelled_folder"] = find_unlabelled(stage, root, splits)
    index = ImageIndex(splits, None if stage.source == "builtin" else str(root), files, inputs)
    write_atomic(context.folder / INDEX, index.to_json())
    return {**{name: split.count() for name, split in splits.items()}, **facts}


def _found(context: Context, root: Path) -> tuple[dict[str, Split], dict[str, Any]]:
    """The user's images by split; of several concepts their texts are left, and facts say which they are."""
    recipe, stage = context.recipe, context.recipe.data
    assert stage is not None
    if stage.kind != "concepts":
        return find_splits(recipe, root), {}
    from pocketgan.pipeline import prompts

    concepts, choice = prompts.learnt(recipe, root)
    prompts.write_texts(stage, concepts, context.folder / prompts.TEXTS)
    splits = {split: Split(pairs) for split, pairs in prompts.find_pairs_of(concepts, root).items()}
    facts = {"concepts": {one.record.name: one.record.text for one in concepts}, **choice}
    _tell_of_others(facts_of(context.run, STAGE.name).get("concepts", {}), facts["concepts"])
    return splits, facts


def _tell_of_others(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """A base that is trained already is of other concepts: which, and how it stays as it is."""
    gone, new = sorted(before.keys() - now.keys()), sorted(now.keys() - before.keys())
    if before and (gone or new):
        changed = [f"{word} {', '.join(names)}" for word, names in (("without", gone), ("with", new)) if names]
        console.note(
            f"data: the base is to learn other concepts than before, {' and '.join(changed)}; to keep the one that is "
            "trained, name its concepts in data.concepts"
        )


def _make_builtin(context: Context) -> dict[str, Split]:
    import numpy as np

    from pocketgan.pictures import resize, write_image
    from pocketgan.training.data.builtin import crops, whole
    from pocketgan.training.teachers import filters

    recipe = context.recipe
    stage = recipe.data
    assert stage is not None
    height, width = recipe.size
    splits = {}
    photos = {
        split: [resize(image, height, width) for image in images]
        for split, images in crops(max(recipe.size), stage.train_crops, stage.val_crops, recipe.seed).items()
    }
    photos[WHOLE] = whole(max(recipe.size))
    with console.progress("data", sum(map(len, photos.values()))) as bar:
        for split, images in photos.items():
            names = [f"{split}/{index:05d}.png" for index in range(len(images))]
            for name, photo in zip(names, images, strict=True):
                write_image(context.folder / name, np.hstack([photo, filters.apply(stage.effect, photo)]))
                bar.advance()
            splits[split] = Split([[name] for name in names])
    return splits


STAGE = Stage("data", 1, _make_data, outside=_outside, check=_check)
