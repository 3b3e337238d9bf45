"""Folders of pictures: found as clean-fid finds them (sub-folders included), in sorted order, matched by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pocketgan.errors import DataError
from pocketgan.files import other_kinds
from pocketgan.training.data.images import SUFFIXES

SHOWN = 3


def find_images(folder: Path) -> list[Path]:
    """Image files of a folder and its sub-folders, sorted; hidden ones left out.

    Raises:
        DataError: there is no such folder, or it holds no image.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    images = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    if not images:
        kinds = ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))
        raise DataError(f"{folder} holds no images ({kinds}){other_kinds(folder, SUFFIXES)}")
    return images


def match_names(first: Path, second: Path) -> list[tuple[Path, Path]]:
    """Pairs of equal names in two folders, whatever the suffixes, sorted by name.

    Raises:
        DataError: a folder holds no image, one name twice, or a name that the other lacks.
    """
    by_name = [_by_name(folder) for folder in (first, second)]
    for here, there, folder, other in (
        (by_name[0], by_name[1], first, second),
        (by_name[1], by_name[0], second, first),
    ):
        alone = sorted(here.keys() - there.keys())
        if alone:
            raise DataError(
                f"images are paired by name, but {_some(alone)} of {folder} ({len(here)} images) "
                f"{'has' if len(alone) == 1 else 'have'} no partner in {other} ({len(there)} images)"
            )
    return [(path, by_name[1][name]) for name, path in by_name[0].items()]


def _by_name(folder: Path) -> dict[str, Path]:
    images: dict[str, Path] = {}
    for path in find_images(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in images:
            raise DataError(f"{folder} holds {images[name].name} and {path.name}, two images of one name; remove one")
        images[name] = path
    return images


def _some(names: Sequence[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
