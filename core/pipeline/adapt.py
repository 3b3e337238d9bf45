"""The stage `adapt`: LoRA's concepts on the base that the stage `teacher` left, a small file each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan import console
from pocketgan.errors import DataError, require
from pocketgan.files import sha256_file, sha256_json, write_atomic
from pocketgan.pipeline import prompts
from pocketgan.pipeline.networks import GENERATOR
from pocketgan.pipeline.stage import Context, Stage
from pocketgan.recipe.recipe import Recipe

if TYPE_CHECKING:
    from pocketgan.training.adapter import Concept as Wanted
    from pocketgan.training.adapting import AdaptOptions
    from pocketgan.training.data.concepts import Concept

# What all concepts are shown on side by side: photos that none was learnt from.
PHOTOS = "photos"
MOST_PHOTOS = 4
# What is known of each adapter, NAME.json: beside the adapters a concept's name could be that of another file.
RECORDS = "records"
VERSION = 1


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
    """An adapter a concept, NAME.safetensors, and what is known of it in RECORDS; those that are finished are kept,
    whatever other concepts came or went since.

    `l1` and `identity_l1` are the means over the concepts.
    """
    from pocketgan.training.adapter import Concept as Wanted
    from pocketgan.training.text.sources import open_encoder

    recipe, stage = context.recipe, context.recipe.adapt
    assert stage is not None
    assert recipe.data is not None
    root = _root(recipe)
    concepts = prompts.candidates(root, stage.concepts)
    encoder = open_encoder(recipe.data.text)
    tokens = encoder.encode(prompts.texts_of(concepts))
    wanted = [
        Wanted(concept.record.name, concept.record.text, encoder.identity, row)
        for concept, row in zip(concepts, tokens, strict=True)
    ]
    adapted = [_adapted(context, concept, one) for concept, one in zip(concepts, wanted, strict=True)]
    _remove_others(context.folder, [concept.record.name for concept in concepts])
    photos = [root / photo for photo, _ in prompts.find_files(concepts[:1])["val"]]
    for photo in photos[:MOST_PHOTOS]:
        write_atomic(context.folder / PHOTOS / photo.name, photo.read_bytes())
    means = {name: sum(one[name] for one in adapted) / len(adapted) for name in ("l1", "identity_l1")}
    return {"concepts": adapted, **means}


def _adapted(context: Context, concept: Concept, wanted: Wanted) -> dict[str, Any]:
    """What is known of a concept's adapter, which is there afterwards."""
    from pocketgan.training.adapting import adapt_folder
    from pocketgan.training.data.folders import content_hashes

    recipe, name = context.recipe, concept.record.name
    base, photos, options = context.run / "teacher" / GENERATOR, _photos(recipe), _options(recipe)
    pictures = content_hashes(prompts.files_of([concept], concept.folder.parent), concept.folder.parent, {})
    digest = sha256_json(
        {
            "version": VERSION,
            "base": sha256_file(base),
            "size": recipe.size,
            "pictures": {path: row[0] for path, row in pictures.items()},
            "photos": photos,
            "options": options.to_json(),
            "concept": wanted.digest,
        }
    )
    out, record = context.folder / f"{name}.safetensors", context.folder / RECORDS / f"{name}.json"
    for folder in (context.folder, context.run / STAGE.name):
        finished = _finished(folder, name, digest)
        if finished is not None:
            if folder != context.folder:
                write_atomic(out, (folder / out.name).read_bytes())
                write_atomic(record, json.dumps(finished))
            console.note(f"{name}: adapted already, kept")
            return finished["told"]
    found = adapt_folder(base, concept.folder, wanted, options, out, size=recipe.size, only=photos).to_json()
    told = {**found, "text": concept.record.text, "path": out.name}
    write_atomic(record, json.dumps({"digest": digest, "adapter": sha256_file(out), "told": told}))
    return told


def _finished(folder: Path, name: str, digest: str) -> dict[str, Any] | None:
    """The record of an adapter in a folder that is of this very training, and whole; else None."""
    try:
        record: dict[str, Any] = json.loads((folder / RECORDS / f"{name}.json").read_text())
        same = (record["digest"], record["adapter"]) == (digest, sha256_file(folder / f"{name}.safetensors"))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if same else None


def _remove_others(folder: Path, names: Sequence[str]) -> None:
    """What an earlier run left of concepts that the recipe no longer names, and its photos."""
    shutil.rmtree(folder / PHOTOS, ignore_errors=True)
    wanted = {f"{name}.safetensors" for name in names} | {f"{name}.json" for name in names}
    for path in (*folder.glob("*.safetensors*"), *folder.glob(f"{RECORDS}/*")):
        if path.name not in wanted:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


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
    VERSION,
    _adapt_concepts,
    inputs=("teacher",),
    slices=("data",),
    outside=_outside,
    check=_check,
    in_pieces=True,
)
