"""The packages that coremltools makes on the way, in a folder that goes.

It saves each model that it makes into the temporary folder and removes it as Python ends, which a worker that is
killed, or a notebook that is kept open, does not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from pocketgan.scratch import scratch_folder


@contextmanager
def kept_packages() -> Iterator[None]:
    """Within it coremltools' models keep their packages in a folder that is gone afterwards, as such a model is.

    coremltools is pinned to one version, so its insides are known.
    """
    from coremltools.models import utils

    with scratch_folder() as folder, mock.patch.object(utils, "_tempfile", _Tempfile(folder)):
        yield


class _Tempfile:
    """The module `tempfile`, but for folders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def mkdtemp(self, suffix: str | None = None) -> str:
        return tempfile.mkdtemp(suffix=suffix, dir=self._folder)

    def __getattr__(self, name: str) -> Any:
        return getattr(tempfile, name)
