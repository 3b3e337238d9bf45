"""`pocketgan coreset`."""

from __future__ import annotations

import json as json_text
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketgan import console
from pocketgan.cli.options import Json, OutFile, output_folder
from pocketgan.cli.quality import Inception
from pocketgan.errors import DataError, require
from pocketgan.files import atomic_folder, write_atomic

if TYPE_CHECKING:
    import numpy as np

    from pocketgan.training.text.encoder import EncoderIdentity

Source = Annotated[
    Path,
    typer.Argument(metavar="IMAGES_OR_TEXTS", help="A folder of pictures, or a .safetensors file of `pocketgan text`."),
]
Clip = Annotated[
    str | None,
    typer.Option("--clip", metavar="CLIP", help="CLIP's image tower instead of Inception: a folder or a hub's id."),
]
Copy = Annotated[
    Path | None,
    typer.Option(
        "--copy", parser=output_folder("--copy"), metavar="DIR", help="Also copy the chosen pictures to this folder."
    ),
]


def coreset(
    source: Source,
    out: OutFile,
    k: Annotated[int, typer.Option("--k", help="How many to choose; the paper's number for a concept's images.")] = 400,
    clip: Clip = None,
    inception: Inception = "auto",
    copy: Copy = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of k-means and of the random choice beside it.")] = 0,
    json: Json = False,
) -> None:
    """Choose the images or texts that stand for all.

    Those nearest to the centres of k-means. FILE is JSON: which, and how well they cover the rest.
    """
    require("train", "torch", "sklearn", "threadpoolctl")
    of_texts = source.suffix == ".safetensors"
    if of_texts and copy is not None:
        raise DataError("--copy is for pictures; of texts the chosen ones stand in the file of --out")
    if copy is not None and copy.exists() and (not copy.is_dir() or any(copy.iterdir())):
        raise DataError(f"{copy} exists and is not an empty folder; choose another --copy")
    what = "texts" if of_texts else "images"
    names, features, identity = _texts(source) if of_texts else _images(source, k, clip, inception)
    from pocketgan.training import coreset as choice

    found = choice.coreset(features, k, seed, what)
    report = found.report(what, names, identity)
    if copy is not None:
        with atomic_folder(copy) as folder:
            for name in report["chosen"]:
                shutil.copyfile(source / name, folder / name)
    write_atomic(out, json_text.dumps(report, indent=2) + "\n")
    where = f"{out}" if copy is None else f"{out}, copied to {copy}"
    console.result({"out": str(out), **report}, f"{k} of {len(names)} {what} in {where}\n{found}")


def _texts(source: Path) -> tuple[list[str], np.ndarray, EncoderIdentity]:
    from pocketgan.training.coreset import concept_vectors
    from pocketgan.training.text.precomputed import PrecomputedText

    kept = PrecomputedText(source)
    return kept.texts, concept_vectors(kept.features), kept.identity


def _images(source: Path, k: int, clip: str | None, inception: str) -> tuple[list[str], np.ndarray, EncoderIdentity]:
    require("quality", "cleanfid")
    from pocketgan.picture_files import find_pictures
    from pocketgan.training.coreset import check_enough
    from pocketgan.training.image_features import ClipFeatures, ImageFeatures, InceptionFeatures, features_of

    pictures = find_pictures(source)
    check_enough(len(pictures), k, "images")  # before minutes of work
    network: ImageFeatures = InceptionFeatures(inception) if clip is None else ClipFeatures(clip)
    return [path.name for path in pictures], features_of(network, pictures), network.identity
