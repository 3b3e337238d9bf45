"""Images kept for choosing: a fixed share of the training images, which a training that evaluates does not train on.

Which they are follows from their names and the recipe's seed alone, so that teacher and student keep the same ones and
most stay the same when images are added. Validation images choose nothing; they are read once, for what is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan import console
from pocketgan.errors import DataError
from pocketgan.files import sha256_file
from pocketgan.pipeline.drawn import learnt_images, learnt_split
from pocketgan.pipeline.images import Split
from pocketgan.pipeline.stage import Context
from pocketgan.recipe.recipe import Recipe
from pocketgan.recipe.sections import Training

if TYPE_CHECKING:
    import torch

    from pocketgan.training.data.samples import Pictures
    from pocketgan.training.measuring import Measuring
    from pocketgan.training.programs.method import Task

_JUDGES = {"fid": "inception", "kid": "inception", "lpips": "lpips_weights", "miou": "judge"}

Item = Sequence[str]


def apart(split: Split, seed: int) -> tuple[Split, Split]:
    """The images that are trained on, and those that are kept; each in the order of the split.

    Of unpaired images each side is parted; both halves of a file fall to the same part where both sides have them.
    """
    if split.domains:
        sides = {side: _part(images, seed) for side, images in split.domains.items()}
        return tuple(Split(domains={side: parts[i] for side, parts in sides.items()}) for i in (0, 1))  # type: ignore[return-value]
    trained, kept = _part(split.items, seed)
    return Split(trained), Split(kept)


def _part(items: Sequence[Item], seed: int) -> tuple[list[Item], list[Item]]:
    from pocketgan.training.data.kept import kept_for_choosing

    kept = kept_for_choosing([item[0] for item in items], seed)
    return [item for item in items if item[0] not in kept], [item for item in items if item[0] in kept]


def training_images(recipe: Recipe, run: Path, stage: Training) -> tuple[Pictures, Pictures | None]:
    """The images that a section trains on, augmented as it says, and those that it keeps for choosing, if it does."""
    if stage.evaluate_every is None:
        return learnt_images(recipe, run, "train", augmented=stage), None
    trained, kept = apart(learnt_split(recipe, run, "train"), recipe.seed)
    return (
        learnt_images(recipe, run, "train", augmented=stage, only=trained),
        learnt_images(recipe, run, "train", only=kept),
    )


def names_of(split: Split) -> Any:
    """The images of a split as the facts of a stage name them."""
    one = {side: [" ".join(image).strip() for image in images] for side, images in split.domains.items()}
    return one or [item[0] for item in split.items]


def check_counts(recipe: Recipe, run: Path) -> None:
    """Now, not after the teacher's hours: whether there are images enough for every section that evaluates.

    Raises:
        DataError: there are not.
    """
    for name, stage in _evaluating(recipe):
        trained, kept = (_fewest(part) for part in apart(learnt_split(recipe, run, "train"), recipe.seed))
        if not trained:
            raise DataError(
                f"{name}.evaluate_every keeps 1 training image at least for choosing, and there is only that one"
            )
        of_sets = [metric for metric in stage.evaluate if metric in ("fid", "kid")]
        if of_sets and kept < 2:
            raise DataError(
                f"{name}.evaluate: {of_sets[0]} compares sets of images, and 15 % of {trained + kept} training images "
                "is 1: it takes 10 training images at least; or evaluate l1 or lpips, which take pairs"
            )
    _check_evolution(recipe, run)


def _check_evolution(recipe: Recipe, run: Path) -> None:
    stage = recipe.compress
    if stage is None or stage.method != "evolve":
        return
    trained, kept = (_fewest(part) for part in apart(learnt_split(recipe, run, "train"), recipe.seed))
    if not trained:
        raise DataError("compress.method evolve keeps 1 training image at least for choosing, and there is only that")
    if stage.last_ones and kept < 2:
        raise DataError(
            f"compress.finalists: FID compares sets of images, and 15 % of {trained + kept} training images is 1: it "
            "takes 10 at least; or finalists: 0"
        )


def _fewest(split: Split) -> int:
    return min(map(len, split.domains.values())) if split.domains else len(split.items)


def _evaluating(recipe: Recipe) -> Iterator[tuple[str, Training]]:
    for name, stage in (("teacher", recipe.teacher), ("distill", recipe.distill)):
        if stage is not None and stage.evaluate_every is not None:
            yield name, stage


def check_judges(recipe: Recipe, name: str) -> None:
    """Whether what the evaluations of the section of that name need is there and fits.

    Raises:
        PocketganError: says what is missing.
    """
    stage = dict(_evaluating(recipe)).get(name)
    if stage is None:
        return
    import torch

    from pocketgan.training.evaluator import load_judges

    assert recipe.data is not None
    load_judges(stage, recipe.size, recipe.data.classes, torch.device("cpu"))
    compress = recipe.compress
    inherits = compress is not None and (compress.inherit or compress.method == "evolve")
    if name == "distill" and inherits and "teacher" not in dict(_evaluating(recipe)):
        console.note(
            "distill: the student begins with weights of a teacher that has learnt from the images which distill keeps "
            "for choosing, so that early steps look better than they are; teacher.evaluate_every keeps them from both"
        )


def content_of_judge(stage: Training | None) -> list[str]:
    """The content of the file that decides which network ships; empty where there is none."""
    if stage is None or stage.best_by is None or stage.best_by not in _JUDGES:
        return []
    file = getattr(stage, _JUDGES[stage.best_by])
    return [sha256_file(Path(file))] if file is not None and Path(file).is_file() else []


def measuring(context: Context, stage: Training, task: Task, kept: Pictures, device: torch.device) -> Measuring:
    """What is measured while the task is trained.

    Raises:
        PocketganError: what it needs is not there any more.
    """
    from pocketgan.training.evaluator import Evaluator, load_judges
    from pocketgan.training.measuring import Measuring

    recipe = context.recipe
    assert recipe.data is not None
    assert stage.evaluate_every is not None
    judges = load_judges(stage, recipe.size, recipe.data.classes, device)
    evaluator = Evaluator(kept, stage.evaluate, judges, device, task.shown.get("teacher"))
    return Measuring(stage.evaluate_every, evaluator, stage.best_by)


def course(context: Context, stage: Training) -> dict[str, Any]:
    """What the stage's facts say of its evaluations."""
    from pocketgan.training.evaluations import best_of, read_evaluations

    evaluations = read_evaluations(context.folder)
    best = None if stage.best_by is None else best_of(evaluations, stage.best_by)
    _, kept = apart(learnt_split(context.recipe, context.run, "train"), context.recipe.seed)
    return {
        "images": _fewest(kept),
        "kept_images": names_of(kept),
        "values": [{"step": one.step, **one.values} for one in evaluations],
        "shipped_step": stage.steps if best is None else best.step,
        "best_by": stage.best_by,
    }
