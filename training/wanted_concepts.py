"""Which concepts a list asks for: texts, pairs and settings of each, and none of them twice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pocketgan.errors import DataError, ModelError
from pocketgan.recipe.choices import Direction, TrainingPrecision
from pocketgan.recipe.concept_list import ListedConcept, read_list
from pocketgan.recipe.documents import Document, Location
from pocketgan.training.adapter import Ranks
from pocketgan.training.adapting import AdaptOptions
from pocketgan.training.data.concepts import Concept, read_concepts


@dataclass(frozen=True)
class WantedConcept:
    """A concept that a base is to be adapted to.

    Attributes:
        name: of the adapter's file, `NAME.safetensors`.
        text: the prompt.
        data: a folder of pairs.
        photos: names of those that are learnt from, such as a coreset's; all where None.
    """

    name: str
    text: str
    data: Path
    direction: Direction
    options: AdaptOptions
    photos: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Defaults:
    """What holds for the concepts that say nothing else; `steps` of None must be said by each."""

    steps: int | None
    ranks: Ranks | None = None
    batch_size: int = 4
    learning_rate: float = 2e-4
    seed: int = 0
    direction: Direction = "AtoB"
    precision: TrainingPrecision = "fp32"
    photos: tuple[str, ...] | None = None
    ndf: int = 64
    discriminator_learning_rate: float | None = None


def wanted_concepts(path: Path, defaults: Defaults) -> list[WantedConcept]:
    """Those of a list, in its order.

    Raises:
        RecipeError: names file, line and field; a concept lacks its text, its pairs or its steps, is there twice, or
            says what another one says.
        DataError: the folder of concepts that the list names is none.
    """
    told, document = read_list(path)
    made = {} if told.pairs is None else _made(Path(told.pairs), document)
    listed = told.concepts if told.concepts is not None else [ListedConcept(name=name) for name in made]
    wanted = []
    for index, one in enumerate(listed):
        at: Location = ("concepts", index) if told.concepts is not None else ("pairs",)
        wanted.append(_wanted(one, made.get(one.name), told.pairs, defaults, document, at))
    places: list[Location] = [("concepts", i) if told.concepts is not None else ("pairs",) for i in range(len(listed))]
    _must_differ(wanted, document, places)
    return wanted


def _made(folder: Path, document: Document) -> dict[str, Concept]:
    try:
        return {concept.record.name: concept for concept in read_concepts(folder)}
    except DataError as error:
        raise document.problem(("pairs",), str(error)) from error


def _wanted(
    one: ListedConcept, made: Concept | None, pairs: str | None, defaults: Defaults, document: Document, at: Location
) -> WantedConcept:
    if one.data is None and made is None:
        where = "name a folder of pairs" if pairs is None else f"{pairs} has no concept {one.name}; name another folder"
        raise document.problem((*at, "data"), where)
    text = one.text or (made.record.text if made else None)
    if text is None:
        raise document.problem((*at, "text"), f"what is the effect of {one.name}? Say it, such as 'a comic in ink'")
    data = Path(one.data) if one.data is not None else made.folder if made else Path()
    if not data.is_dir():
        raise document.problem((*at, "data"), f"there is no data folder {data}")
    steps = one.steps or defaults.steps
    if steps is None:
        raise document.problem((*at, "steps"), "for how many steps? Say it here, or for all with --steps")
    try:
        ranks = defaults.ranks if one.ranks is None else Ranks(*one.ranks)
    except ModelError as error:
        raise document.problem((*at, "ranks"), str(error)) from error
    options = AdaptOptions(
        steps,
        ranks,
        defaults.batch_size,
        defaults.learning_rate,
        seed=defaults.seed,
        precision=defaults.precision,
        ndf=defaults.ndf,
        discriminator_learning_rate=defaults.discriminator_learning_rate,
    )
    own = {name: getattr(one, name) for name in ("batch_size", "learning_rate", "seed")}
    options = replace(options, **{name: value for name, value in own.items() if value is not None})
    said, direction = " ".join(text.split()), one.direction or defaults.direction
    return WantedConcept(one.name, said, data, direction, options, defaults.photos)


def _must_differ(wanted: list[WantedConcept], document: Document, places: list[Location]) -> None:
    """Two of one name would be one file, and on some systems capitals make no other name."""
    for what in ("name", "text"):
        seen: dict[str, int] = {}
        for index, one in enumerate(wanted):
            key = getattr(one, what).casefold()
            if key in seen:
                first = wanted[seen[key]]
                line = document.line((*places[seen[key]], what))
                raise document.problem((*places[index], what), _twice(what, one, first, line))
            seen[key] = index


def _twice(what: str, one: WantedConcept, first: WantedConcept, line: int | None) -> str:
    where = "" if line is None else f" (line {line})"
    if what == "text":
        return f"{one.name} and {first.name}{where} have one text, {one.text!r}; a concept has a text of its own"
    if one.name == first.name:
        return f"{one.name} is there twice{where}; keep one of them"
    return f"{one.name} and {first.name}{where} differ by capitals alone; on some systems they would be one file"
