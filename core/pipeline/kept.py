"""What an earlier run left of a stage: gone on with where it is the same work, never discarded without a word.

A stage that is under way is known by the file `digest` in its folder. A training that no longer fits, finished or
stopped half way, is discarded only where the user says `--restart`: it cost hours, and a changed setting may be a slip.
More steps than before go on from those that are done where the rate is constant (`decay: 0`), because trainings of all
lengths then begin alike.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pocketgan import console
from pocketgan.errors import PocketganError, storage_errors
from pocketgan.files import write_atomic
from pocketgan.pipeline.digest import settings_of, stage_digests
from pocketgan.pipeline.networks import GENERATOR
from pocketgan.pipeline.stage import Stage, facts_of, read_stage
from pocketgan.recipe.recipe import Recipe

MARKER = "digest"
# Of a finished training with a constant rate: the checkpoint after its last step. No outcome: it may be deleted.
MORE_STEPS = "more_steps.safetensors"


@dataclass(frozen=True)
class Work:
    """What a stage has done or is to do.

    Attributes:
        digest: of everything that its outcome depends on.
        version: of the stage; None where an earlier version of pocketgan did not write it down.
        beginning: of everything but the number of steps, where trainings of all lengths begin alike; None elsewhere.
        settings: what the recipe says for it, by section and field, to tell what changed; None like `version`.
    """

    digest: str
    version: int | None = None
    beginning: str | None = None
    settings: Mapping[str, Any] | None = None


def work_of(recipe: Recipe, stage: Stage, run: Path) -> tuple[Work, list[str]]:
    """What the stage is to do, and all digests that this work has had.

    Raises:
        PocketganError: a stage whose files it reads has not run.
    """
    digests = stage_digests(recipe, stage, run)
    beginning = None
    if stage.trains and not getattr(recipe, stage.name).decay:
        section = getattr(recipe, stage.name).model_copy(update={"steps": 1})
        beginning = stage_digests(recipe.model_copy(update={stage.name: section}), stage, run)[0]
    settings = {"seed": recipe.seed, "resolution": recipe.resolution, **settings_of(recipe, stage)}
    return Work(digests[0], stage.version_for(recipe), beginning, settings), digests


def prepare(recipe: Recipe, stage: Stage, run: Path, work: Work, digests: list[str], restart: bool) -> None:
    """Make the folder of a stage that is to run, with what an earlier run left of the same work.

    Args:
        restart: discard a training that does not fit.
    Raises:
        PocketganError: there is one, and `restart` is not asked for.
    """
    partial = run / f"{stage.name}.partial"
    begun = _begun(partial)
    other = begun is None or begun.digest not in digests
    with storage_errors(partial):
        if other and not stage.in_pieces and not _goes_on(recipe, stage, run, work, begun):
            discarded = _discarded(stage, run, begun)
            if discarded is not None:
                what, earlier = discarded
                why = _difference(recipe, stage, earlier, work, digests)
                if not restart:
                    raise PocketganError(
                        f"{stage.name}: {what} {why}; train again from the start with --restart, which discards it, "
                        "or keep it and name another folder with --out"
                    )
                console.note(f"{stage.name}: {what} {why}; it gives way to a new one")
            _clear(partial)
        partial.mkdir(parents=True, exist_ok=True)
        write_atomic(partial / MARKER, json.dumps(asdict(work)))


def _begun(partial: Path) -> Work | None:
    """The work that is under way in a folder; None where there is none."""
    try:
        text = (partial / MARKER).read_text()
    except (OSError, ValueError):
        return None
    try:
        return Work(**json.loads(text))
    except (ValueError, TypeError):
        return Work(text)  # the digest alone, as earlier versions wrote it


def _finished(run: Path, stage: Stage) -> Work | None:
    record = read_stage(run, stage.name)
    if record is None:
        return None
    return Work(record["digest"], record.get("version"), record.get("beginning"), record.get("settings"))


def _goes_on(recipe: Recipe, stage: Stage, run: Path, work: Work, begun: Work | None) -> bool:
    """Whether the folder under way now holds the beginning of this training, by itself or from the finished one."""
    if work.beginning is None:
        return False
    from pocketgan.training.evaluations import BEST, EVALUATIONS
    from pocketgan.training.fit import CHECKPOINT

    partial, final = run / f"{stage.name}.partial", run / stage.name
    steps = getattr(recipe, stage.name).steps
    if begun is not None and begun.beginning == work.beginning:
        checkpoint = _checkpoint(partial, steps)
        if checkpoint is None:
            return False
        (partial / GENERATOR).unlink(missing_ok=True)  # that of the other length: where it is, a training is over
        checkpoint.replace(partial / CHECKPOINT)
        return True
    finished = _finished(run, stage)
    if _holds_training(partial, begun) or finished is None or finished.beginning != work.beginning:
        return False
    checkpoint = _checkpoint(final, steps)
    if checkpoint is None:
        return False
    _clear(partial)
    partial.mkdir(parents=True)
    shutil.copyfile(checkpoint, partial / CHECKPOINT)
    for shown in ("tensorboard", "samples", BEST):
        if (final / shown).is_dir():
            shutil.copytree(final / shown, partial / shown)
    if (final / EVALUATIONS).is_file():
        shutil.copyfile(final / EVALUATIONS, partial / EVALUATIONS)
    return True


def _clear(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _checkpoint(folder: Path, steps: int) -> Path | None:
    """A checkpoint after at most that many steps."""
    from safetensors import SafetensorError, safe_open

    from pocketgan.training.fit import CHECKPOINT

    for path in (folder / CHECKPOINT, folder / MORE_STEPS):
        try:
            with safe_open(path, "np") as file:
                if int(file.metadata()["step"]) <= steps:
                    return path
        except (OSError, SafetensorError, TypeError, KeyError, ValueError):
            continue
    return None


def _holds_training(partial: Path, begun: Work | None) -> bool:
    from pocketgan.training.fit import CHECKPOINT

    return begun is not None and any((partial / name).is_file() for name in (CHECKPOINT, GENERATOR))


def _discarded(stage: Stage, run: Path, begun: Work | None) -> tuple[str, Work] | None:
    """The training that is lost when the stage starts from the beginning, in words; None where there is none."""
    if not stage.trains:
        return None
    partial, final = run / f"{stage.name}.partial", run / stage.name
    if begun is not None and _holds_training(partial, begun):
        return f"the training that was stopped in {partial}", begun
    finished = _finished(run, stage)
    given = "origin" in facts_of(run, stage.name)  # it was trained before it came
    if finished is not None and (final / GENERATOR).is_file() and not given:
        return f"the finished training in {final}", finished
    return None


def _difference(recipe: Recipe, stage: Stage, earlier: Work, work: Work, digests: list[str]) -> str:
    """Why an earlier training is not this one."""
    if earlier.digest in digests:
        return "is not whole: one of its files is gone"
    # As JSON writes it, in which earlier settings were read: a resolution may be a tuple.
    before, now = (dict(_fields(json.loads(json.dumps(one.settings or {})))) for one in (earlier, work))
    changed = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    if earlier.settings is None or not changed:
        if earlier.version not in (None, work.version):
            return "is of an earlier version of pocketgan, which trained otherwise"
        learnt = "learnt from other files (data, networks before it, your own generator's)"
        return f"was made with another recipe, or {learnt}" if earlier.settings is None else learnt
    steps = f"{stage.name}.steps"
    told = [f"{name} {_shown(before, name)}, now {_shown(now, name)}" for name in changed[:3]]
    told += ["..."] * (len(changed) > 3)
    if changed != [steps]:
        return f"had {'; '.join(told)}"
    if getattr(recipe, stage.name).decay:
        why = f"the rates of all steps depend on their number, as {stage.name}.decay is above 0"
    else:
        why = f"it has no checkpoint of at most {now[steps]} steps"
    return f"had {told[0]}, and cannot go on: {why}"


def _fields(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, values in settings.items():
        if isinstance(values, Mapping):
            yield from ((f"{section}.{name}", value) for name, value in values.items())
        else:
            yield section, values


def _shown(fields: Mapping[str, Any], name: str) -> str:
    return str(fields[name]) if name in fields else "at its default"
