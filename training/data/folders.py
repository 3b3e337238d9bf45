"""Finding images in folders and checking all of them before training can stumble over one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from PIL import Image

from pocketgan.errors import DataError
from pocketgan.files import sha256_file
from pocketgan.picture_files import by_name, list_images, plugin_hint
from pocketgan.pictures import PictureError, check_values, open_image

SPLITS = ("train", "val")
Size = tuple[int, int]
Item = TypeVar("Item")


def check_root(root: Path) -> None:
    """Raises DataError where there is no such folder."""
    if not root.is_dir():
        raise DataError(f"there is no data folder {root}")


def holds_images(folder: Path) -> bool:
    return folder.is_dir() and bool(list_images(folder))


def hold_out(items: Sequence[Item]) -> dict[str, list[Item]]:
    """Every tenth is for validation, where a folder has no splits."""
    return {"train": [item for i, item in enumerate(items) if i % 10], "val": list(items[::10])}


def match(folders: Sequence[Path]) -> list[tuple[Path, ...]]:
    """Files of equal names in all folders, whatever their suffixes.

    Raises:
        DataError: a folder is missing, holds two images of one name, or an image has no partner in each of the others.
    """
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder} to pair with its sibling")
    sides = [by_name(list_images(folder), folder) for folder in folders]
    everywhere = set.intersection(*(set(side) for side in sides))
    unpaired = [str(side[name]) for side in sides for name in sorted(side) if name not in everywhere]
    if unpaired:
        names = " and ".join(map(str, folders))
        hint = plugin_hint(path for folder in folders for path in folder.iterdir())
        lack = f"no partner of the same name in {names}"
        raise DataError(some(unpaired, f"image has {lack}", f"images have {lack}") + hint)
    return [tuple(side[name] for side in sides) for name in sorted(everywhere)]


def check_readable(files: Sequence[Path]) -> dict[Path, Size]:
    """(width, height) of every picture as it is shown, each decoded once as a whole.

    Raises:
        DataError: names the files that are no usable pictures.
    """

    def see(path: Path, image: Image.Image) -> Size:
        check_values(image, path)
        return image.size

    return look_at(files, see)


def look_at(files: Sequence[Path], see: Callable[[Path, Image.Image], Item]) -> dict[Path, Item]:
    """`see(path, image)` of every file, decoded as a whole and turned as it is shown.

    Raises:
        DataError: names the files that do not decode, or of which `see` raises a PictureError, and says why.
    """

    def one(path: Path) -> Item | PictureError:
        try:
            return see(path, open_image(path))
        except PictureError as error:
            return error

    with ThreadPoolExecutor() as pool:
        seen = dict(zip(files, pool.map(one, files), strict=True))
    broken = [str(path) for path, value in seen.items() if isinstance(value, PictureError) and value.broken]
    refused = [str(value) for value in seen.values() if isinstance(value, PictureError) and not value.broken]
    if refused:
        raise DataError(refused[0] if len(refused) == 1 else f"{len(refused)} files cannot be used: {some_of(refused)}")
    if broken:
        what = "not readable as an image (repair or remove)"
        raise DataError(some(broken, f"file is {what}", f"files are {what}"))
    return {path: value for path, value in seen.items() if not isinstance(value, PictureError)}


def check_halves(files: Sequence[Path], sizes: dict[Path, Size]) -> None:
    """Raises DataError where side-by-side images cannot be halved; they may differ in size."""
    odd = [f"{path} ({text(sizes[path])})" for path in files if sizes[path][0] % 2]
    if odd:
        what = "an odd width and no two equal halves"
        raise DataError(some(odd, f"side-by-side image has {what}", f"side-by-side images have {what}"))


def check_equal_sizes(groups: Sequence[tuple[Path, ...]], sizes: dict[Path, Size], what: str = "pair") -> None:
    """Raises DataError where the files of one group differ in size."""
    unequal = [
        " and ".join(f"{path} ({text(sizes[path])})" for path in group)
        for group in groups
        if len({sizes[path] for path in group}) > 1
    ]
    if unequal:
        which = "images of different sizes"
        raise DataError(some(unequal, f"{what} has {which}", f"{what}s have {which}"))


def text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def some(items: Sequence[str], one: str, many: str) -> str:
    """How many there are, what is the matter with them (said of one, or of many), and the first five."""
    return f"{len(items)} {one if len(items) == 1 else many}: {some_of(items)}"


def some_of(items: Sequence[str]) -> str:
    """The first five."""
    return ", ".join(items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "")


def content_hashes(files: Iterable[Path], root: Path, known: dict[str, list]) -> dict[str, list]:
    """By name relative to root: [SHA-256, bytes, modification time in ns].

    A file whose size and time equal those in `known` keeps its hash, so that a second look at a large folder is fast.
    """
    hashes = {}
    for path in files:
        name, stat = path.relative_to(root).as_posix(), path.stat()
        old = known.get(name)
        same = old is not None and old[1:] == [stat.st_size, stat.st_mtime_ns]
        hashes[name] = old if same and old else [sha256_file(path), stat.st_size, stat.st_mtime_ns]
    return hashes
