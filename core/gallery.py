"""What every concept of a pack makes of a user's own photos, for the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pocketgan import console
from pocketgan.apply import prepared
from pocketgan.fitting import Fit
from pocketgan.pictures import resize

if TYPE_CHECKING:
    from pocketgan.bench.journal import GalleryRow


def photo_gallery(pack: Path, photos: Path) -> list[GalleryRow]:
    """Run every concept on the first photos of a folder, or on one photo, at the size of the network.

    Raises:
        BundleError: the bundle is damaged, or none of its entries turns pictures into pictures here.
        DataError: there are no photos that can be read.
    """
    from pocketgan.bench.check import input_size, loaded_entry, picture_output, runnable_entry
    from pocketgan.bench.gallery import gallery_row
    from pocketgan.bench.journal import MAX_GALLERY
    from pocketgan.bench.runners.picture import to_picture
    from pocketgan.bundle.reader import open_bundle

    with open_bundle(pack) as bundle:
        concepts = [concept.name for concept in bundle.manifest.concepts]
        frame = input_size(runnable_entry(bundle))

        def shrunk(_: Path, pixels: np.ndarray) -> np.ndarray:
            return resize(pixels, *Fit.into((pixels.shape[0], pixels.shape[1]), frame).scaled)

        shots = [pixels for _, pixels in prepared(photos, shrunk, most=MAX_GALLERY)]
        outputs: list[dict[str, np.ndarray]] = [{} for _ in shots]
        with console.progress("gallery", len(concepts)) as bar:
            for concept in concepts:
                entry = bundle.entry(runnable_entry(bundle, concept).id, concept)
                with loaded_entry(bundle, entry, concept=concept) as compute:
                    for shot, drawn in zip(shots, outputs, strict=True):
                        fit = Fit.into((shot.shape[0], shot.shape[1]), input_size(entry))
                        drawn[concept] = fit.leave(to_picture(compute(fit.enter(shot)), picture_output(entry)))
                bar.advance()
    return [gallery_row(shot, drawn) for shot, drawn in zip(shots, outputs, strict=True)]
