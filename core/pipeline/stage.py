"""What a stage is, what it may know, and the record that a finished one leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pocketgan.pipeline.processes import Processes
from pocketgan.pipeline.workers import AS_IT_COMES, WorkersWanted
from pocketgan.recipe.recipe import Recipe

STAGE_FILE = "stage.json"


@dataclass(frozen=True)
class Context:
    """What a stage may know.

    Attributes:
        recipe: the whole recipe; a stage reads its own section, `seed` and `resolution`.
        run: the run directory.
        folder: where this stage writes; it survives a kill and is the same again on resume.
        processes: the group of parallel processes, or the single one.
        workers: who judges the candidates of an evolution.
    """

    recipe: Recipe
    run: Path
    folder: Path
    processes: Processes
    workers: WorkersWanted = AS_IT_COMES


@dataclass(frozen=True)
class Stage:
    """One arrow of the way.

    Attributes:
        name: key in the recipe and folder in the run directory.
        version: raised when the stage computes something else from the same inputs; a function where that holds for
            some recipes only.
        run: does the work and returns facts for `stage.json`.
        inputs: names of the stages whose files it reads.
        slices: what it depends on in the recipe besides its own section, seed and resolution.
        outside: content hashes of inputs that no stage made, such as the user's images or the device.
        check: raises what would otherwise fail only after the stages before it; runs nothing of the user's.
        call: does so by calling what the recipe names, such as the user's own generator.
        trains: whether it fits a network, for hours, by a section of `recipe.sections.Training`.
        parallel: whether all processes of `accelerate launch` take part.
    """

    name: str
    version: int | Callable[[Recipe], int]
    run: Callable[[Context], dict[str, Any]]
    inputs: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    outside: Callable[[Recipe, Path], Any] = field(default=lambda recipe, run: None)
    check: Callable[[Recipe], None] = field(default=lambda recipe: None)
    call: Callable[[Recipe], None] = field(default=lambda recipe: None)
    trains: bool = False
    parallel: bool = False

    def version_for(self, recipe: Recipe) -> int:
        """The version that a run of this recipe has."""
        return self.version if isinstance(self.version, int) else self.version(recipe)


def read_stage(run: Path, name: str) -> dict[str, Any] | None:
    """A finished stage's record, or None."""
    try:
        return json.loads((run / name / STAGE_FILE).read_text())
    except (OSError, ValueError):
        return None


def facts_of(run: Path, name: str) -> dict[str, Any]:
    """What a finished stage found out; empty where it has not run."""
    return (read_stage(run, name) or {}).get("facts", {})
