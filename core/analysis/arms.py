"""The arms of an analysis in its folder: each kept as soon as it is done, so that a stopped analysis goes on.

analysis.json              which analysis it is
arms/NAME.json             what came of an arm
arms/NAME/0.png, 1.png     its pictures
arms/NAME.partial/         checkpoints of the arm under way
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pocketgan.errors import DataError
from pocketgan.files import sha256_json, write_atomic
from pocketgan.pictures import read_image, write_image

_FILE = "analysis.json"


class Arms:
    """
    Args:
        folder: of the analysis; it is begun where there is none.
        what: the analysis.
        told: all that its arms depend on, as JSON.
    Raises:
        DataError: the folder holds something else, or an analysis of something else.
    """

    def __init__(self, folder: Path, what: str, told: Mapping[str, Any]) -> None:
        self._folder = folder / "arms"
        mine = {"version": 1, "what": what, "identity": sha256_json(dict(told))}
        found = _read(folder / _FILE)
        if found is None and folder.exists() and any(folder.iterdir()):
            raise DataError(f"{folder} is not empty and no folder of an analysis; choose another --out")
        if found not in (None, mine):
            raise DataError(
                f"{folder} holds another analysis (of another base, data, text or settings); choose another --out, or "
                "remove it"
            )
        write_atomic(folder / _FILE, json.dumps(mine, indent=1) + "\n")

    def result(self, name: str) -> dict[str, Any] | None:
        """What came of an arm; None where it is not finished."""
        return _read(self._folder / f"{name}.json")

    def checkpoints(self, name: str) -> Path:
        return self._folder / f"{name}.partial"

    def pictures(self, name: str) -> list[np.ndarray]:
        """Those of a finished arm, (h, w, 3) uint8.

        Raises:
            DataError: one is gone or cannot be read.
        """
        paths = sorted((self._folder / name).glob("*.png"), key=lambda path: int(path.stem))
        return [read_image(path) for path in paths]

    def keep(self, name: str, result: Mapping[str, Any], pictures: Sequence[np.ndarray]) -> None:
        """An arm is done.

        Raises:
            StorageError: the disk is full; the arm counts as not done.
        """
        for index, picture in enumerate(pictures):
            write_image(self._folder / name / f"{index}.png", picture)
        write_atomic(self._folder / f"{name}.json", json.dumps(dict(result), indent=1) + "\n")
        shutil.rmtree(self.checkpoints(name), ignore_errors=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
