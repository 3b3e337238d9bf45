"""What every test leaves behind: a console that speaks plainly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pocketgan import console


@pytest.fixture(autouse=True)
def plain_console() -> Iterator[None]:
    yield
    console.use_json(False)
    console.use_quiet(False)
