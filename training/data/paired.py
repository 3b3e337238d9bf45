"""Paired folders: side-by-side images, or two folders with equal names.

Layouts of DIR, for the splits train and val:
    DIR/train/*.png                 side by side, left half A, right half B
    DIR/train/A/*.png, .../B/*      two folders with equal names
    DIR/A/train/*.png, DIR/B/...    the same, the other way round
    DIR/A/*.png, DIR/B/*.png        no splits: every tenth pair is for validation
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pocketgan.errors import DataError
from pocketgan.files import sha256_file
from pocketgan.training.data.images import list_images, read_image, resize, to_tensor

Direction = Literal["AtoB", "BtoA"]
SPLITS = ("train", "val")


@dataclass(frozen=True)
class Pair:
    """An input and its target: two files, or one file (`b` is None) that holds A left and B right."""

    a: Path
    b: Path | None = None

    def files(self) -> tuple[Path, ...]:
        return (self.a,) if self.b is None else (self.a, self.b)


def find_pairs(root: Path) -> dict[str, list[Pair]]:
    """All pairs of a data folder by split, each decoded once so that training cannot stumble over it.

    Raises:
        DataError: the folder is missing, empty or in no known layout, or images are unpaired, unreadable or of
            different sizes; names some of them and says how many there are.
    """
    if not root.is_dir():
        raise DataError(f"there is no data folder {root}")
    if all((root / side).is_dir() and list_images(root / side) for side in "AB"):
        pairs = _match(root / "A", root / "B")
        splits = {"train": [p for i, p in enumerate(pairs) if i % 10], "val": pairs[::10]}
    else:
        splits = {split: _split_pairs(root, split) for split in SPLITS}
    for split in SPLITS:
        if not splits[split]:
            raise DataError(
                f"{root} holds no images for {split}: expected {split}/ with side-by-side images, "
                "or A/ and B/ with equal names"
            )
    _check_images([pair for split in SPLITS for pair in splits[split]])
    return splits


def _split_pairs(root: Path, split: str) -> list[Pair]:
    for a, b in ((root / split / "A", root / split / "B"), (root / "A" / split, root / "B" / split)):
        if a.is_dir() or b.is_dir():
            return _match(a, b)
    folder = root / split
    return [Pair(path) for path in list_images(folder)] if folder.is_dir() else []


def _match(a: Path, b: Path) -> list[Pair]:
    """Pairs with equal names, whatever their suffixes."""
    for folder in (a, b):
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder} to pair with its sibling")
    left, right = ({path.stem: path for path in list_images(folder)} for folder in (a, b))
    unpaired = [
        str(side[stem]) for side in (left, right) for stem in sorted(left.keys() ^ right.keys()) if stem in side
    ]
    if unpaired:
        raise DataError(f"{_some(unpaired, 'image has', 'images have')} no partner of the same name in {a} and {b}")
    return [Pair(left[stem], right[stem]) for stem in sorted(left)]


def _check_images(pairs: Sequence[Pair]) -> None:
    files = [path for pair in pairs for path in pair.files()]
    with ThreadPoolExecutor() as pool:
        sizes = dict(zip(files, pool.map(_size_or_none, files), strict=True))
    unreadable = [str(path) for path, size in sizes.items() if size is None]
    if unreadable:
        raise DataError(f"{_some(unreadable, 'file is', 'files are')} not readable as an image; repair or remove")
    alone = [sizes[pair.a] for pair in pairs if pair.b is None]
    if alone:
        usual = max(set(alone), key=alone.count)
        odd = [f"{p.a} ({_text(sizes[p.a])})" for p in pairs if p.b is None and sizes[p.a] != usual]
        if odd:
            raise DataError(
                f"{_some(odd, 'side-by-side image differs', 'side-by-side images differ')} "
                f"from the others' size {_text(usual)}"
            )
        if usual is not None and usual[0] % 2:
            raise DataError(f"side-by-side images have two halves of equal width; {pairs[0].a} is {_text(usual)}")
    unequal = [
        f"{p.a} ({_text(sizes[p.a])}) and {p.b} ({_text(sizes[p.b])})"
        for p in pairs
        if p.b and sizes[p.a] != sizes[p.b]
    ]
    if unequal:
        raise DataError(f"{_some(unequal, 'pair has', 'pairs have')} images of different sizes")


def _size_or_none(path: Path) -> tuple[int, int] | None:
    """(width, height), or None where the file does not decode as a whole."""
    try:
        with Image.open(path) as image:
            image.load()
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _text(size: tuple[int, int] | None) -> str:
    return "unreadable" if size is None else f"{size[0]}x{size[1]}"


def _some(items: Sequence[str], one: str, many: str) -> str:
    shown = ", ".join(items[:5]) + (", ..." if len(items) > 5 else "")
    return f"{len(items)} {one if len(items) == 1 else many}: {shown}:"


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


class PairedImages:
    """Input and target tensors of pairs.

    Args:
        pairs: where the images are.
        direction: AtoB maps A (left) to B (right).
        size: (height, width) of the tensors.
        load_scale: images are resized to `size` times this and cropped at random (pix2pix: 286 / 256).
        flip: mirror half of the pairs.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        direction: Direction,
        size: tuple[int, int],
        load_scale: float = 1.0,
        flip: bool = False,
    ) -> None:
        self.pairs = pairs
        self.direction = direction
        self.size = size
        self.load_scale = load_scale
        self.flip = flip

    def __len__(self) -> int:
        return len(self.pairs)

    def pixels(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(h, w, 3) uint8 input and target, as the files hold them."""
        pair = self.pairs[index]
        a = read_image(pair.a)
        if pair.b is None:
            half = a.shape[1] // 2
            a, b = a[:, :half], a[:, half:]
        else:
            b = read_image(pair.b)
        return (a, b) if self.direction == "AtoB" else (b, a)

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        """`input` and `target`, each (3, height, width), cropped and mirrored alike."""
        height, width = self.size
        tall, wide = round(height * self.load_scale), round(width * self.load_scale)
        top, left = int(random.integers(0, tall - height + 1)), int(random.integers(0, wide - width + 1))
        mirror = self.flip and bool(random.integers(0, 2))
        result = {}
        for name, pixels in zip(("input", "target"), self.pixels(index), strict=True):
            part = resize(pixels, tall, wide)[top : top + height, left : left + width]
            result[name] = to_tensor(part[:, ::-1] if mirror else part)
        return result

    def whole(self, index: int) -> dict[str, Tensor]:
        """`input` and `target` of the whole image at `size`, for validation."""
        height, width = self.size
        pixels = zip(("input", "target"), self.pixels(index), strict=True)
        return {name: to_tensor(resize(image, height, width)) for name, image in pixels}


def batch(samples: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Stack samples into (n, ...) tensors."""
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
