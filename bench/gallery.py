"""What a pack's concepts make of the same pictures, for the report: JPEGs, for twenty concepts are many pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping

import numpy as np

from pocketgan.bench.check import maps_pictures, picture_output
from pocketgan.bench.journal import GalleryRow
from pocketgan.bench.runners.picture import to_picture
from pocketgan.bundle.manifest import Entry
from pocketgan.bundle.reader import Bundle

# Of JPEGs that are looked at side by side; colours are not thinned, for effects live on them.
QUALITY = 90


def golden_gallery(bundle: Bundle) -> list[GalleryRow]:
    """The golden input and what each concept should make of it, which every pack holds; empty where the bundle is no
    pack, was not trained, or turns no pictures into pictures.

    Raises:
        BundleError: a golden tensor is damaged.
    """
    manifest = bundle.manifest
    entries = [entry for entry in manifest.entries if maps_pictures(entry)] if manifest.trained else []
    if not manifest.concepts or not entries:
        return []
    # The first of those that draw most.
    chosen = max(entries, key=lambda entry: len(manifest.concepts_of(entry.id)))
    drawn = {concept: manifest.entry(chosen.id, concept) for concept in manifest.concepts_of(chosen.id)}
    outputs = {concept: _output(bundle, entry) for concept, entry in drawn.items()}
    source = chosen.components[0].inputs[0]
    return [gallery_row(to_picture(bundle.golden(chosen.golden)[0][source.name], source), outputs)]


def gallery_row(photo: np.ndarray, outputs: Mapping[str, np.ndarray]) -> GalleryRow:
    """A row of pictures, (h, w, 3) uint8 or grey ones (h, w, 1): the photo, and what each concept makes of it."""
    return GalleryRow(input=_jpeg(photo), outputs={concept: _jpeg(output) for concept, output in outputs.items()})


def _output(bundle: Bundle, entry: Entry) -> np.ndarray:
    target = picture_output(entry)
    return to_picture(bundle.golden(entry.golden)[1][target.name], target)


def _jpeg(pixels: np.ndarray) -> str:
    """In base64."""
    from PIL import Image

    file = io.BytesIO()
    shown = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    Image.fromarray(shown).save(file, "JPEG", quality=QUALITY, subsampling=0)
    return base64.b64encode(file.getvalue()).decode()
