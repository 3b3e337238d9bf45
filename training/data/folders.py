"""Finding images in folders and checking all of them before training can stumble over one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from PIL import Image

from pocketgan.errors import DataError
from pocketgan.files import sha256_file
from pocketgan.training.data.images import list_images

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
        DataError: a folder is missing, or an image has no partner in each of the others.
    """
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder} to pair with its sibling")
    sides = [{path.stem: path for path in list_images(folder)} for folder in folders]
    everywhere = set.intersection(*(set(side) for side in sides))
    unpaired = [str(side[stem]) for side in sides for stem in sorted(side) if stem not in everywhere]
    if unpaired:
        names = " and ".join(map(str, folders))
        lack = f"no partner of the same name in {names}"
        raise DataError(some(unpaired, f"image has {lack}", f"images have {lack}"))
    return [tuple(side[stem] for side in sides) for stem in sorted(everywhere)]


def check_readable(files: Sequence[Path]) -> dict[Path, Size]:
    """(width, height) of every file, each decoded once as a whole.

    Raises:
        DataError: names the files that do not decode.
    """
    sizes = look_at(files, lambda image: image.size)
    return {path: size for path, size in sizes.items() if size is not None}


def look_at(files: Sequence[Path], see: Callable[[Image.Image], Item]) -> dict[Path, Item]:
    """`see(image)` of every file, decoded as a whole.

    Raises:
        DataError: names the files that do not decode.
    """

    def one(path: Path) -> tuple[bool, Item | None]:
        try:
            with Image.open(path) as image:
                image.load()
                return True, see(image)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return False, None

    with ThreadPoolExecutor() as pool:
        results = dict(zip(files, pool.map(one, files), strict=True))
    unreadable = [str(path) for path, (readable, _) in results.items() if not readable]
    if unreadable:
        what = "not readable as an image (repair or remove)"
        raise DataError(some(unreadable, f"file is {what}", f"files are {what}"))
    return {path: value for path, (_, value) in results.items()}  # type: ignore[misc]


def check_halves(files: Sequence[Path], sizes: dict[Path, Size]) -> None:
    """Raises DataError where side-by-side images differ in size or cannot be halved."""
    if not files:
        return
    image_sizes = [sizes[path] for path in files]
    usual = max(set(image_sizes), key=image_sizes.count)
    odd = [f"{path} ({text(sizes[path])})" for path in files if sizes[path] != usual]
    if odd:
        what = f"from the others' size {text(usual)}"
        raise DataError(some(odd, f"side-by-side image differs {what}", f"side-by-side images differ {what}"))
    if usual[0] % 2:
        raise DataError(f"side-by-side images have two halves of equal width; {files[0]} is {text(usual)}")


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
    first = ", ".join(items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "")
    return f"{len(items)} {one if len(items) == 1 else many}: {first}"


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
