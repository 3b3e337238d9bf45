"""Runs stages one after the other: atomic, skipped where nothing changed, resumed where one was killed.

A stage writes into `runs/NAME/<stage>.partial/`, which becomes `runs/NAME/<stage>/` when it is whole. Its `stage.json`
holds the digest of everything that the outcome depends on (`digest.py`). Under `accelerate launch` all processes meet
at every stage; parallel stages run on all of them, the others on the first.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketgan import __version__, console
from pocketgan.errors import PocketganError, storage_errors
from pocketgan.files import recover_folder, replace_folder, sha256_file, write_atomic
from pocketgan.pipeline.digest import stage_digests
from pocketgan.pipeline.processes import Processes
from pocketgan.pipeline.stage import STAGE_FILE, Context, Stage, read_stage
from pocketgan.recipe.recipe import Recipe
from pocketgan.targets import TARGETS, versions

# What a killed stage of the same work is known by.
_MARKER = "digest"
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
    check: Callable[[Recipe], None] = lambda recipe: None,
) -> list[StageReport]:
    """Run the recipe's stages in order.

    Args:
        check: called once, before the first stage that is not skipped; raises what would only fail after hours.
    Raises:
        PocketganError: a stage says what the user must do; the stages before it are complete and stay.
    """
    if until is not None and until not in recipe.stages():
        raise PocketganError(f"the recipe has no stage {until}; it has {', '.join(recipe.stages())}")
    reports: list[StageReport] = []
    for stage in stages:
        if stage.name not in recipe.stages():
            continue
        checked = any(not report.skipped for report in reports)
        reports.append(_run_stage(recipe, stage, run, group, (lambda recipe: None) if checked else check))
        if stage.name == until:
            break
    return reports


def _run_stage(
    recipe: Recipe, stage: Stage, run: Path, group: Processes, check: Callable[[Recipe], None]
) -> StageReport:
    """All processes go through this together; where the first one fails, the launcher ends the others."""
    started = time.monotonic()
    final, partial = run / stage.name, run / f"{stage.name}.partial"
    digests: list[str] = []
    done = False
    if group.first:
        recover_folder(final)
        digests = stage_digests(recipe, stage, run)
        record = read_stage(run, stage.name)
        done = record is not None and record["digest"] in digests and _is_whole(final, record)
    if group.agree(done):
        console.note(f"{stage.name}: nothing changed, skipped")
        return StageReport(stage.name, True, time.monotonic() - started)
    check(recipe)
    if group.first:
        _prepare(partial, digests)
    group.agree(None)
    context = Context(recipe, run, partial, group)
    facts: dict[str, Any] = {}
    if stage.parallel or group.first:
        facts = stage.run(context)
    seconds = time.monotonic() - started
    if group.first:
        _finish(recipe, stage, partial, final, digests[0], facts, seconds)
    group.agree(None)
    console.note(f"{stage.name}: done in {seconds:.0f} s")
    return StageReport(stage.name, False, seconds)


def _is_whole(folder: Path, record: Mapping[str, Any]) -> bool:
    return all((folder / path).is_file() for path in record["outputs"])


def _prepare(partial: Path, digests: Sequence[str]) -> None:
    """Keep what a killed run of the very same work left; anything else in the way is removed."""
    marker = partial / _MARKER
    with storage_errors(partial):
        if partial.exists() and not (marker.is_file() and marker.read_text() in digests):
            shutil.rmtree(partial)
        partial.mkdir(parents=True, exist_ok=True)
        write_atomic(marker, digests[0])


def _finish(
    recipe: Recipe, stage: Stage, partial: Path, final: Path, digest: str, facts: dict[str, Any], seconds: float
) -> None:
    (partial / _MARKER).unlink()
    files = sorted(
        p for p in partial.rglob("*") if p.is_file() and "tensorboard" not in p.parts and p.name != STAGE_FILE
    )
    record = {
        "stage": stage.name,
        "digest": digest,
        "version": stage.version_for(recipe),
        "seed": recipe.seed,
        "seconds": round(seconds, 3),
        # Recorded, never digested: an upgrade does not repeat a training.
        "versions": {"pocketgan": __version__, **versions(_LIBRARIES)},
        "outputs": {path.relative_to(partial).as_posix(): sha256_file(path) for path in files},
        "facts": facts,
    }
    write_atomic(partial / STAGE_FILE, json.dumps(record, indent=2))
    replace_folder(partial, final)
