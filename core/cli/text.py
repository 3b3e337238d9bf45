"""`pocketgan text`."""

from __future__ import annotations

from typing import Annotated

import typer

from pocketgan import console
from pocketgan.cli.options import Json, OutFile
from pocketgan.errors import require

Encoder = Annotated[
    str,
    typer.Option(
        "--encoder",
        metavar="ENCODER",
        help="sentence (offline), the folder or hub id of a CLIP model, or a .safetensors file of this command.",
    ),
]


def text(
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="What effects do, such as 'a comic in ink'.")],
    out: OutFile,
    encoder: Encoder = "sentence",
    json: Json = False,
) -> None:
    """Features of concepts' texts, in a file for training."""
    require("text", "torch", "safetensors")
    from pocketgan.training.text.precomputed import write_features
    from pocketgan.training.text.sources import open_encoder

    opened = open_encoder(encoder)
    write_features(out, texts, opened.encode(texts), opened.identity)
    name, digest = opened.identity.name, opened.identity.digest
    payload = {"out": str(out), "texts": [one.strip() for one in texts], "encoder": {"name": name, "digest": digest}}
    console.result(payload, f"features of {len(texts)} texts by {opened.identity} written to {out}")
