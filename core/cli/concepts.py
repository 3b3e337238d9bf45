"""Commands about concepts: effects that a base learns, each in a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pocketgan import console
from pocketgan.cli.options import Json, OutFile
from pocketgan.errors import require

Base = Annotated[Path, typer.Argument(metavar="BASE", help="The model file of an e2gan.")]


def merge(
    base: Base,
    adapter: Annotated[Path, typer.Argument(metavar="ADAPTER", help="A concept's adapter, trained on that base.")],
    out: OutFile,
    json: Json = False,
) -> None:
    """Make a base and a concept's adapter one plain generator.

    It takes images alone, and is exported as any other.
    """
    require("train", "torch", "safetensors")
    from pocketgan.training.adapter import merge as merged_of
    from pocketgan.training.adapter_files import load_adapter
    from pocketgan.training.generators.files import load_generator, save_generator

    concept = load_adapter(adapter)
    merged = merged_of(load_generator(base), concept)
    save_generator(out, merged.module, merged.spec, merged.metadata)
    told = concept.concept
    payload = {
        "path": str(out),
        "bytes": out.stat().st_size,
        "concept": told.name,
        "text": told.text,
        "text_encoder": told.encoder.name,
        "text_encoder_digest": told.encoder.digest,
        "base_sha256": concept.base_digest,
        "ranks": concept.ranks.to_json(),
    }
    console.result(payload, f"{told.name} ({told.text!r}) merged into its base; written to {out}")
