"""Concepts of a folder of photos, one after the other."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from pocketgan.errors import DataError, PocketganError
from pocketgan.files import write_atomic
from pocketgan.pairs.drawing import draw_concept
from pocketgan.pairs.painters import FilterPainter, Painter
from pocketgan.pairs.photos import open_set
from pocketgan.pairs.wishes import ALL, Wish, parse_wishes
from pocketgan.pairs.workers import Workers
from pocketgan.recipe.effect import recipe_of_pairs
from pocketgan.training.data.concepts import SET_FILE, Concept, read_set


def make_concepts(
    images: Path,
    out: Path,
    wishes: Sequence[Wish],
    painter_of: Callable[[Wish], Painter],
    size: int,
    *,
    workers: Workers | None = None,
    restart: bool = False,
) -> list[Concept]:
    """Pairs of every concept and a recipe for each, OUT/NAME.yaml; what is there already is not drawn again.

    Args:
        images: a folder of pictures, whose centre squares are the photos.
        size: height and width of the photos in pixels.
        restart: draw again what was drawn or begun with other settings.
    Raises:
        DataError: the photos, or what is in `out`, cannot be used; where `out` was made for this call and nothing of it
            was drawn, it is gone again.
        ModelError: the teacher does not give pictures.
    """
    workers = workers or Workers()
    is_new = not (out / SET_FILE).exists()
    try:
        if workers.first:
            open_set(images, out, size)
        workers.wait()
        photos = read_set(out)
        made = []
        for wish in wishes:
            painter = painter_of(wish)
            concept = draw_concept(out, photos, wish.name, wish.text, painter, workers, restart)
            if workers.first:
                recipe = recipe_of_pairs(wish.name, out / wish.name, size, concept.record.teacher.origin)
                write_atomic(out / f"{wish.name}.yaml", recipe)
            made.append(concept)
        return made
    except PocketganError:
        if is_new and workers.first and not _holds_something(out):
            shutil.rmtree(out, ignore_errors=True)
        raise


def make_filtered(images: Path, out: Path, told: Sequence[str], size: int, restart: bool = False) -> list[Concept]:
    """Pairs of the filters' effects; `told` as for `filter_wishes`. Raises as `make_concepts`."""
    return make_concepts(images, out, filter_wishes(told), lambda wish: FilterPainter(wish.name), size, restart=restart)


def filter_wishes(told: Sequence[str]) -> list[Wish]:
    """Effects by name, with a text of the user's or the effect's own; `all` stands for all of them.

    Raises:
        DataError: there is no such effect, and as `parse_wishes`.
    """
    from pocketgan.training.teachers.filters import EFFECTS, check_effect

    if not told:
        raise DataError(f"--concept says which effects the filters draw: {', '.join(EFFECTS)}; or {ALL}")
    wishes = parse_wishes(
        [name for one in told for name in (EFFECTS if one == ALL else [one])],
        dict.fromkeys(told, "") | {name: effect.text for name, effect in EFFECTS.items()},
    )
    for wish in wishes:
        check_effect(wish.name)
    return wishes


def _holds_something(out: Path) -> bool:
    """Finished concepts, or drawings of one that a later call goes on with."""
    return any(out.glob("*/concept.json")) or any(out.glob(".*.partial/drawn/*"))
