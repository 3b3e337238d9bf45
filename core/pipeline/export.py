"""Stages from a trained student to a report: export, bundle, bench, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan.errors import RecipeError
from pocketgan.export import EXPORT_VERSION
from pocketgan.files import sha256_file
from pocketgan.pipeline.data import load_data
from pocketgan.pipeline.programs import unpruned_spec
from pocketgan.pipeline.running import Context, Stage, read_stage
from pocketgan.pipeline.training import GENERATOR, read_samples
from pocketgan.recipe.recipe import Recipe

if TYPE_CHECKING:
    from pocketgan.bundle.manifest import Cost
    from pocketgan.export.bundles import BundleRequest
    from pocketgan.export.source import ModelSource

RESULTS = "results.jsonl"
REPORT = "report.html"


def _roles(recipe: Recipe) -> list[str]:
    return (["student"] if recipe.distill is not None else []) + ["teacher", "unpruned"]


def _unpruned(recipe: Recipe) -> str:
    return "gaugan" if recipe.teacher is not None and recipe.teacher.program == "gaugan" else "resnet9"


def _bundle_name(recipe: Recipe, role: str) -> str:
    return f"{recipe.name}-{_unpruned(recipe) if role == 'unpruned' else role}"


def export_models(context: Context) -> dict[str, Any]:
    """Runtime files of every model, as unpacked bundles; entries that a killed run finished are kept."""
    from pocketgan.export.bundles import DEFAULT_WORKERS, export_bundles

    stage = context.recipe.export
    assert stage is not None
    requests = [_request(context, role) for role in _roles(context.recipe)]
    manifests = export_bundles(requests, stage.workers or DEFAULT_WORKERS)
    (context.folder / f"{_unpruned(context.recipe)}.safetensors").unlink()
    return {manifest.name: {entry.id: entry.bytes for entry in manifest.entries} for manifest in manifests}


def _request(context: Context, role: str) -> BundleRequest:
    from pocketgan.export.bundles import BundleRequest
    from pocketgan.export.calibration import MOST_IMAGES
    from pocketgan.export.targets import pairs
    from pocketgan.training.data.samples import batch

    recipe = context.recipe
    stage = recipe.export
    assert stage is not None
    model, cost, size = _model(context, role)
    record = None if role == "unpruned" else read_stage(context.run, "distill" if role == "student" else "teacher")
    targets = pairs(stage.targets, stage.precisions)
    calibration = None
    if any(precision in ("int8", "w8a8", "mixed") for _, precision in targets):
        photos = load_data(recipe, context.run, "train", size=size)
        spread = range(0, len(photos), -(-len(photos) // MOST_IMAGES))
        calibration = batch([photos.whole(index) for index in spread])["input"].numpy()
    return BundleRequest(
        model=model,
        folder=context.folder / role,
        name=_bundle_name(recipe, role),
        role="unpruned" if role == "unpruned" else "student" if role == "student" else "teacher",
        targets=targets,
        io=stage.io,
        trained=None if role == "unpruned" else True,
        quality=dict(record["facts"]) if record else {},
        cost=cost,
        golden_inputs=batch([load_data(recipe, context.run, "val", size=size).whole(0)])["input"].numpy(),
        calibration=calibration,
        ios=stage.ios,
    )


def _model(context: Context, role: str) -> tuple[Path | ModelSource, Cost, tuple[int, int]]:
    """What to export, what it costs, and its (height, width)."""
    from pocketgan.export.source import from_function
    from pocketgan.training.cost import cost
    from pocketgan.training.generators import build
    from pocketgan.training.generators.files import read_spec, save_generator
    from pocketgan.training.generators.own import call_function, measured_cost

    recipe = context.recipe
    assert recipe.data is not None
    assert recipe.teacher is not None
    if role == "unpruned":
        spec = unpruned_spec(recipe)
        path = context.folder / f"{_unpruned(recipe)}.safetensors"
        save_generator(path, build(spec, recipe.seed), spec, {"trained": "no"})
        return path, cost(spec), (spec.height, spec.width)
    path = context.run / ("distill" if role == "student" else "teacher") / GENERATOR
    if recipe.teacher.is_own:
        shape = (recipe.data.input_channels, *recipe.size)
        function = recipe.teacher.generator
        return from_function(function, shape, path), measured_cost(call_function(function), shape), recipe.size
    spec = read_spec(path)
    return path, cost(spec), (spec.height, spec.width)


def pack_bundles(context: Context) -> dict[str, Any]:
    """One `.pgb` a model, signed where the recipe names a key."""
    from pocketgan.bundle.packing import pack_folder
    from pocketgan.bundle.signature import sign

    stage = context.recipe.bundle
    assert stage is not None
    digests = {}
    for role in _roles(context.recipe):
        name = _bundle_name(context.recipe, role)
        path = context.folder / f"{name}.pgb"
        digests[name] = pack_folder(context.run / "export" / role, path)
        if stage.sign_with is not None:
            sign(path, Path(stage.sign_with))
    return digests


def _outside_bundle(recipe: Recipe, run: Path) -> Any:
    if recipe.bundle is None or recipe.bundle.sign_with is None:
        return None
    key = Path(recipe.bundle.sign_with)
    if not key.is_file():
        raise RecipeError(
            f"bundle.sign_with: there is no key file {key}; make one: openssl genpkey -algorithm ed25519 -out {key}"
        )
    return sha256_file(key)


def measure_bundles(context: Context) -> dict[str, Any]:
    """Measure all bundles in turns on the recipe's device."""
    from pocketgan.bench.devices import find_device
    from pocketgan.bench.journal import SampleRow
    from pocketgan.bench.schema.job import Warmup
    from pocketgan.bench.session import JobOptions, measure

    recipe, stage = context.recipe, context.recipe.bench
    assert stage is not None
    samples = {}
    for role, source in (("student", "distill"), ("teacher", "teacher")):
        record = read_stage(context.run, "bundle")
        digest = record["facts"].get(_bundle_name(recipe, role)) if record else None
        if digest:
            samples[digest] = [SampleRow(**row) for row in read_samples(context.run / source)]
    bundles = [context.run / "bundle" / f"{_bundle_name(recipe, role)}.pgb" for role in _roles(recipe)]
    warmup = Warmup(iterations=stage.warmup_iterations)
    options = JobOptions(
        stage.mode,
        stage.iterations,
        stage.rounds,
        warmup,
        stage.threads,
        runs=stage.runs,
        duration_s=stage.duration_s,
    )
    results = measure(bundles, find_device(stage.device), options, context.folder / RESULTS, samples, resume=True)
    return {"results": len(results), "errors": [error for result in results for error in result.errors]}


def _outside_bench(recipe: Recipe, run: Path) -> Any:
    from pocketgan.bench.devices import find_device

    assert recipe.bench is not None
    return find_device(recipe.bench.device).describe().model_dump(mode="json")


def make_report(context: Context) -> dict[str, Any]:
    """One HTML page of all results."""
    from pocketgan.bench.report import write_report

    stage = context.recipe.report
    assert stage is not None
    write_report([context.run / "bench" / RESULTS], context.folder / REPORT, stage.title)
    return {}


DELIVERY_STAGES = (
    Stage("export", EXPORT_VERSION, export_models, inputs=("data", "teacher", "distill"), slices=("name", "data")),
    Stage("bundle", 1, pack_bundles, inputs=("export",), slices=("name",), outside=_outside_bundle),
    Stage(
        "bench", 1, measure_bundles, inputs=("bundle", "teacher", "distill"), slices=("name",), outside=_outside_bench
    ),
    Stage("report", 1, make_report, inputs=("bench",)),
)
