"""The page itself, as the server gives it to anybody who asks: it holds no secret."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

from pocketgan import web_harness
from pocketgan.bench.devices.web.answer import Answer, kind_of

INDEX = "index.html"
SUFFIXES = (".html", ".css", ".js", ".svg")


def folder() -> Path:
    """Where the page lies."""
    # Resolved: an installation of a clone links its modules one by one.
    return Path(web_harness.__file__).resolve().parent


def page_answers() -> Mapping[str, Answer]:
    """The answer to each path that is a file of the page, packed once."""
    answers = {}
    for file in folder().iterdir():
        if file.name.endswith(SUFFIXES) and file.is_file():
            packed = gzip.compress(file.read_bytes(), 9, mtime=0)
            answer = Answer(body=packed, kind=kind_of(file.name), packed=True)
            answers["/" if file.name == INDEX else f"/{file.name}"] = answer
    return answers
