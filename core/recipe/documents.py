"""YAML files of the user's: read strictly, and what is wrong told with file, line and field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from pocketgan.errors import RecipeError

Location = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Document:
    """A YAML file, whatever it says, and where its fields stand.

    Attributes:
        label: names the file to the user.
        content: of the file; may be changed before it is read as a model.
        lines: of every field, from 1.
    """

    label: str
    content: Any
    lines: Mapping[Location, int]

    def read(self, model: type[Model], whole: str) -> Model:
        """The content as a model.

        Args:
            whole: what the file is, such as "recipe".
        Raises:
            RecipeError: one line a problem, each with file, line and field.
        """
        try:
            return model.model_validate(self.content)
        except ValidationError as error:
            raise RecipeError("\n".join(self._describe(problem, model, whole) for problem in error.errors())) from error

    def problem(self, at: Location, message: str) -> RecipeError:
        """What is wrong with a field, as `read` says it."""
        return RecipeError(f"{self._where(at)}: {'.'.join(map(str, at))}: {message}")

    def line(self, at: Location) -> int | None:
        """Of a field, or of the innermost field around it that stands in the file."""
        return next((self.lines[at[:end]] for end in range(len(at), 0, -1) if at[:end] in self.lines), None)

    def _where(self, at: Location) -> str:
        line = self.line(at)
        return self.label if line is None else f"{self.label}:{line}"

    def _describe(self, problem: Any, model: type[BaseModel], whole: str) -> str:
        location = tuple(problem["loc"])
        where, field = self._where(location), ".".join(map(str, location)) or whole
        if problem["type"] == "extra_forbidden":
            return f"{where}: {field}: unknown key; known here: {', '.join(_keys(model, location[:-1]))}"
        if problem["type"] == "missing":
            return f"{where}: {field}: this field is required"
        message = problem["msg"].removeprefix("Value error, ")
        got = "" if isinstance(problem["input"], dict) or "got" in message else f", got {problem['input']!r}"
        return f"{where}: {field}: {message[0].lower()}{message[1:]}{got}"


def parse_document(text: str, label: str, list_as: str | None = None) -> Document:
    """Read YAML.

    Args:
        label: names the file to the user.
        list_as: the field that a file stands for which is a list as a whole.
    Raises:
        RecipeError: it is none, or a mapping has a key twice.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{label}:{mark.line + 1}" if mark else label
        raise RecipeError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from error
    repeated = repeated_key(node)
    if repeated is not None:
        field, first, second = repeated
        raise RecipeError(f"{label}:{second}: {field}: this key is in line {first} already; keep one of them")
    if list_as is not None and isinstance(content, list):
        return Document(label, {list_as: content}, _lines(node, (list_as,)))
    return Document(label, content, _lines(node))


def repeated_key(root: yaml.Node | None) -> tuple[str, int, int] | None:
    """A key that a mapping has twice, and the lines (from 1) of both; None where there is none.

    YAML forbids them, and the parser takes the last one without a word.
    """
    waiting: list[tuple[yaml.Node | None, str]] = [(root, "")]
    seen: set[int] = set()  # an alias is the node that it names
    while waiting:
        node, above = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [(value, f"{above}{index}.") for index, value in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if key.value in lines:
                    return f"{above}{key.value}", lines[key.value], line
                lines[key.value] = line
                waiting.append((value, f"{above}{key.value}."))
    return None


def _lines(root: yaml.Node | None, at: Location = ()) -> dict[Location, int]:
    """Every field of a YAML document and its line, from 1; what an alias repeats stands where it was first."""
    lines: dict[Location, int] = {}
    waiting, seen = [(root, at)], set()
    while waiting:
        node, above = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            fields = [(key.value, key, value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            fields = [(index, value, value) for index, value in enumerate(node.value)]
        else:
            continue
        for name, marked, value in fields:
            lines[(*above, name)] = marked.start_mark.line + 1
            waiting.append((value, (*above, name)))
    return lines


def _keys(model: type[BaseModel], section: Location) -> list[str]:
    """The fields of the model that stands at that place of another."""
    for part in section:
        if isinstance(part, str):
            model = next(_models(model.model_fields[part].annotation))
    return list(model.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Those that an annotation is made of, such as that of a list's items."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
