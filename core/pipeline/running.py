"""Runs stages one after the other: atomic, skipped where nothing changed, resumed where one was killed.

A stage writes into `runs/NAME/<stage>.partial/`, which becomes `runs/NAME/<stage>/` when it is whole. Its `stage.json`
holds the digest of everything that the outcome depends on: the stage's slice of the recipe, the content hashes of its
inputs and the stage's own version. Under `accelerate launch` all processes meet at every stage; training stages run on
all of them, the others on the first.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pocketgan import __version__, console
from pocketgan.errors import PocketganError, storage_errors
from pocketgan.files import recover_folder, replace_folder, sha256_file, sha256_json, write_atomic
from pocketgan.recipe.recipe import Recipe

STAGE_FILE = "stage.json"
_LIBRARIES = (
    "torch",
    "accelerate",
    "numpy",
    "onnx",
    "onnxruntime",
    "executorch",
    "coremltools",
    "coreai-core",
    "coreai-torch",
    "opencv-python-headless",
)


@dataclass(frozen=True)
class Context:
    """What a stage may know.

    Attributes:
        recipe: the whole recipe; a stage reads its own section, `seed` and `resolution`.
        run: the run directory.
        folder: where this stage writes; it survives a kill and is the same again on resume.
        processes: the group of parallel processes, or the single one.
    """

    recipe: Recipe
    run: Path
    folder: Path
    processes: Processes


@dataclass(frozen=True)
class Stage:
    """One arrow of the way.

    Attributes:
        name: key in the recipe and folder in the run directory.
        version: raised when the stage computes something else from the same inputs.
        run: does the work and returns facts for `stage.json`.
        inputs: names of the stages whose files it reads.
        slices: what it depends on in the recipe besides its own section, seed and resolution.
        outside: content hashes of inputs that no stage made, such as the user's images or the device.
        parallel: whether all processes of `accelerate launch` take part.
    """

    name: str
    version: int
    run: Callable[[Context], dict[str, Any]]
    inputs: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    outside: Callable[[Recipe, Path], Any] = field(default=lambda recipe, run: None)
    parallel: bool = False


class Processes(Protocol):
    """A group of processes that meet: one alone, or those of `accelerate launch`."""

    @property
    def first(self) -> bool: ...

    def agree(self, value: Any) -> Any:
        """The first process's value, in all of them."""


class OneProcess:
    """No parallel training."""

    first = True

    def agree(self, value: Any) -> Any:
        return value


class LaunchedProcesses:
    """The processes that `accelerate launch` started."""

    def __init__(self) -> None:
        from pocketgan.training.processes import join

        self._accelerator = join()
        self.first = bool(self._accelerator.is_main_process)

    def agree(self, value: Any) -> Any:
        from accelerate.utils import broadcast_object_list

        values = [value]
        broadcast_object_list(values)
        return values[0]


def processes() -> Processes:
    """The group that this process belongs to."""
    return LaunchedProcesses() if int(os.environ.get("WORLD_SIZE", "1")) > 1 else OneProcess()


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


def read_stage(run: Path, name: str) -> dict[str, Any] | None:
    """A finished stage's record, or None."""
    try:
        return json.loads((run / name / STAGE_FILE).read_text())
    except (OSError, ValueError):
        return None


def _run_stage(
    recipe: Recipe, stage: Stage, run: Path, group: Processes, check: Callable[[Recipe], None]
) -> StageReport:
    """All processes go through this together; where the first one fails, the launcher ends the others."""
    started = time.monotonic()
    final, partial = run / stage.name, run / f"{stage.name}.partial"
    digest, done = "", False
    if group.first:
        recover_folder(final)
        digest = _digest(recipe, stage, run)
        record = read_stage(run, stage.name)
        done = record is not None and record["digest"] == digest and _is_whole(final, record)
    if group.agree(done):
        console.note(f"{stage.name}: nothing changed, skipped")
        return StageReport(stage.name, True, time.monotonic() - started)
    check(recipe)
    if group.first:
        _prepare(partial, digest)
    group.agree(None)
    context = Context(recipe, run, partial, group)
    facts: dict[str, Any] = {}
    if stage.parallel or group.first:
        facts = stage.run(context)
    seconds = time.monotonic() - started
    if group.first:
        _finish(recipe, stage, partial, final, digest, facts, seconds)
    group.agree(None)
    console.note(f"{stage.name}: done in {seconds:.0f} s")
    return StageReport(stage.name, False, seconds)


def _digest(recipe: Recipe, stage: Stage, run: Path) -> str:
    return sha256_json(
        {
            "stage": stage.name,
            "version": stage.version,
            "seed": recipe.seed,
            "resolution": recipe.resolution,
            "recipe": recipe.model_dump(mode="json", include={stage.name, *stage.slices}),
            "inputs": {name: _content(run, name) for name in stage.inputs if name in recipe.stages()},
            "outside": stage.outside(recipe, run),
        }
    )


def _content(run: Path, name: str) -> dict[str, str]:
    """Hashes of a stage's files as they are now, so that a file that the user replaced counts."""
    record = read_stage(run, name)
    if record is None:
        raise PocketganError(
            f"the stage {name} has left no {STAGE_FILE} in {run / name}; run the recipe from the start"
        )
    return {path: sha256_file(run / name / path) for path in sorted(record["outputs"]) if (run / name / path).is_file()}


def _is_whole(folder: Path, record: Mapping[str, Any]) -> bool:
    return all((folder / path).is_file() for path in record["outputs"])


def _prepare(partial: Path, digest: str) -> None:
    """Keep what a killed run of the very same work left; anything else in the way is removed."""
    marker = partial / "digest"
    with storage_errors(partial):
        if partial.exists() and not (marker.is_file() and marker.read_text() == digest):
            shutil.rmtree(partial)
        partial.mkdir(parents=True, exist_ok=True)
        write_atomic(marker, digest)


def _finish(
    recipe: Recipe, stage: Stage, partial: Path, final: Path, digest: str, facts: dict[str, Any], seconds: float
) -> None:
    (partial / "digest").unlink()
    files = sorted(
        p for p in partial.rglob("*") if p.is_file() and "tensorboard" not in p.parts and p.name != STAGE_FILE
    )
    record = {
        "stage": stage.name,
        "digest": digest,
        "version": stage.version,
        "seed": recipe.seed,
        "seconds": round(seconds, 3),
        "versions": {"pocketgan": __version__, **_versions()},
        "outputs": {path.relative_to(partial).as_posix(): sha256_file(path) for path in files},
        "facts": facts,
    }
    write_atomic(partial / STAGE_FILE, json.dumps(record, indent=2))
    replace_folder(partial, final)


def _versions() -> dict[str, str]:
    """Recorded, never digested: an upgrade does not repeat a training."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
