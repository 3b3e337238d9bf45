"""A pack's effects: what each concept makes of the same photos, and what each adds to the pack."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from pocketgan.bench.journal import BundleRecord
from pocketgan.bench.report import labels
from pocketgan.bench.report.measurements import Selection
from pocketgan.bench.report.tables import NOTHING, Cell, Column, Table, concept_cell, group_name, parity_cell
from pocketgan.bundle.manifest import added_bytes

_TYPES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg"}


@dataclass(frozen=True)
class Effect:
    """A concept with its pictures, as data URIs in the order of the photos; None where there is none."""

    name: str
    text: str
    is_default: bool
    pictures: tuple[str | None, ...]


@dataclass(frozen=True)
class Gallery:
    """Photos (data URIs) and what every concept of a pack makes of them."""

    pack: str
    photos: tuple[str, ...]
    effects: tuple[Effect, ...]


def galleries(bundles: Sequence[BundleRecord]) -> list[Gallery]:
    """One for each pack that was trained and of which there are pictures."""
    found = []
    for bundle in bundles:
        manifest = bundle.manifest
        rows = [(photo, row.outputs) for row in bundle.gallery if (photo := data_uri(row.input)) is not None]
        if not rows or not manifest.concepts or not manifest.trained:
            continue
        effects = tuple(
            Effect(
                concept.name,
                concept.text,
                concept.name == manifest.default_concept,
                tuple(data_uri(outputs.get(concept.name)) for _, outputs in rows),
            )
            for concept in manifest.concepts
        )
        found.append(Gallery(manifest.name, tuple(photo for photo, _ in rows), effects))
    return found


def concept_tables(bundles: Sequence[BundleRecord], selection: Selection) -> list[Table]:
    """For each pack: what each concept adds to it, how near its source each entry draws it, and its frame rates."""
    return [_concept_table(bundle, selection) for bundle in bundles if bundle.manifest.concepts]


def data_uri(text: str | None) -> str | None:
    """`text` as a data URI if it is base64 of a PNG or a JPEG, otherwise None."""
    if text is None:
        return None
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    kind = next((kind for start, kind in _TYPES.items() if content.startswith(start)), None)
    return None if kind is None else f"data:image/{kind};base64,{text}"


def _concept_table(bundle: BundleRecord, selection: Selection) -> Table:
    manifest = bundle.manifest
    columns = [Column("Concept", number=False)]
    for entry in manifest.entries:
        columns += [Column("Adds", f"to {entry.id}"), Column("Parity", entry.id)]
    groups = [group for group in selection.groups if any(one.bundle.digest == bundle.digest for one in group.members)]
    columns += [Column("FPS", group_name(group, selection)) for group in groups]
    rows = []
    for concept in manifest.concepts:
        sizes = added_bytes(manifest, concept.name)
        is_default = concept.name == manifest.default_concept
        row = [Cell(concept.name, " · ".join(filter(None, (concept.text, "the default" if is_default else ""))))]
        for entry in manifest.entries:
            if entry.id not in sizes:
                row += [NOTHING, NOTHING]
                continue
            drawn = manifest.entry(entry.id, concept.name)
            size = Cell("the weights", "shared by all") if is_default else Cell(labels.size(sizes[entry.id]))
            row += [size, parity_cell(drawn, manifest)]
        row += [concept_cell(group, bundle, concept.name) for group in groups]
        rows.append(tuple(row))
    return Table(f"Concepts of {manifest.name}", tuple(columns), tuple(rows))
