"""The stage `bench`: all bundles measured in turns on the recipe's device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pocketgan.errors import DeviceError
from pocketgan.pipeline.adapt import PHOTOS
from pocketgan.pipeline.roles import bundle_name, roles, trained_in
from pocketgan.pipeline.samples import read_samples
from pocketgan.pipeline.stage import Context, Stage, facts_of
from pocketgan.recipe.recipe import Recipe

RESULTS = "results.jsonl"


def _check(recipe: Recipe) -> None:
    """The device is there, and runs something of what will be exported."""
    from pocketgan.bench.devices import find_device
    from pocketgan.bench.jobs import fitting_targets

    assert recipe.bench is not None
    if recipe.bench.device == "web":
        raise DeviceError(
            "bench.device web waits for somebody with a phone, and a run must come to its end alone: leave it out, and "
            "measure the bundles of the run with pocketgan bench --device web"
        )
    device = find_device(recipe.bench.device)
    fitting = fitting_targets(device)
    if recipe.export is not None and not set(recipe.export.targets) & set(fitting):
        raise DeviceError(
            f"bench.device {device.name} runs nothing of export.targets ({', '.join(recipe.export.targets)}); it runs "
            f"{' and '.join(fitting) or 'nothing here'}"
        )


def _outside(recipe: Recipe, run: Path) -> Any:
    """What the device is."""
    from pocketgan.bench.devices import find_device

    assert recipe.bench is not None
    return find_device(recipe.bench.device).describe().model_dump(mode="json")


def _measure_bundles(context: Context) -> dict[str, Any]:
    from pocketgan.bench.devices import find_device
    from pocketgan.bench.jobs import JobOptions
    from pocketgan.bench.journal import SampleRow
    from pocketgan.bench.schema.job import Warmup
    from pocketgan.bench.session import measure

    recipe, stage = context.recipe, context.recipe.bench
    assert stage is not None
    digests = facts_of(context.run, "bundle")
    samples, galleries = {}, {}
    for role in roles(recipe):
        made_by, digest = trained_in(recipe, role), digests.get(bundle_name(recipe, role))
        if made_by is not None and digest is not None:
            samples[digest] = [SampleRow(**row) for row in read_samples(context.run / made_by)]
        if made_by == "adapt" and digest is not None:
            from pocketgan.gallery import photo_gallery

            pack = context.run / "bundle" / f"{bundle_name(recipe, role)}.pgb"
            galleries[digest] = photo_gallery(pack, context.run / made_by / PHOTOS)
    options = JobOptions(
        mode=stage.mode,
        iterations=stage.iterations,
        rounds=stage.rounds,
        warmup=Warmup(iterations=stage.warmup_iterations),
        threads=stage.threads,
        runs=stage.runs,
        duration_s=stage.duration_s,
    )
    bundles = [context.run / "bundle" / f"{bundle_name(recipe, role)}.pgb" for role in roles(recipe)]
    results = measure(
        bundles, find_device(stage.device), options, context.folder / RESULTS, samples, galleries, resume=True
    )
    return {"results": len(results), "errors": [error for result in results for error in result.errors]}


STAGE = Stage(
    "bench",
    1,
    _measure_bundles,
    inputs=("bundle", "teacher", "distill", "adapt"),
    slices=("name",),
    outside=_outside,
    check=_check,
)
