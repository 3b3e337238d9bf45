"""The stage `export`: runtime files of the student, the teacher and the unpruned generator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan.bundle.manifest import Origin
from pocketgan.errors import require
from pocketgan.export.entry import EXPORT_VERSION
from pocketgan.pipeline.images import load_images
from pocketgan.pipeline.networks import (
    GENERATOR,
    TEACHER_BUNDLE,
    input_channels,
    input_shape,
    teacher_cost,
    unpruned_name,
    unpruned_spec,
)
from pocketgan.pipeline.roles import bundle_name, roles, trained_in
from pocketgan.pipeline.stage import Context, Stage, facts_of
from pocketgan.recipe.recipe import Recipe
from pocketgan.targets import TARGETS, pairs

if TYPE_CHECKING:
    from pocketgan.bundle.manifest import Cost, Manifest, Role
    from pocketgan.export.bundles import BundleRequest
    from pocketgan.export.source import ModelSource


def _check(recipe: Recipe) -> None:
    require("export", "torch")
    from pocketgan.export.forms import check_forms

    assert recipe.export is not None
    # The training images are there to calibrate on.
    targets = pairs(recipe.export.targets, recipe.export.precisions)
    check_forms(targets, calibrated=True, ios=recipe.export.ios)
    if recipe.adapt is not None:
        from pocketgan.export.packs.writing import check_pack

        check_pack(targets)


def _export_models(context: Context) -> dict[str, Any]:
    """Runtime files of every model, as unpacked bundles; entries that a killed run finished are kept.

    One entry that cannot be written fails the stage, which names all of them: bundles of one recipe are measured side
    by side, entry by entry, and a report from which one is missing would look whole.
    """
    from pocketgan.export.bundles import DEFAULT_WORKERS, export_bundles

    recipe, stage = context.recipe, context.recipe.export
    assert stage is not None
    assert recipe.teacher is not None
    foreign: list[Role] = ["teacher"] if recipe.teacher.is_foreign else []
    packed: list[Role] = ["student"] if recipe.adapt is not None else []
    requests = [_request(context, role) for role in roles(recipe) if role not in (*foreign, *packed)]
    manifests = [_pack(context, role) for role in packed]
    manifests += export_bundles(requests, stage.workers or DEFAULT_WORKERS)
    manifests += [_foreign_teacher(context) for _ in foreign]
    _unpruned_file(context).unlink(missing_ok=True)
    return {manifest.name: {entry.id: entry.bytes for entry in manifest.entries} for manifest in manifests}


def _pack(context: Context, role: Role) -> Manifest:
    """The bundle of the base and its concepts.

    Raises:
        PocketganError: a form of it cannot be written.
    """
    from dataclasses import replace

    from pocketgan.concept_packs import open_pack
    from pocketgan.export.bundles import DEFAULT_WORKERS
    from pocketgan.export.source import from_file

    stage = context.recipe.export
    assert stage is not None
    request = _request(context, role)
    with open_pack(from_file(context.run / "teacher" / GENERATOR), context.run / "adapt", None) as pack:
        manifest, failures = pack.export(replace(request, model=pack.base), stage.workers or DEFAULT_WORKERS)
    for error in failures.values():
        raise error
    return manifest


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
    # What a network is told of its concept while it is trained stands behind the picture's own channels.
    channels = input_channels(recipe)
    made_by = trained_in(recipe, role)
    targets = pairs(stage.targets, stage.precisions)
    calibration = None
    if any(precision in TARGETS[target].calibrated for target, precision in targets):
        photos = load_images(recipe, context.run, "train", size=size)
        spread = range(0, len(photos), -(-len(photos) // MOST_IMAGES))
        calibration = batch([photos.whole(index) for index in spread])["input"][:, :channels].numpy()
    return BundleRequest(
        model=model,
        folder=context.folder / role,
        name=bundle_name(recipe, role),
        role=role,
        targets=targets,
        io=stage.io,
        trained=None if made_by is None else True,
        quality=_quality(context, made_by),
        teacher=None if made_by is None else _origin(context),
        cost=cost,
        golden_inputs=batch([load_images(recipe, context.run, "val", size=size).whole(0)])["input"][
            :, :channels
        ].numpy(),
        calibration=calibration,
        ios=stage.ios,
    )


def _model(context: Context, role: Role) -> tuple[Path | ModelSource, Cost, tuple[int, int]]:
    """What to export, what it costs, and its (height, width); of a teacher that is a runtime's file nothing is."""
    from pocketgan.export.source import from_function
    from pocketgan.training.cost import cost
    from pocketgan.training.generators import build
    from pocketgan.training.generators.files import read_spec, save_generator

    recipe = context.recipe
    assert recipe.teacher is not None
    made_by = trained_in(recipe, role)
    if made_by is None:
        spec, path = unpruned_spec(recipe), _unpruned_file(context)
        save_generator(path, build(spec, recipe.seed), spec, {"trained": "no"})
        return path, cost(spec), (spec.height, spec.width)
    path = context.run / ("teacher" if made_by == "adapt" else made_by) / GENERATOR
    if role == "teacher" and recipe.teacher.is_own:
        shape, known = input_shape(recipe), teacher_cost(recipe, context.run)
        assert known is not None
        return from_function(recipe.teacher.generator, shape, path), known, recipe.size
    spec = read_spec(path)
    return path, cost(spec), (spec.height, spec.width)


def _quality(context: Context, made_by: str | None) -> dict[str, float]:
    """The numbers that the stage that trained it found out."""
    facts = {} if made_by is None else facts_of(context.run, made_by)
    return {name: value for name, value in facts.items() if isinstance(value, int | float)}


def _origin(context: Context) -> Origin | None:
    """Where the trained teacher came from that the run began with, if it did."""
    origin = facts_of(context.run, "teacher").get("origin")
    return None if origin is None else Origin.model_validate(origin)


def _foreign_teacher(context: Context) -> Manifest:
    """The bundle of a teacher that is a runtime's file, called as the run's own are."""
    from pocketgan.bundle.packing import relabel

    origin = _origin(context)
    assert origin is not None
    return relabel(
        context.run / "teacher" / TEACHER_BUNDLE,
        context.folder / "teacher",
        name=bundle_name(context.recipe, "teacher"),
        role="teacher",
        teacher=origin,
        quality=_quality(context, "teacher"),
    )


STAGE = Stage(
    "export",
    EXPORT_VERSION,
    _export_models,
    inputs=("data", "teacher", "distill", "adapt"),
    slices=("name", "data"),
    check=_check,
)
