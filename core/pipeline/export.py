"""The stage `export`: runtime files of the student, the teacher and the unpruned generator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan.errors import require
from pocketgan.export.entry import EXPORT_VERSION
from pocketgan.pipeline.images import load_images
from pocketgan.pipeline.networks import GENERATOR, input_shape, unpruned_name, unpruned_spec
from pocketgan.pipeline.roles import bundle_name, roles, trained_in
from pocketgan.pipeline.stage import Context, Stage, facts_of
from pocketgan.recipe.recipe import Recipe
from pocketgan.targets import TARGETS, pairs

if TYPE_CHECKING:
    from pocketgan.bundle.manifest import Cost, Role
    from pocketgan.export.bundles import BundleRequest
    from pocketgan.export.source import ModelSource


def _check(recipe: Recipe) -> None:
    require("export", "torch")
    from pocketgan.export.forms import check_forms

    assert recipe.export is not None
    # The training images are there to calibrate on.
    targets = pairs(recipe.export.targets, recipe.export.precisions)
    check_forms(targets, calibrated=True, ios=recipe.export.ios)


def _export_models(context: Context) -> dict[str, Any]:
    """Runtime files of every model, as unpacked bundles; entries that a killed run finished are kept.

    One entry that cannot be written fails the stage, which names all of them: bundles of one recipe are measured side
    by side, entry by entry, and a report from which one is missing would look whole.
    """
    from pocketgan.export.bundles import DEFAULT_WORKERS, export_bundles

    stage = context.recipe.export
    assert stage is not None
    requests = [_request(context, role) for role in roles(context.recipe)]
    manifests = export_bundles(requests, stage.workers or DEFAULT_WORKERS)
    _unpruned_file(context).unlink()
    return {manifest.name: {entry.id: entry.bytes for entry in manifest.entries} for manifest in manifests}


def _unpruned_file(context: Context) -> Path:
    return context.folder / f"{unpruned_name(context.recipe)}.safetensors"


def _request(context: Context, role: Role) -> BundleRequest:
    from pocketgan.export.bundles import BundleRequest
    from pocketgan.export.calibration import MOST_IMAGES
    from pocketgan.training.data.samples import batch

    recipe = context.recipe
    stage = recipe.export
    assert stage is not None
    model, cost, size = _model(context, role)
    made_by = trained_in(role)
    targets = pairs(stage.targets, stage.precisions)
    calibration = None
    if any(precision in TARGETS[target].calibrated for target, precision in targets):
        photos = load_images(recipe, context.run, "train", size=size)
        spread = range(0, len(photos), -(-len(photos) // MOST_IMAGES))
        calibration = batch([photos.whole(index) for index in spread])["input"].numpy()
    return BundleRequest(
        model=model,
        folder=context.folder / role,
        name=bundle_name(recipe, role),
        role=role,
        targets=targets,
        io=stage.io,
        trained=None if made_by is None else True,
        quality={} if made_by is None else _distances(facts_of(context.run, made_by)),
        cost=cost,
        golden_inputs=batch([load_images(recipe, context.run, "val", size=size).whole(0)])["input"].numpy(),
        calibration=calibration,
        ios=stage.ios,
    )


def _distances(facts: dict[str, Any]) -> dict[str, float]:
    """What a training found out about its validation pictures."""
    return {name: value for name, value in facts.items() if isinstance(value, float)}


def _model(context: Context, role: Role) -> tuple[Path | ModelSource, Cost, tuple[int, int]]:
    """What to export, what it costs, and its (height, width)."""
    from pocketgan.export.source import from_function
    from pocketgan.training.cost import cost
    from pocketgan.training.generators import build
    from pocketgan.training.generators.files import read_spec, save_generator
    from pocketgan.training.generators.own import call_function, measured_cost

    recipe = context.recipe
    assert recipe.teacher is not None
    made_by = trained_in(role)
    if made_by is None:
        spec, path = unpruned_spec(recipe), _unpruned_file(context)
        save_generator(path, build(spec, recipe.seed), spec, {"trained": "no"})
        return path, cost(spec), (spec.height, spec.width)
    path = context.run / made_by / GENERATOR
    if recipe.teacher.is_own:
        shape, function = input_shape(recipe), recipe.teacher.generator
        return from_function(function, shape, path), measured_cost(call_function(function), shape), recipe.size
    spec = read_spec(path)
    return path, cost(spec), (spec.height, spec.width)


STAGE = Stage(
    "export",
    EXPORT_VERSION,
    _export_models,
    inputs=("data", "teacher", "distill"),
    slices=("name", "data"),
    check=_check,
)
