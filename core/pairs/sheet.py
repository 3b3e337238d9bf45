"""Contact sheets: what concepts make of the same photos, and what of a concept was kept and dropped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pocketgan.errors import DataError
from pocketgan.files import atomic_file
from pocketgan.pairs.photos import photo_file
from pocketgan.pictures import read_image, resize
from pocketgan.training.data.concepts import Concept, PairRecord, read_concepts, read_set

GAP, LINE = 4, 16
# Of concepts beside a photo; others follow below.
COLUMNS = 9
KEPT, DROPPED, BLACK = (20, 110, 40), (190, 30, 30), (0, 0, 0)
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
Tile = tuple[np.ndarray, str, tuple[int, int, int]]


def write_sheet(pairs: Path, out: Path, names: Sequence[str] | None = None, photos: int = 6, side: int = 128) -> int:
    """A row a photo, a column a concept, with the photo in front; of one concept, what was kept and dropped.

    Args:
        pairs: a folder that `pairs make` wrote.
        out: the picture, .png or .jpg.
        names: of the concepts; all finished ones where None.
        photos: how many, evenly taken from all; of one concept, of those that were kept, and of those dropped.
        side: of each picture on the sheet in pixels.
    Returns:
        How many rows of pictures it has.
    Raises:
        DataError: `pairs` holds no such concepts, or `out` is no name of a picture.
    """
    if out.suffix.lower() not in FORMATS:
        raise DataError(f"--out is a picture, .png or .jpg, not {out}")
    concepts = read_concepts(pairs, names)
    if names is not None and len(concepts) == 1:
        rows = _of_one(pairs, concepts[0], photos, side)
    else:
        rows = _of_many(pairs, concepts, photos, side)
    write_tiles(rows, out, side)
    return len(rows)


def write_tiles(rows: Sequence[Sequence[Tile]], out: Path, side: int) -> None:
    """Pictures in rows, each of `side` pixels and below its text, as a .png or .jpg."""
    whole = [[(resize(pixels, side, side), text, colour) for pixels, text, colour in row] for row in rows]
    with atomic_file(out) as temporary:
        _drawn(whole, side).save(temporary, format=FORMATS[out.suffix.lower()], quality=76)


def _of_many(pairs: Path, concepts: Sequence[Concept], photos: int, side: int) -> list[list[Tile]]:
    records = [{record.name: record for record in concept.pairs()} for concept in concepts]
    rows = []
    for start in range(0, len(concepts), COLUMNS):
        for number, photo in enumerate(_evenly(read_set(pairs).photos, photos)):
            tiles: list[Tile] = [(_small(photo_file(pairs, photo), side), "" if number else "photo", BLACK)]
            for concept, of_concept in list(zip(concepts, records, strict=True))[start : start + COLUMNS]:
                record = of_concept[photo.name]
                text = concept.record.name if not number else ""
                tiles.append((_small(_file(concept, record), side), text, BLACK if record.kept else DROPPED))
            rows.append(tiles)
    return rows


def _of_one(pairs: Path, concept: Concept, photos: int, side: int) -> list[list[Tile]]:
    """Four pairs a row: first of those that were kept, then of those that were dropped, the nearest misses first."""
    records = concept.pairs()
    kept = _evenly([one for one in records if one.kept], photos)
    dropped = _evenly([one for one in records if not one.kept], photos)
    by_name = {photo.name: photo for photo in read_set(pairs).photos}
    tiles: list[Tile] = []
    for record in (*kept, *dropped):
        colour = KEPT if record.kept else DROPPED
        score = record.facts.get("score", {})
        said = " ".join(f"{name} {value:.2f}" for name, value in score.items())
        tiles.append(
            (_small(photo_file(pairs, by_name[record.name]), side), "kept" if record.kept else "dropped", colour)
        )
        tiles.append((_small(_file(concept, record), side), said or record.why or "", colour))
    return [tiles[start : start + 8] for start in range(0, len(tiles), 8)]


def _file(concept: Concept, record: PairRecord) -> Path:
    place = Path(record.split) / "B" if record.kept else Path("dropped")
    return concept.folder / place / f"{record.name}.png"


def _small(path: Path, side: int) -> np.ndarray:
    return resize(read_image(path), side, side)


def _evenly(items: Sequence, count: int) -> list:
    """So many of them at equal distances; all where there are no more."""
    if len(items) <= count:
        return list(items)
    return [items[number * len(items) // count] for number in range(count)]


def _drawn(rows: Sequence[Sequence[Tile]], side: int) -> Image.Image:
    wide, tall = side + GAP, side + GAP + LINE
    told = [any(text for _, text, _ in row) for row in rows]
    heights = [tall if one else side + GAP for one in told]
    sheet = Image.new("RGB", (wide * max(map(len, rows)) - GAP, sum(heights) - GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=LINE - 5)
    top = 0
    for row, has_text, height in zip(rows, told, heights, strict=True):
        below = top + (LINE if has_text else 0)
        for column, (pixels, text, colour) in enumerate(row):
            left = column * wide
            pen.text((left + 1, top + 1), _fitting(text, side, font), fill=colour, font=font)
            sheet.paste(Image.fromarray(pixels), (left, below))
            if colour == DROPPED:
                pen.rectangle((left, below, left + side - 1, below + side - 1), outline=DROPPED, width=2)
        top += height
    return sheet


def _fitting(text: str, side: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    while text and font.getlength(text) > side:
        text = text[:-1]
    return text
