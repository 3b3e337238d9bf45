"""The stage `adapt`: LoRA's concepts on the base that the stage `teacher` left, a small file each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan.errors import DataError, require
from pocketgan.files import write_atomic
from pocketgan.pipeline import prompts
from pocketgan.pipeline.networks import GENERATOR
from pocketgan.pipeline.stage import Context, Stage
from pocketgan.recipe.recipe import Recipe

if TYPE_CHECKING:
    from pocketgan.training.adapting import AdaptOptions
    from pocketgan.training.data.concepts import Concept

# What all concepts are shown on side by side: photos that none was learnt from.
PHOTOS = "photos"
MOST_PHOTOS = 4


def _check(recipe: Recipe) -> None:
    require("adapt", "peft")
    require("train", "torch", "safetensors")
    _photos(recipe)


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
    """An adapter a concept, NAME.safetensors, and what is known of it beside; those that a killed run left are kept.

    `l1` and `identity_l1` are the means over the concepts.
    """
    recipe, stage = context.recipe, context.recipe.adapt
    assert stage is not None
    root = _root(recipe)
    concepts = prompts.candidates(root, stage.concepts)
    adapted = [_adapted(context, concept) for concept in concepts]
    photos = [root / photo for photo, _ in prompts.find_files(concepts[:1])["val"]]
    for photo in photos[:MOST_PHOTOS]:
        write_atomic(context.folder / PHOTOS / photo.name, photo.read_bytes())
    means = {name: sum(one[name] for one in adapted) / len(adapted) for name in ("l1", "identity_l1")}
    return {"concepts": adapted, **means}


def _adapted(context: Context, concept: Concept) -> dict[str, Any]:
    from pocketgan.training.adapter import Concept as Wanted
    from pocketgan.training.adapting import adapt_folder
    from pocketgan.training.text.sources import open_encoder

    recipe, record = context.recipe, concept.record
    assert recipe.data is not None
    finished = context.folder / f"{record.name}.json"
    if finished.is_file():
        return json.loads(finished.read_text())
    encoder = open_encoder(recipe.data.text)
    wanted = Wanted(record.name, record.text, encoder.identity, encoder.encode([record.text])[0])
    found = adapt_folder(
        context.run / "teacher" / GENERATOR,
        concept.folder,
        wanted,
        _options(recipe),
        context.folder / f"{record.name}.safetensors",
        size=recipe.size,
        only=_photos(recipe),
    ).to_json()
    told = {**found, "text": record.text, "path": f"{record.name}.safetensors"}
    write_atomic(finished, json.dumps(told))
    return told


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
