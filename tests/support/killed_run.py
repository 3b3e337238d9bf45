"""Runs a recipe of UGC three times in a folder, and is killed with `kill -9` in stage 1, the evolution and stage 2.

    python killed_run.py RECIPE.yaml FOLDER DIGESTS

Every run is a fork, so that what takes seconds is imported once; each is killed in the middle, after work that was kept
and work that was not. DIGESTS gets a line for every candidate that was judged and kept.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pocketgan.pipeline.processes import OneProcess
from pocketgan.pipeline.resume import run_stages
from pocketgan.pipeline.way import STAGES
from pocketgan.pipeline.workers import WorkersWanted
from pocketgan.recipe.reading import load_recipe
from pocketgan.training.programs import Batch, Phase
from pocketgan.training.programs.ugc_distill import UgcDistill
from pocketgan.training.programs.ugc_supernet import UgcSupernet
from pocketgan.training.task_results import Outcome, ResultsFolder


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_step(program: Any, number: int) -> None:
    """Die in the step of that number, counted from 1, after its first phase."""
    losses, steps = program.losses, itertools.count(1)

    def until_killed(self: Any, batch: Batch) -> Iterator[Phase]:
        phases = losses(self, batch)
        yield next(phases)
        if next(steps) == number:
            die()
        yield from phases

    program.losses = until_killed


def before_candidate(number: int) -> None:
    """Die before the candidate of that number, counted from 1, is kept."""
    keep, candidates = ResultsFolder.keep, itertools.count(1)

    def until_killed(self: ResultsFolder, *arguments: Any) -> Outcome:
        if next(candidates) == number:
            die()
        return keep(self, *arguments)

    ResultsFolder.keep = until_killed  # type: ignore[method-assign, assignment]


def write_digests(path: Path) -> None:
    keep = ResultsFolder.keep

    def written(self: ResultsFolder, digest: str, *arguments: Any) -> Outcome:
        outcome = keep(self, digest, *arguments)
        with path.open("a") as lines:
            lines.write(digest + "\n")
        return outcome

    ResultsFolder.keep = written  # type: ignore[method-assign, assignment]


def main(recipe: str, folder: Path, digests: Path) -> None:
    kills: dict[str, Callable[[], None]] = {
        "teacher": partial(in_step, UgcSupernet, 4),
        "compress": partial(before_candidate, 6),
        "distill": partial(in_step, UgcDistill, 4),
    }
    for stage, prepare in kills.items():
        child = os.fork()
        if not child:
            write_digests(digests)
            prepare()
            run_stages(load_recipe(recipe), STAGES, folder, "distill", OneProcess(), workers=WorkersWanted(0))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"it was not killed in {stage}"
        assert (folder / f"{stage}.partial").is_dir()
        assert not (folder / stage).exists()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
