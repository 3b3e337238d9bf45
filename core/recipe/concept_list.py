"""Which concepts a base is adapted to: the YAML file that `pocketgan adapt --concepts` reads.

    pairs: pairs                # what `pocketgan pairs make` wrote; texts and pairs come from there
    concepts:
      - ink                     # of `pairs`
      - name: night             # of `pairs`, learnt longer
        steps: 4000
      - name: sketch            # your own
        text: a pencil sketch
        data: my_sketches

With `pairs` alone all of its concepts are meant. A file that is a list as a whole is that of `concepts`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pocketgan.bundle.naming import is_name
from pocketgan.errors import RecipeError
from pocketgan.recipe.choices import Direction
from pocketgan.recipe.documents import Document, parse_document

_WHOLE = "the list of concepts"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def _five_numbers(value: Any) -> Any:
    """[1, 4, 1, 8, 8], or `1,4,1,8,8` as on the command line."""
    numbers = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    whole = [type(number) is int or (isinstance(number, str) and number.strip().isdecimal()) for number in numbers]
    if len(whole) != 5 or not all(whole):
        raise ValueError("ranks are five whole numbers, such as [1, 4, 1, 8, 8]")
    return [int(number) for number in numbers]


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _file_name(value: str) -> str:
    if not is_name(value):
        raise ValueError("a name is of letters, digits, '.', '_' and '-', and starts with one of the first two")
    return value


def _words(value: str) -> str:
    if not value.strip():
        raise ValueError("the text is empty; say what the effect is, such as 'a comic drawn in ink'")
    return value.strip()


class ListedConcept(_Strict):
    """A concept of the list. What is left out is as for all, by the command line.

    Attributes:
        name: of the adapter's file.
        text: what one would say to get it; of a concept of `pairs` that concept's own where None.
        data: a folder of pairs, as `--data` takes it; `pairs`/NAME where None.
        ranks: of the five parts of LoRA.
    """

    name: Annotated[str, AfterValidator(_file_name)]
    text: Annotated[str, AfterValidator(_words)] | None = None
    data: Annotated[str, Field(min_length=1)] | None = None
    direction: Direction | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    ranks: Annotated[list[int], BeforeValidator(_five_numbers)] | None = None
    batch_size: Annotated[int, Field(ge=1)] | None = None
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    seed: int | None = None


class ConceptList(_Strict):
    """The whole file.

    Attributes:
        pairs: a folder of concepts that `pocketgan pairs make` wrote.
        concepts: all of `pairs` where None.
    """

    pairs: Annotated[str, Field(min_length=1)] | None = None
    concepts: Annotated[list[Annotated[ListedConcept, BeforeValidator(_named)]], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _names_something(self) -> ConceptList:
        if self.pairs is None and self.concepts is None:
            raise ValueError("expected `concepts`, a list of name, text and data, or `pairs`, a folder of concepts")
        return self


def read_list(path: Path) -> tuple[ConceptList, Document]:
    """The list, and where its fields stand in the file, for what is found wrong with them later.

    Raises:
        RecipeError: names file, line, field and what was expected, one line a problem.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise RecipeError(f"there is no list of concepts {path}") from error
    except (UnicodeDecodeError, OSError) as error:
        raise RecipeError(f"{path} is not a readable text file: {error}") from error
    document = parse_document(text, str(path), list_as="concepts")
    if not isinstance(document.content, dict):
        raise RecipeError(f"{path}: expected a list of concepts, each with name, text and data, or `pairs: FOLDER`")
    return document.read(ConceptList, _WHOLE), document
