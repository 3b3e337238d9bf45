"""Runs stages one after the other: atomic, skipped where nothing changed, resumed where one was killed.

A stage writes into `runs/NAME/<stage>.partial/`, which becomes `runs/NAME/<stage>/` when it is whole. Its `stage.json`
holds the digest of everything that the outcome depends on (`digest.py`). Under `accelerate launch` all processes meet
at every stage; parallel stages run on all of them, the others on the first.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pocketgan import __version__, console
from pocketgan.errors import PocketganError
from pocketgan.files import recover_folder, replace_folder, sha256_file, write_atomic
from pocketgan.pipeline.kept import MARKER, MORE_STEPS, Work, prepare, work_of
from pocketgan.pipeline.processes import Processes
from pocketgan.pipeline.stage import STAGE_FILE, Context, Stage, read_stage
from pocketgan.pipeline.workers import AS_IT_COMES, WorkersWanted
from pocketgan.recipe.recipe import Recipe
from pocketgan.targets import TARGETS, versions
from pocketgan.training.evaluations import BEST, EVALUATIONS

# What a stage shows of itself and how it can be lengthened decides about nothing after it.
_NO_OUTPUTS = {"tensorboard", "samples", EVALUATIONS, BEST, MORE_STEPS, MARKER, STAGE_FILE}
_LIBRARIES = {"accelerate", "numpy", "opencv-python-headless"}.union(*(facts.packages for facts in TARGETS.values()))


@dataclass(frozen=True)
class StageReport:
    """How a stage went; `seconds` is this call's wall time."""

    name: str
    skipped: bool
    seconds: float


def run_stages(
    recipe: Recipe,
    stages: Sequence[Stage],
    run: Path,
    until: str | None,
    group: Processes,
    check: Callable[[Recipe, Sequence[str]], None] = lambda recipe, done: None,
    restart: bool = False,
    workers: WorkersWanted = AS_IT_COMES,
) -> list[StageReport]:
    """Run the recipe's stages in order.

    Args:
        check: called once, before the first stage that is not skipped, with the names of those that are; raises what
            would only fail after hours.
        restart: discard trainings that do not fit the recipe any more (`kept.py`).
        workers: who judges the candidates of an evolution.
    Raises:
        PocketganError: a stage says what the user must do; the stages before it are complete and stay. Or a training
            would be discarded.
    """
    if until is not None and until not in recipe.stages():
        raise PocketganError(f"the recipe has no stage {until}; it has {', '.join(recipe.stages())}")
    reports: list[StageReport] = []
    for stage in stages:
        if stage.name not in recipe.stages():
            continue
        check_once = partial(_check_once, recipe, reports, check)
        reports.append(_run_stage(recipe, stage, run, group, check_once, restart, workers))
        if stage.name == until:
            break
    return reports


def _check_once(recipe: Recipe, reports: Sequence[StageReport], check: Callable[[Recipe, Sequence[str]], None]) -> None:
    if all(report.skipped for report in reports):
        check(recipe, [report.name for report in reports])


def _run_stage(
    recipe: Recipe,
    stage: Stage,
    run: Path,
    group: Processes,
    check: Callable[[], None],
    restart: bool,
    workers: WorkersWanted,
) -> StageReport:
    """All processes go through this together; where the first one fails, the launcher ends the others."""
    started = time.monotonic()
    final, folder = run / stage.name, run / f"{stage.name}.partial"
    work = Work("")
    digests: list[str] = []
    done = False
    if group.first:
        recover_folder(final)
        work, digests = work_of(recipe, stage, run)
        record = read_stage(run, stage.name)
        done = record is not None and record["digest"] in digests and _is_whole(final, record)
    if group.agree(done):
        console.note(f"{stage.name}: nothing changed, skipped")
        return StageReport(stage.name, True, time.monotonic() - started)
    check()
    if group.first:
        prepare(recipe, stage, run, work, digests, restart)
    group.agree(None)
    context = Context(recipe, run, folder, group, workers)
    facts: dict[str, Any] = {}
    if stage.parallel or group.first:
        facts = stage.run(context)
    seconds = time.monotonic() - started
    if group.first:
        _finish(recipe, stage, folder, final, work, facts, seconds)
    group.agree(None)
    console.note(f"{stage.name}: done in {seconds:.0f} s")
    return StageReport(stage.name, False, seconds)


def _is_whole(folder: Path, record: Mapping[str, Any]) -> bool:
    return all((folder / path).is_file() for path in record["outputs"])


def _finish(
    recipe: Recipe, stage: Stage, folder: Path, final: Path, work: Work, facts: dict[str, Any], seconds: float
) -> None:
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    outputs = [name for name in names if name.parts[0] not in _NO_OUTPUTS]
    record = {
        "stage": stage.name,
        **asdict(work),
        "seed": recipe.seed,
        "seconds": round(seconds, 3),
        # Recorded, never digested: an upgrade does not repeat a training.
        "versions": {"pocketgan": __version__, **versions(_LIBRARIES)},
        "outputs": {name.as_posix(): sha256_file(folder / name) for name in outputs},
        "facts": facts,
    }
    write_atomic(folder / STAGE_FILE, json.dumps(record, indent=2))
    replace_folder(folder, final)
    (final / MARKER).unlink()  # not before: a kill between the two would leave work that nothing is known of
