"""The photos that all concepts of a folder share: found, looked at, cut and split once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pocketgan import __version__, console
from pocketgan.apply import read_fitting
from pocketgan.errors import DataError
from pocketgan.files import atomic_folder, sha256_file, sha256_json, write_atomic
from pocketgan.picture_files import SHOWN, find_pictures
from pocketgan.pictures import PictureError, resize, write_image
from pocketgan.training.data.concepts import PHOTOS, SET_FILE, LeftOut, PairsSet, PhotoRecord, Split, read_set

VALIDATION_SHARE = 0.1


def open_set(images: Path, out: Path, size: int) -> PairsSet:
    """The set of photos in `out`, which is made of `images` where it is not there.

    Args:
        size: height and width in pixels of the centre squares that are cut out.
    Raises:
        DataError: `out` holds something else, or a set of other photos or another size; or there are no two photos.
    """
    paths = find_pictures(images)
    contents = {path: sha256_file(path) for path in paths}
    if (out / SET_FILE).exists():
        found = read_set(out)
        _must_be_of(found, contents, size, out)
        return found
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and is not an empty folder, nor one of pairs; choose another --out")
    # The whole folder appears at once; concepts come into it one by one.
    with atomic_folder(out) as folder:
        made = _make(images, paths, contents, folder, size)
        write_atomic(folder / SET_FILE, made.model_dump_json(indent=1))
    return made


def photo_file(out: Path, photo: PhotoRecord) -> Path:
    """Where the set holds a photo."""
    return out / PHOTOS / f"{photo.name}.png"


def _make(images: Path, paths: list[Path], contents: dict[Path, str], folder: Path, size: int) -> PairsSet:
    left_out: list[LeftOut] = []
    taken: dict[str, Path] = {}
    refused: list[str] = []
    twins: list[str] = []
    small: list[str] = []
    with console.progress("photos", len(paths)) as bar:
        for path in paths:
            bar.advance()
            content = contents[path]
            if content in taken:
                twins.append(f"{path.name} (as {taken[content].name})")
                left_out.append(LeftOut(file=path.name, sha256=content, why=f"the same as {taken[content].name}"))
                continue
            try:
                pixels = read_fitting(path)
            except PictureError as error:
                refused.append(str(error))
                left_out.append(LeftOut(file=path.name, sha256=content, why=str(error)))
                continue
            if min(pixels.shape[:2]) < size:
                small.append(f"{path.name} ({pixels.shape[1]}x{pixels.shape[0]})")
            taken[content] = path
            write_image(folder / PHOTOS / f"{path.stem}.png", _centre(pixels, size))
    if not taken:
        raise DataError(refused[0] if len(refused) == 1 else f"{images} holds no readable picture: {refused[0]}")
    if len(taken) < 2:
        raise DataError(f"{images} holds one picture; pairs for training and validation need two at least")
    _note(refused, len(paths), "pictures were left out")
    _note(twins, len(paths), "pictures are copies of others and were left out")
    _note(small, len(paths), f"pictures are smaller than {size}x{size} and were enlarged")
    photos = _split(taken)
    return PairsSet(
        size=size,
        photos=photos,
        left_out=left_out,
        digest=_digest(size, photos),
        created_with={"pocketgan": __version__},
    )


def _split(taken: dict[str, Path]) -> list[PhotoRecord]:
    """By content, so that a photo keeps its split whatever it is called and whatever is added: mostly."""
    ordered = sorted(taken)
    for_validation = set(ordered[: max(1, round(VALIDATION_SHARE * len(ordered)))])
    records = []
    for content in ordered:
        path = taken[content]
        split: Split = "val" if content in for_validation else "train"
        records.append(PhotoRecord(name=path.stem, file=path.name, sha256=content, split=split))
    return sorted(records, key=lambda photo: photo.name)


def _digest(size: int, photos: list[PhotoRecord]) -> str:
    return sha256_json([size, [[photo.name, photo.sha256, photo.split] for photo in photos]])


def _must_be_of(found: PairsSet, contents: dict[Path, str], size: int, out: Path) -> None:
    if found.size != size:
        raise DataError(f"{out} holds pairs of {found.size} pixels; give --size {found.size}, or choose another --out")
    held = {photo.file: photo.sha256 for photo in found.photos} | {one.file: one.sha256 for one in found.left_out}
    given = {path.name: content for path, content in contents.items()}
    if held == given:
        return
    added, gone = sorted(set(given) - set(held)), sorted(set(held) - set(given))
    changed = sorted(name for name in set(given) & set(held) if given[name] != held[name])
    lists = (("added", added), ("missing", gone), ("changed", changed))
    what = "; ".join(f"{len(names)} {word}: {_first(names)}" for word, names in lists if names)
    raise DataError(f"{out} was made of other photos ({what}); give the same ones, or choose another --out")


def _note(names: list[str], total: int, what: str) -> None:
    if names:
        console.note(
            f"{len(names)} of {total} {what}: {'; '.join(names[:SHOWN])}{'; ...' if len(names) > SHOWN else ''}"
        )


def _first(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _centre(pixels: np.ndarray, side: int) -> np.ndarray:
    """The centre square, scaled to (side, side)."""
    part = min(pixels.shape[:2])
    top, left = ((whole - part) // 2 for whole in pixels.shape[:2])
    return resize(pixels[top : top + part, left : left + part], side, side)
