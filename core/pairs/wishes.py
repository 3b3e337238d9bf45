"""Which concepts are asked for: `--concept NAME`, or `--concept NAME=TEXT`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pocketgan.bundle.manifest import NAME_PATTERN
from pocketgan.errors import DataError
from pocketgan.training.data.concepts import PHOTOS

ALL = "all"


@dataclass(frozen=True)
class Wish:
    """A concept's name, and what one would say to get it."""

    name: str
    text: str


def parse_wishes(told: Sequence[str], known: Mapping[str, str]) -> list[Wish]:
    """Concepts in the order in which they are told.

    Args:
        told: each `NAME`, whose text is known, or `NAME=TEXT`.
        known: texts by name; a name that is none of these needs a text.
    Raises:
        DataError: a name is none, told twice, or has no text; or a text is empty.
    """
    wishes: dict[str, Wish] = {}
    for one in told:
        name, told_text, text = one.partition("=")
        name, text = name.strip(), " ".join(text.split())
        must_be_a_name(name)
        if told_text and not text:
            raise DataError(
                f"the text of the concept {name} is empty; say what one would ask for: {name}='make it ...'"
            )
        if not told_text:
            if name not in known:
                raise DataError(f"what shall be asked for, for the concept {name}? Give --concept {name}='make it ...'")
            text = known[name]
        if name in wishes:
            raise DataError(f"the concept {name} is told twice; a concept has one text")
        wishes[name] = Wish(name, text)
    return list(wishes.values())


def must_be_a_name(name: str) -> None:
    """Raises DataError where a concept cannot be called so."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise DataError(
            "--concept takes letters, digits, '.', '_' and '-', and starts with one of the first two, as it names the "
            f"folder, the recipe and the bundles; not {name!r}"
        )
    if name == PHOTOS:
        raise DataError(f"a concept cannot be called {PHOTOS}: the photos lie in the folder of that name")
