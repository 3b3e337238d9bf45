"""Which files of a folder are pictures, and by which names they belong together."""

from __future__ import annotations

import itertools
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from pocketgan import console
from pocketgan.errors import DataError
from pocketgan.pictures import HEIC_NEEDS, HEIC_SUFFIXES, suffixes

SHOWN = 5


def is_hidden(path: Path) -> bool:
    """Such as the `._x.jpg` that a Mac leaves on other file systems."""
    return path.name.startswith(".")


def is_image(path: Path) -> bool:
    """By its name alone: visible, with a suffix of something that is read here, in upper or lower case."""
    return not is_hidden(path) and path.suffix.lower() in suffixes()


def list_images(folder: Path) -> list[Path]:
    """Picture files of a folder, by name."""
    return sorted(path for path in folder.iterdir() if is_image(path) and path.is_file())


def find_pictures(source: Path) -> list[Path]:
    """Picture files of a folder, by name, or the one file. What is left out is counted in a note.

    Raises:
        DataError: there is nothing of that name, no picture in the folder, or two of one name.
    """
    if not source.exists():
        raise DataError(f"there is no picture or folder {source}")
    if source.is_file():
        return [source]
    pictures = list_images(source)
    if not pictures:
        raise DataError(f"{source} holds no pictures{plugin_hint(source.iterdir())}")
    by_name(pictures, source)
    if text := left_out([source], pictures):
        console.note(text)
    return pictures


def by_name(pictures: Iterable[Path], folder: Path) -> dict[str, Path]:
    """Pictures by their names below `folder`, without suffix and in Unicode's composed form (NFC).

    A Mac spells "é" in two characters where others take one; both are one name.

    Raises:
        DataError: two have one name.
    """
    named: dict[str, Path] = {}
    for path in pictures:
        name = unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())
        if name in named:
            raise DataError(
                f"{folder} holds {named[name].name} and {path.name}, two images of one name; remove or rename one"
            )
        named[name] = path
    return named


def left_out(folders: Iterable[Path], taken: Iterable[Path]) -> str:
    """A note about the visible files of `folders` that are not among the `taken` ones; empty where there are none."""
    kept = set(taken)
    others = sorted(
        path
        for folder in folders
        for path in folder.iterdir()
        if not is_hidden(path) and path not in kept and path.is_file()
    )
    if not others:
        return ""
    are = "file is no picture and was" if len(others) == 1 else "files are no pictures and were"
    return f"{len(others)} {are} left out: {first(others)}{plugin_hint(others)}"


def first(paths: Sequence[Path]) -> str:
    """The names of the first few."""
    return ", ".join(path.name for path in paths[:SHOWN]) + (", ..." if len(paths) > SHOWN else "")


def plugin_hint(paths: Iterable[Path]) -> str:
    """What makes HEIC pictures readable, where some of the paths are such and no plugin is installed."""
    heic = sum(not is_hidden(path) and path.suffix.lower() in HEIC_SUFFIXES for path in paths)
    if not heic or HEIC_SUFFIXES[0] in suffixes():
        return ""
    return f"; {heic} {'is' if heic == 1 else 'are'} HEIC, {HEIC_NEEDS}"


def holds_instead(folder: Path, *known: str) -> str:
    """For the end of a message that a folder holds no images: what it holds instead; empty where that is nothing.

    Args:
        known: suffixes that are read besides those of images, in lower case with their dot.
    """
    # The first ten thousand tell enough of a folder that was not meant.
    files = [path for path in itertools.islice(folder.rglob("*"), 10_000) if path.is_file() and not is_hidden(path)]
    if hint := plugin_hint(files):
        return hint
    others = (path.suffix.lower() for path in files if not is_image(path) and path.suffix.lower() not in known)
    counts = Counter(suffix or "without a suffix" for suffix in others)
    if not counts:
        return ""
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(5))
    return f"; its files are of other kinds ({kinds}), which are not read: convert them to JPEG or PNG"
