"""One concept of a set of photos, drawn so that a kill loses the pictures under way and nothing else.

While it is drawn it lies in DIR/.CONCEPT.partial: pictures in `drawn/`, and for every one that is whole a line in the
journal of the process that drew it. When all are there, one process puts them in their places and gives the folder its
name. Several processes (`accelerate launch`) share the photos that are left.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np

from pocketgan import __version__, console
from pocketgan.errors import DataError, storage_errors
from pocketgan.files import replace_folder, sha256_file, sha256_json, write_atomic
from pocketgan.pairs.painters import Painter
from pocketgan.pairs.photos import photo_file
from pocketgan.pairs.workers import Workers
from pocketgan.pictures import read_image, write_image
from pocketgan.training.data.concepts import (
    CONCEPT_FILE,
    PAIRS_FILE,
    Concept,
    ConceptRecord,
    PairRecord,
    PairsSet,
    PhotoRecord,
    Split,
    Teacher,
    read_concept,
)

_SETTINGS, _DRAWN, _DROPPED = "settings.json", "drawn", "dropped"
_KEPT = "the pictures that are drawn are kept"


def draw_concept(
    out: Path, photos: PairsSet, name: str, text: str, painter: Painter, workers: Workers, restart: bool = False
) -> Concept:
    """The concept DIR/NAME, drawn where it is not there yet; what a killed call has drawn is taken up.

    Args:
        restart: draw it again where it was drawn, or begun, with other settings.
    Raises:
        DataError: it was drawn, or begun, with other settings; or no pair is left to train on or to validate with.
    """
    folder, partial = out / name, out / f".{name}.partial"
    if workers.first:
        _prepare(folder, partial, _settings(photos, text, painter.teacher), restart)
    workers.wait()
    if not (folder / CONCEPT_FILE).exists():
        done = {record.name for record in _journal(partial)}
        workers.wait()  # all have read the journals before one goes on in them
        left = workers.share([photo for photo in photos.photos if photo.name not in done])
        _draw(out, partial, left, painter, workers, len(done))
        workers.wait()
        if workers.first:
            _finish(out, folder, partial, photos, name, text, painter.teacher)
        workers.wait()
    return read_concept(folder)


def _settings(photos: PairsSet, text: str, teacher: Teacher) -> str:
    """What decides about the pictures: not versions of libraries, which are recorded with each, nor what a folder of
    weights is called, whose digest is among the settings."""
    aside = {"versions", "name"} if teacher.kind == "diffusion" else {"versions"}
    return sha256_json({"photos": photos.digest, "text": text, "teacher": teacher.model_dump(exclude=aside)})


def _prepare(folder: Path, partial: Path, settings: str, restart: bool) -> None:
    for place, is_called in ((folder, "exists"), (partial, "was begun")):
        if not place.exists():
            continue
        try:
            known = json.loads((place / f".{_SETTINGS}" if place == folder else place / _SETTINGS).read_text())
        except (OSError, ValueError):
            known = None
        if known == settings:
            _sweep(folder)
            continue
        if place == folder and not (folder / CONCEPT_FILE).exists():
            raise DataError(f"{folder} exists and was not made here; choose another --out")
        if not restart:
            raise DataError(
                f"{folder} {is_called} with another text, teacher or settings; choose another --out, or draw it again "
                "with --restart"
            )
        shutil.rmtree(place)
    if folder.exists():
        return
    partial.mkdir(parents=True, exist_ok=True)
    if not (partial / _SETTINGS).exists():
        write_atomic(partial / _SETTINGS, json.dumps(settings))
    _gather(partial)


def _sweep(folder: Path) -> None:
    """What a kill right after the last rename leaves."""
    for name in (_SETTINGS, *(path.name for path in folder.glob("journal-*.jsonl"))):
        (folder / name).unlink(missing_ok=True)


def _gather(partial: Path) -> None:
    """All journals in one, without the line that a kill has torn: processes may be others now."""
    records = _journal(partial)
    text = "".join(f"{record.model_dump_json()}\n" for record in records)
    write_atomic(partial / "journal-0.jsonl", text)
    for path in partial.glob("journal-*.jsonl"):
        if path.name != "journal-0.jsonl":
            path.unlink()


def _journal(partial: Path) -> list[PairRecord]:
    """The pictures that are whole, by name; each once."""
    records: dict[str, PairRecord] = {}
    for path in sorted(partial.glob("journal-*.jsonl")):
        for line in path.read_text(encoding="utf-8").split("\n")[:-1]:  # what follows the last end of line is torn
            record = PairRecord.model_validate_json(line)
            records.setdefault(record.name, record)
    return [records[name] for name in sorted(records)]


def _draw(out: Path, partial: Path, left: list[PhotoRecord], painter: Painter, workers: Workers, done: int) -> None:
    journal = partial / f"journal-{workers.rank}.jsonl"

    def read() -> Iterator[tuple[PhotoRecord, np.ndarray]]:
        for photo in left:
            yield photo, read_image(photo_file(out, photo))

    label = partial.name.removeprefix(".").removesuffix(".partial")
    with console.progress(label, done + len(left), done) as bar, storage_errors(partial, _KEPT):
        for photo, painted in zip(left, painter.paint(read()), strict=True):
            file = partial / _DRAWN / f"{photo.name}.png"
            write_image(file, painted.pixels)
            record = PairRecord(
                name=photo.name,
                split=photo.split,
                photo=photo.sha256,
                picture=sha256_file(file),
                kept=painted.why is None,
                why=painted.why,
                facts={**painted.facts, "versions": painter.versions} if painted.facts else {},
            )
            with journal.open("a", encoding="utf-8") as lines:
                lines.write(f"{record.model_dump_json()}\n")
                lines.flush()
                os.fsync(lines.fileno())
            bar.advance()


def _finish(out: Path, folder: Path, partial: Path, photos: PairsSet, name: str, text: str, teacher: Teacher) -> None:
    """Every picture in its place, then the records, then the name; a kill in between is made good by the next call."""
    records = _journal(partial)
    counts: dict[Split, int] = {}
    for split in get_args(Split):
        counts[split] = sum(one.split == split for one in records if one.kept)
    dropped = Counter(one.why for one in records if one.why is not None)
    if not all(counts.values()):
        use = "train on" if not counts["train"] else "validate with"
        reasons = ", ".join(f"{count} {why}" for why, count in dropped.items())
        raise DataError(
            f"no pair of {name} is left to {use}: of {len(records)} pictures {reasons}; look at them in "
            f"{partial / _DRAWN}, then change text, guidance or limits, and draw it again with --restart"
        )
    by_name = {photo.name: photo for photo in photos.photos}
    for record in records:
        drawn = partial / _DRAWN / f"{record.name}.png"
        place = partial / record.split / "B" / drawn.name if record.kept else partial / _DROPPED / drawn.name
        if drawn.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            drawn.replace(place)
        if record.kept:
            _link(photo_file(out, by_name[record.name]), place.parent.parent / "A" / drawn.name)
    shutil.rmtree(partial / _DRAWN, ignore_errors=True)
    write_atomic(partial / PAIRS_FILE, "".join(f"{one.model_dump_json()}\n" for one in records))
    contents = [[one.name, one.split, one.kept, one.picture] for one in records]
    concept = ConceptRecord(
        name=name,
        text=text,
        teacher=teacher,
        size=photos.size,
        counts=counts,
        dropped=dict(dropped),
        photos=photos.digest,
        digest=sha256_json({"photos": photos.digest, "text": text, "pictures": contents}),
        created_with={"pocketgan": __version__},
    )
    write_atomic(partial / CONCEPT_FILE, concept.model_dump_json(indent=1))
    write_atomic(partial / f".{_SETTINGS}", (partial / _SETTINGS).read_text())
    replace_folder(partial, folder)
    _sweep(folder)


def _link(source: Path, place: Path) -> None:
    """The same file under another name where the file system can, so that twenty concepts hold their photos once."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        return
    try:
        os.link(source, place)
    except OSError:
        shutil.copy2(source, place)
