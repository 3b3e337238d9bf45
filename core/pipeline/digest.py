"""What the outcome of a stage depends on, as one digest.

It covers the stage's slice of the recipe, the content hashes of its inputs and the stage's own version. Fields of the
recipe that have their default stay out, so that a field which a later version adds changes no digest; a default that
changes raises the versions of the stages that it concerns. Fields that change nothing in the outcome stay out too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pocketgan.errors import PocketganError
from pocketgan.files import sha256_file, sha256_json
from pocketgan.pipeline.stage import STAGE_FILE, Stage, read_stage
from pocketgan.recipe.recipe import Recipe

# The fields that a recipe had when digests held all of them, defaults too. Nothing is ever added here.
_TRAINING = (
    "steps", "batch_size", "learning_rate", "discriminator_learning_rate", "adam_betas", "decay", "gan_mode",
    "average_decay", "load_scale", "flip", "precision", "checkpoint_every", "sample_every",
)  # fmt: skip
_EARLIER_FIELDS: dict[str, tuple[str, ...]] = {
    "data": (
        "source", "kind", "folder", "direction", "classes", "unknown", "instance", "effect", "train_crops", "val_crops",
    ),
    "teacher": (
        *_TRAINING, "generator", "ngf", "norm", "program", "lambda_l1", "lambda_cycle", "lambda_identity", "pool_size",
        "lambda_feature", "lambda_vgg", "vgg_weights", "ndf",
    ),
    "compress": ("budget", "by", "least_width", "target", "threads", "widths"),
    "distill": (*_TRAINING, "program", "similarity", "lambda_distill", "lambda_recon"),
    "export": ("targets", "precisions", "io", "ios", "workers"),
    "bundle": ("sign_with",),
    "bench": (
        "device", "mode", "iterations", "rounds", "runs", "duration_s", "warmup_iterations", "threads",
    ),
    "report": ("title",),
}  # fmt: skip


# How often a training is saved and shown, what is measured beside it, how many processes export, and where files are
# whose content counts.
_SHOWN = ("checkpoint_every", "sample_every", "evaluate", "inception", "lpips_weights", "judge")
_WITHOUT_EFFECT: dict[str, tuple[str, ...]] = {
    "data": ("folder", "unlabelled"),
    "teacher": (*_SHOWN, "vgg_weights", "vgg16_weights", "weights"),
    "compress": ("inception", "lpips_weights", "judge"),
    "distill": (*_SHOWN, "vgg16_weights"),
    "adapt": ("folder", "checkpoint_every", "coreset", "workers"),
    "export": ("workers",),
    "bundle": ("sign_with",),
}
# How the data stage comes to its concepts: for the stages after it, which they are counts, and its files say so.
_CHOICE = ("concepts", "choose", "choose_by")


def settings_of(recipe: Recipe, stage: Stage) -> dict[str, Any]:
    """The fields of the recipe that decide about a stage's outcome, by section, but for those at their default."""
    settings = recipe.model_dump(mode="json", include={stage.name, *stage.slices}, exclude_defaults=True)
    for name, fields in _WITHOUT_EFFECT.items():
        if isinstance(settings.get(name), dict):
            settings[name] = {key: value for key, value in settings[name].items() if key not in fields}
    for name in ("teacher", "distill"):
        if isinstance(settings.get(name), dict):
            settings[name] = _of_evaluations(settings[name])
    data = settings.get("data")
    if isinstance(data, dict) and stage.name != "data":
        settings["data"] = data = {key: value for key, value in data.items() if key not in _CHOICE}
    if isinstance(data, dict) and "text" in data and Path(data["text"]).exists():
        data["text"] = "given"  # a file or a folder, whose content counts
    return settings


def _of_evaluations(section: dict[str, Any]) -> dict[str, Any]:
    """A training's section with what counts of its evaluations: that there are some, as they keep images from it.

    When they are made and what a judge sees counts where the best of them ships.
    """
    without = [] if section.get("best_by") == "miou" else ["judge_scale"]
    section = {key: value for key, value in section.items() if key not in without}
    if "evaluate_every" in section and section.get("ship") != "best":
        section["evaluate_every"] = "given"
    return section


def stage_digests(recipe: Recipe, stage: Stage, run: Path) -> list[str]:
    """The digest of a stage, and those that earlier versions of pocketgan gave to the same work, if they could.

    Raises:
        PocketganError: a stage whose files it reads has not run.
    """
    sections = {stage.name, *stage.slices} & set(recipe.stages())
    settings = recipe.model_dump(mode="json", include={stage.name, *stage.slices}, exclude_defaults=True)
    rest = {
        "stage": stage.name,
        "version": stage.version_for(recipe),
        "seed": recipe.seed,
        "resolution": recipe.resolution,
        "inputs": {name: _content(run, name) for name in stage.inputs if name in recipe.stages()},
        "outside": stage.outside(recipe, run),
    }
    # The second is the first one of earlier versions, whose digests held the fields without effect.
    forms = (settings_of(recipe, stage), settings)
    digests = [sha256_json({**rest, "form": 2, "recipe": form}) for form in forms]
    if all(set(settings.get(name) or {}) <= set(_EARLIER_FIELDS.get(name, ())) for name in sections):
        whole = recipe.model_dump(mode="json", include={stage.name, *stage.slices})
        for name in sections:
            whole[name] = {key: value for key, value in whole[name].items() if key in _EARLIER_FIELDS[name]}
        digests.append(sha256_json({**rest, "recipe": whole}))
    return digests


def _content(run: Path, name: str) -> dict[str, str]:
    """Hashes of a stage's files as they are now, so that a file that the user replaced counts."""
    record: dict[str, Any] | None = read_stage(run, name)
    if record is None:
        raise PocketganError(
            f"the stage {name} has left no {STAGE_FILE} in {run / name}; run the recipe from the start"
        )
    return {path: sha256_file(run / name / path) for path in sorted(record["outputs"]) if (run / name / path).is_file()}
