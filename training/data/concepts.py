"""Data sets of concepts: the same photos, and what each of several effects makes of them.

What `pocketgan pairs make` writes, and what base training and adapting read (docs/training.md, "Concepts"):

    DIR/pairs.json                    which photos there are, their split, their size
    DIR/photos/NAME.png               the inputs, once
    DIR/CONCEPT/concept.json          the concept: its text, who drew it, how many pairs
    DIR/CONCEPT/pairs.jsonl           one line a photo: what came of it
    DIR/CONCEPT/{train,val}/A/NAME.png    the inputs again, as hard links
    DIR/CONCEPT/{train,val}/B/NAME.png    what they become

Every DIR/CONCEPT is a data set by itself, that `--data` takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pocketgan.bundle.manifest import NAME_PATTERN, Origin
from pocketgan.errors import DataError

SET_FILE, CONCEPT_FILE, PAIRS_FILE, PHOTOS = "pairs.json", "concept.json", "pairs.jsonl", "photos"
Split = Literal["train", "val"]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Record = TypeVar("Record", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class PhotoRecord(_Strict):
    """A photo of a set: its name in the set, the user's file and its content, and the split that it belongs to."""

    name: str
    file: str
    sha256: Sha256
    split: Split


class LeftOut(_Strict):
    """A file that is no photo of the set, and why."""

    file: str
    sha256: Sha256
    why: str


class PairsSet(_Strict):
    """`pairs.json`: the photos that all concepts of a folder share; of later minors, what is known here.

    Attributes:
        size: height and width of every picture in pixels.
        photos: by name. Every tenth belongs to `val`, those whose content has the lowest hash: all concepts have the
            same split, and most photos keep theirs when others are added.
        digest: of the size and of the photos' names, contents and splits.
    """

    format: Literal[1] = 1
    size: Annotated[int, Field(ge=1)]
    photos: list[PhotoRecord]
    left_out: list[LeftOut] = []
    digest: Sha256
    created_with: dict[str, str] = {}


class Teacher(_Strict):
    """Who drew a concept.

    Attributes:
        kind: `filters`, `diffusion`, or `given` for a network of the user's.
        name: the effect, the model's folder or id, or the file.
        settings: everything else that decides what is drawn, such as steps, guidance and the weights' digest.
        versions: of the libraries that drew, by name.
    """

    kind: Literal["filters", "diffusion", "given"]
    name: str
    settings: dict[str, Any] = {}
    versions: dict[str, str] = {}

    @property
    def origin(self) -> Origin | None:
        """Of a given teacher, as manifests have it."""
        return Origin.model_validate(self.settings["origin"]) if self.kind == "given" else None


class ConceptRecord(_Strict):
    """`concept.json`.

    Attributes:
        name: of the folder, the recipe and the adapter.
        text: what one would say to get it; the prompt of a base that takes texts.
        counts: pairs by split.
        dropped: pictures that were drawn and are no pairs, by reason.
        photos: the digest of the set's photos.
        digest: of the photos, the text and the drawn pictures' contents.
    """

    format: Literal[1] = 1
    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    text: Annotated[str, Field(min_length=1)]
    teacher: Teacher
    size: int
    counts: dict[Split, int]
    dropped: dict[str, int] = {}
    photos: Sha256
    digest: Sha256
    created_with: dict[str, str] = {}


class PairRecord(_Strict):
    """A line of `pairs.jsonl`: what came of a photo.

    Attributes:
        photo: the photo's content (SHA-256 of the user's file).
        picture: SHA-256 of the PNG that was drawn.
        kept: whether it is a pair; its picture lies in `dropped/` otherwise.
        why: it was dropped.
        facts: the teacher's, such as seed, prompt and score.
    """

    name: str
    split: Split
    photo: Sha256
    picture: Sha256
    kept: bool = True
    why: str | None = None
    facts: dict[str, Any] = {}


@dataclass(frozen=True)
class Concept:
    """A finished concept and the folder that holds its pairs, which `find_pairs` reads."""

    folder: Path
    record: ConceptRecord

    def pairs(self) -> list[PairRecord]:
        """What came of every photo, by name.

        Raises:
            DataError: the file is missing or damaged.
        """
        return [read_record(PairRecord, line, self.folder / PAIRS_FILE) for line in _lines(self.folder / PAIRS_FILE)]


def read_set(folder: Path) -> PairsSet:
    """The photos of a folder of concepts.

    Raises:
        DataError: it is no such folder, or its record is damaged or of a later version.
    """
    path = folder / SET_FILE
    return read_record(PairsSet, _read(path, folder), path)


def read_concept(folder: Path) -> Concept:
    """The concept of DIR/CONCEPT. Raises DataError as `read_set`."""
    path = folder / CONCEPT_FILE
    return Concept(folder, read_record(ConceptRecord, _read(path, folder), path))


def read_concepts(folder: Path, names: Sequence[str] | None = None) -> list[Concept]:
    """The finished concepts of DIR, by name, or the named ones in their order.

    Raises:
        DataError: DIR holds none, or not the named ones, or a record is damaged or of other photos.
    """
    photos = read_set(folder).digest
    there = sorted(path.parent.name for path in folder.glob(f"[!.]*/{CONCEPT_FILE}"))
    wanted = there if names is None else list(names)
    missing = [name for name in wanted if name not in there]
    if missing or not wanted:
        held = f"it holds {', '.join(there)}" if there else "it holds no finished concept"
        raise DataError(f"{folder} has no concept {', '.join(missing)}; {held}" if missing else f"{folder}: {held}")
    concepts = [read_concept(folder / name) for name in wanted]
    for concept in concepts:
        if concept.record.photos != photos:
            raise DataError(f"{concept.folder} was made of other photos than {folder / SET_FILE} lists; make it again")
    return concepts


def read_record(kind: type[Record], text: str, path: Path) -> Record:
    """Raises DataError where the text is no such record."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise DataError(
            f"{path} is damaged or of a later version of pocketgan: {where}: {first['msg']}; make the pairs again"
        ) from error


def _read(path: Path, folder: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{folder} was not made by `pocketgan pairs make`, or is not finished: it holds no readable {path.name}"
        ) from error


def _lines(path: Path) -> list[str]:
    # Not splitlines: a text may hold what that takes for an end of line, U+2028 for one.
    return [line for line in _read(path, path.parent).split("\n") if line]
