"""Data of several concepts: which of them are learnt, their pairs, and the features of their texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan.errors import DataError
from pocketgan.files import sha256_file
from pocketgan.recipe.recipe import Recipe
from pocketgan.recipe.sections import DataStage

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pocketgan.training.data.concepts import Concept
    from pocketgan.training.text.precomputed import PrecomputedText

# Of the data stage: the texts, in the order of the concepts' numbers, and their features.
TEXTS = "texts.safetensors"


def candidates(root: Path, names: Sequence[str] | None) -> list[Concept]:
    """The named concepts of a folder, or all, by name.

    Raises:
        DataError: the folder holds no concepts, or not those.
    """
    from pocketgan.training.data.concepts import read_concepts

    return sorted(read_concepts(root, names), key=lambda concept: concept.record.name)


def offered(recipe: Recipe, root: Path) -> list[Concept]:
    """The concepts of the data's folder that a base may be trained on: those that the recipe names, or all but those
    that it is to be adapted to.

    Raises:
        DataError: the folder holds no concepts, or not those.
    """
    stage, adapt = recipe.data, recipe.adapt
    assert stage is not None
    concepts = candidates(root, stage.concepts)
    if stage.concepts is not None or adapt is None or adapt.folder is not None:
        return concepts
    kept = [concept for concept in concepts if concept.record.name not in adapt.concepts]
    if not kept:
        raise DataError(f"{root} holds no concept but those of adapt; make others that the base learns first")
    return kept


def learnt(recipe: Recipe, root: Path) -> tuple[list[Concept], dict[str, Any]]:
    """Those of the offered ones that are trained on, by name, and how they were chosen.

    Raises:
        PocketganError: there are too few, or their texts cannot be read.
    """
    from pocketgan.training.coreset import at_random, check_enough, concept_vectors, coreset
    from pocketgan.training.text.sources import open_encoder

    stage, seed = recipe.data, recipe.seed
    assert stage is not None
    concepts = offered(recipe, root)
    if stage.choose is None:
        return concepts, {}
    check_enough(len(concepts), stage.choose, "concepts")
    if stage.choose_by == "random":
        return [concepts[index] for index in at_random(len(concepts), stage.choose, seed)], {}
    encoder = open_encoder(stage.text)
    found = coreset(concept_vectors(encoder.encode(texts_of(concepts))), stage.choose, seed, "concepts")
    report = found.report("texts", [concept.record.name for concept in concepts], encoder.identity)
    return [concepts[index] for index in found.chosen], {"choice": report}


def texts_of(concepts: Sequence[Concept]) -> list[str]:
    return [concept.record.text for concept in concepts]


def write_texts(stage: DataStage, concepts: Sequence[Concept], path: Path) -> None:
    """The features of the concepts' texts, a row a concept.

    Raises:
        PocketganError: two have one text, or the texts cannot be read.
    """
    from pocketgan.training.text.precomputed import write_features
    from pocketgan.training.text.sources import open_encoder

    encoder, texts = open_encoder(stage.text), texts_of(concepts)
    write_features(path, texts, encoder.encode(texts), encoder.identity)


def read_texts(run: Path) -> PrecomputedText:
    """What the data stage left of the texts."""
    from pocketgan.training.text.precomputed import PrecomputedText

    return PrecomputedText(run / "data" / TEXTS)


def features_of(recipe: Recipe, run: Path) -> Tensor | None:
    """(concepts, 77, 512) float32 by the concepts' numbers; None of other data."""
    return read_texts(run).features if has_concepts(recipe) else None


def prompted(recipe: Recipe, run: Path, network: nn.Module) -> nn.Module:
    """The network as the recipe's images drive it: where they are of several concepts, its input says which."""
    if not has_concepts(recipe):
        return network
    from pocketgan.training.programs.e2gan import Prompted

    return Prompted(network, read_texts(run).features).eval()


def has_concepts(recipe: Recipe) -> bool:
    """Whether its data are pairs of several concepts."""
    return recipe.data is not None and recipe.data.kind == "concepts"


def find_pairs_of(concepts: Sequence[Concept], root: Path) -> dict[str, list[list[str]]]:
    """Every concept's pairs by split, names relative to `root`: a photo, which all concepts share, and what becomes of
    it.

    Raises:
        DataError: a picture is missing, unreadable, or of another size than its photo.
    """
    from pocketgan.training.data.folders import check_equal_sizes, check_readable

    splits = find_files(concepts)
    files = [tuple(root / name for name in pair) for pairs in splits.values() for pair in pairs]
    check_equal_sizes(files, check_readable(sorted({path for pair in files for path in pair})))
    return splits


def find_files(concepts: Sequence[Concept]) -> dict[str, list[list[str]]]:
    """The same, with no look at the pictures.

    Raises:
        DataError: a concept's record is damaged.
    """
    from pocketgan.training.data.concepts import PHOTOS
    from pocketgan.training.data.folders import SPLITS

    splits: dict[str, list[list[str]]] = {split: [] for split in SPLITS}
    for concept in concepts:
        for pair in concept.pairs():
            if pair.kept:
                made = f"{concept.record.name}/{pair.split}/B/{pair.name}.png"
                splits[pair.split].append([f"{PHOTOS}/{pair.name}.png", made])
    return splits


def numbers_of(pairs: Iterable[Sequence[str]]) -> dict[str, int]:
    """The concepts' numbers, by name: their order."""
    return {name: number for number, name in enumerate(sorted({concept_of(pair) for pair in pairs}))}


def concept_of(pair: Sequence[str]) -> str:
    """The concept that a pair of the index belongs to."""
    return pair[1].split("/", 1)[0]


def outside(concepts: Sequence[Concept], text: str) -> dict[str, Any]:
    """What the texts of concepts and their features depend on beside the recipe; `text`: what reads them."""
    said = {concept.record.name: concept.record.text for concept in concepts}
    return {"texts": said, "features": _content_of_reader(Path(text))}


def _content_of_reader(path: Path) -> str | None:
    """Of the file of features, or of the folder of a CLIP model; None of what is named otherwise."""
    from pocketgan.training.text.pretrained import identify

    if path.is_dir():
        return identify(path.name, path).digest
    return sha256_file(path) if path.is_file() else None


def files_of(concepts: Sequence[Concept], root: Path) -> list[Path]:
    """All their photos and pictures, each once."""
    return sorted({root / name for split in find_files(concepts).values() for pair in split for name in pair})
