"""The stage `adapt`: LoRA's concepts on the base that the stage `teacher` left, a small file each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan.errors import DataError, PocketganError, require
from pocketgan.files import write_atomic
from pocketgan.pipeline import prompts
from pocketgan.pipeline.networks import GENERATOR
from pocketgan.pipeline.stage import Context, Stage
from pocketgan.recipe.recipe import Recipe

if TYPE_CHECKING:
    from pocketgan.training.adapting import AdaptOptions
    from pocketgan.training.data.concepts import Concept
    from pocketgan.training.wanted_concepts import WantedConcept

# Beside the stages: finished concepts, and those under way.
WORK = "adapt.work"
# What all concepts are shown on side by side: photos that none was learnt from.
PHOTOS = "photos"
MOST_PHOTOS = 4


def _check(recipe: Recipe) -> None:
    """The concepts are there, with the photos that are chosen and enough pairs for a step: no base is trained before a
    slip in a name is found."""
    from pocketgan.training.base_and_pairs import check_batch, chosen_pairs
    from pocketgan.training.data.paired import split_pairs

    require("adapt", "peft")
    require("train", "torch", "safetensors")
    assert recipe.adapt is not None
    photos = _photos(recipe)
    if recipe.adapt.folder is None and (recipe.data is None or recipe.data.folder is None):
        return
    for concept in prompts.candidates(_root(recipe), recipe.adapt.concepts):
        pairs = split_pairs(concept.folder, "train")
        count = len(pairs if photos is None else chosen_pairs(pairs, photos, concept.folder))
        check_batch(concept.folder, count, recipe.adapt.batch_size)


def _root(recipe: Recipe) -> Path:
    """The folder that holds the pairs of the concepts."""
    assert recipe.adapt is not None
    assert recipe.data is not None
    folder = recipe.adapt.folder or recipe.data.folder
    if folder is None:
        raise DataError("this recipe reads a folder of concepts; name it with --data DIR")
    return Path(folder).resolve()


def _outside(recipe: Recipe, run: Path) -> Any:
    """Content of the concepts' pictures, and what their texts depend on."""
    from pocketgan.training.data.folders import content_hashes

    assert recipe.adapt is not None
    assert recipe.data is not None
    root = _root(recipe)
    concepts = prompts.candidates(root, recipe.adapt.concepts)
    hashes = content_hashes(prompts.files_of(concepts, root), root, {})
    return {
        "pictures": {name: row[0] for name, row in hashes.items()},
        "coreset": _photos(recipe),
        **prompts.outside(concepts, recipe.data.text),
    }


def _photos(recipe: Recipe) -> list[str] | None:
    """Names of those that are learnt from; None where all are."""
    from pocketgan.training.coreset import read_chosen

    assert recipe.adapt is not None
    return None if recipe.adapt.coreset is None else read_chosen(Path(recipe.adapt.coreset))


def _adapt_concepts(context: Context) -> dict[str, Any]:
    """An adapter a concept, NAME.safetensors, their list, `concepts.json`, and photos to show them on.

    They are made in a folder of the run that no change of the recipe empties, so that a list that has grown is gone on
    with: see `training.concept_factory.adapt_concepts`. `l1` and `identity_l1` are means over the concepts.

    Raises:
        PocketganError: a concept cannot be learnt; what the others have learnt is kept.
    """
    from pocketgan.training.adapter_set import SET_FILE, read_adapter_set
    from pocketgan.training.concept_factory import adapt_concepts
    from pocketgan.training.parallel import open_pool
    from pocketgan.training.text.sources import open_encoder

    recipe, stage = context.recipe, context.recipe.adapt
    assert stage is not None
    assert recipe.data is not None
    root, work = _root(recipe), context.run / WORK
    concepts = prompts.candidates(root, stage.concepts)
    base, encoder = context.run / "teacher" / GENERATOR, open_encoder(recipe.data.text)
    with open_pool(stage.workers) as pool:
        ended = adapt_concepts(base, _wanted(recipe, concepts), encoder, work, pool, size=recipe.size)
    if failed := [f"{one.name}: {one.error}" for one in ended.concepts if one.error]:
        raise PocketganError(f"adapt: {'; '.join(failed)}")
    made = read_adapter_set(work)
    for name in (SET_FILE, *(one.adapter.file for one in made.concepts)):
        write_atomic(context.folder / name, (work / name).read_bytes())
    photos = [root / photo for photo, _ in prompts.find_files(concepts[:1])["val"]]
    for photo in photos[:MOST_PHOTOS]:
        write_atomic(context.folder / PHOTOS / photo.name, photo.read_bytes())
    figures = {one.name: one.figures.model_dump(exclude={"seconds"}) for one in made.concepts}
    means = {name: sum(one[name] for one in figures.values()) / len(figures) for name in ("l1", "identity_l1")}
    return {"concepts": figures, **means}


def _wanted(recipe: Recipe, concepts: list[Concept]) -> list[WantedConcept]:
    from pocketgan.training.wanted_concepts import WantedConcept

    options, named = _options(recipe), _photos(recipe)
    photos = None if named is None else tuple(sorted(named))
    return [WantedConcept(one.record.name, one.record.text, one.folder, "AtoB", options, photos) for one in concepts]


def _options(recipe: Recipe) -> AdaptOptions:
    from pocketgan.training.adapter import Ranks
    from pocketgan.training.adapting import AdaptOptions

    stage = recipe.adapt
    assert stage is not None
    return AdaptOptions(
        stage.steps,
        None if stage.ranks is None else Ranks(*stage.ranks),
        batch_size=stage.batch_size,
        learning_rate=stage.learning_rate,
        discriminator_learning_rate=stage.discriminator_learning_rate,
        betas=stage.adam_betas,
        decay=stage.decay,
        gan_mode=stage.gan_mode,
        lambda_l1=stage.lambda_l1,
        lambda_gan=stage.lambda_gan,
        ndf=stage.ndf,
        flip=stage.flip,
        seed=recipe.seed,
        checkpoint_every=stage.checkpoint_every,
        precision=stage.precision,
    )


STAGE = Stage(
    "adapt",
    1,
    _adapt_concepts,
    inputs=("teacher",),
    slices=("data",),
    outside=_outside,
    check=_check,
)
