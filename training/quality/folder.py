"""Folders of pictures: found as clean-fid finds them (sub-folders included), in sorted order, matched by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pocketgan.errors import DataError
from pocketgan.picture_files import by_name, holds_instead, is_image, left_out

SHOWN = 3


def find_images(folder: Path) -> list[Path]:
    """Image files of a folder and its sub-folders, sorted; hidden ones left out.

    Raises:
        DataError: there is no such folder, or it holds no image.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    images = sorted(path for path in _visible(folder) if is_image(path) and path.is_file())
    if not images:
        raise DataError(f"{folder} holds no images{holds_instead(folder)}")
    return images


def _visible(folder: Path) -> Iterator[Path]:
    """What lies in a folder and its sub-folders; hidden folders are not entered."""
    for path in folder.rglob("*"):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def left_out_of(folder: Path) -> str:
    """A note about the files of a folder and its sub-folders that are no pictures; empty where there are none."""
    folders = [folder, *(path for path in _visible(folder) if path.is_dir())]
    return left_out(folders, find_images(folder))


def match_names(first: Path, second: Path) -> list[tuple[Path, Path]]:
    """Pairs of equal names in two folders, whatever the suffixes, sorted by name.

    Raises:
        DataError: a folder holds no image, one name twice, or a name that the other lacks.
    """
    sides = [by_name(find_images(folder), folder) for folder in (first, second)]
    for here, there, folder, other in (
        (sides[0], sides[1], first, second),
        (sides[1], sides[0], second, first),
    ):
        alone = sorted(here.keys() - there.keys())
        if alone:
            raise DataError(
                f"images are paired by name, but {_some(alone)} of {folder} ({len(here)} images) "
                f"{'has' if len(alone) == 1 else 'have'} no partner in {other} ({len(there)} images)"
            )
    return [(path, sides[1][name]) for name, path in sides[0].items()]


def _some(names: Sequence[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
