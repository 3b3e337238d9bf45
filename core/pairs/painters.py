"""Who draws a concept, behind one interface: filters, networks of the user's, a diffusion editor."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pocketgan import __version__
from pocketgan.training.data.concepts import PhotoRecord, Teacher

if TYPE_CHECKING:
    from pocketgan.foreign.teacher import ForeignTeacher
    from pocketgan.training.teachers.diffusion import DiffusionEditor

Photos = Iterable[tuple[PhotoRecord, np.ndarray]]


@dataclass(frozen=True)
class Painted:
    """What was drawn of a photo.

    Attributes:
        pixels: (h, w, 3) uint8 of the photo's size.
        why: it is no pair; None where it is one.
        facts: what shall be known of it.
    """

    pixels: np.ndarray
    why: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


class Painter(Protocol):
    """Draws the concept of one text; one picture a photo, in their order."""

    @property
    def teacher(self) -> Teacher: ...

    @property
    def versions(self) -> dict[str, str]:
        """Of the libraries that draw."""
        ...

    def paint(self, photos: Photos) -> Iterator[Painted]: ...


class FilterPainter:
    """An effect of the filters."""

    def __init__(self, effect: str) -> None:
        from pocketgan.training.teachers.filters import EFFECTS

        self._effect = effect
        self.versions = versions("opencv-python-headless", "numpy")
        self.teacher = Teacher(
            kind="filters", name=effect, settings={"version": EFFECTS[effect].version}, versions=self.versions
        )

    def paint(self, photos: Photos) -> Iterator[Painted]:
        from pocketgan.training.teachers import filters

        for _, pixels in photos:
            yield Painted(filters.apply(self._effect, pixels))


class GivenPainter:
    """A network that somebody has; see `foreign.teacher`."""

    def __init__(self, teacher: ForeignTeacher, value_range: tuple[float, float] | None) -> None:
        self._drawing = teacher
        self.versions = versions()
        self.teacher = Teacher(
            kind="given",
            name=teacher.origin.file,
            settings={"origin": teacher.origin.model_dump(), "range": value_range},
            versions=self.versions,
        )

    def paint(self, photos: Photos) -> Iterator[Painted]:
        for picture in self._drawing.draw(pixels for _, pixels in photos):
            yield Painted(picture)


class DiffusionPainter:
    """A diffusion editor; pictures that do nothing or lose the photo are no pairs."""

    def __init__(self, editor: DiffusionEditor, prompt: str) -> None:
        self._editor, self._prompt = editor, prompt
        self.versions = versions("diffusers", "transformers", "torch")

    @property
    def teacher(self) -> Teacher:
        return Teacher(
            kind="diffusion",
            name=self._editor.name,
            settings={"prompt": self._prompt, **self._editor.settings()},
            versions=self.versions,
        )

    def paint(self, photos: Photos) -> Iterator[Painted]:
        waiting: deque[tuple[PhotoRecord, np.ndarray]] = deque()
        for one in photos:
            waiting.append(one)
            if len(waiting) == self._editor.batch:
                yield from self._paint(waiting)
        if waiting:
            yield from self._paint(waiting)

    def _paint(self, waiting: deque[tuple[PhotoRecord, np.ndarray]]) -> Iterator[Painted]:
        edits = self._editor.edit([pixels for _, pixels in waiting], self._prompt)
        waiting.clear()
        for edit in edits:
            yield Painted(edit.pixels, edit.why, edit.facts)


def versions(*packages: str) -> dict[str, str]:
    """Installed versions, pocketgan's among them."""
    return {"pocketgan": __version__, **{package: metadata.version(package) for package in packages}}
