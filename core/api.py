"""What the commands do, as plain functions for notebooks and programs: `from pocketgan import api`.

Parts are imported when a function that needs them is called; a part that is not installed is a `MissingExtraError` that
names the extra. Every mistake that a caller can make is a `PocketganError` of one line (`pocketgan.errors`). Long work
shows its progress on standard error, in a notebook below the cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from pocketgan.api_bench import bench, compare, listed, report
from pocketgan.api_concepts import FilePath, adapt, adapt_concepts, merge
from pocketgan.outcomes import ExportedBundle, GateDecision, MergedConcept, Verification

if TYPE_CHECKING:
    import numpy as np

    from pocketgan.bundle.manifest import Role
    from pocketgan.bundle.reader import Bundle
    from pocketgan.latency.search import SearchedStudent
    from pocketgan.models import Model, ModelCost
    from pocketgan.pipeline.way import RunSummary
    from pocketgan.recipe.recipe import Recipe

__all__ = [
    "ExportedBundle", "GateDecision", "MergedConcept", "Verification", "adapt", "adapt_concepts", "apply", "bench",
    "compare", "cost", "export", "load_recipe", "merge", "open_bundle", "report", "run", "search", "verify",
]  # fmt: skip

# Of the bundle that `export` makes, by where the model came from.
_ROLES: dict[str, Role] = {"file": "student", "spec": "unpruned", "function": "foreign", "module": "foreign"}
Shape = tuple[int, int, int]


def cost(model: Model, *, input: Shape | None = None, ngf: int | None = None, norm: str | None = None) -> ModelCost:
    """Parameters and MACs of a generator at batch 1, true and as papers count them.

    Args:
        model: a generator's name, a model file, `package.module:function`, a spec, a module, an ONNX file, which is
            counted by its graph, or a bundle, which says what its model costs.
        input: (channels, height, width); the paper's size, or the file's, where None. A module needs it, and an ONNX
            file whose input is open.
        ngf, norm: of a generator's name; the paper's where None.
    Raises:
        ModelError: the model cannot be used, or does not take that input.
    """
    from pocketgan.errors import ModelError, require
    from pocketgan.models import cost_of, cost_of_finished, find_source

    if isinstance(model, str | PathLike) and Path(model).suffix.lower() in (".onnx", ".pgb"):
        if ngf is not None or norm is not None:
            raise ModelError(f"--ngf and --norm go with a generator's name, not with {model}")
        return cost_of_finished(Path(model), input)
    require("train", "torch", "safetensors")
    with ExitStack() as stack:
        return cost_of(find_source(stack, model, input, ngf, norm))


def search(
    teacher: Model,
    budget: str | float,
    *,
    out: FilePath | None = None,
    by: str = "macs_by_output",
    target: str | None = None,
    threads: int = 1,
    widths: str | None = None,
    least_width: int = 16,
    input: Shape | None = None,
    ngf: int | None = None,
    norm: str | None = None,
    seed: int = 0,
    inherit: bool = False,
    refresh: bool = False,
) -> SearchedStudent:
    """One-step search (CAT): prune a teacher to a budget.

    Args:
        teacher: a model file, or a generator's name or spec (fresh, seeded).
        budget: largest cost of the student, such as "2.6G", or "12ms" by latency.
        out: file of the student, ready to be distilled; none is written where None.
        by: macs_by_output (the papers' count), macs, params or latency.
        target: suit the student to this exported form on this device, such as onnx.
        threads: of the target's runtime.
        widths: multiples of 1, 4, 8 or 16, or "auto": what pays on the target, its default.
        least_width: channels that layers outside of the blocks keep.
        seed: of fresh weights.
        inherit: keep the teacher's surviving weights; fresh ones otherwise.
        refresh: time the device's layers again.
    Raises:
        BudgetError: the budget is none, or out of reach.
        ModelError: the teacher cannot be used or pruned.
        DeviceError, ExportError: the target's latency cannot be measured here.
    """
    from pocketgan.errors import require

    require("train", "torch", "safetensors")
    from pocketgan.latency.search import Wish, parse_budget, search_student
    from pocketgan.models import find_source

    limit = parse_budget(str(budget), by)
    wish = Wish(by, limit, least_width=least_width, widths=widths, target=target, threads=threads, refresh=refresh)
    with ExitStack() as stack:
        source = find_source(stack, teacher, input, ngf, norm)
        return search_student(source, wish, None if out is None else Path(out), seed=seed, inherit=inherit)


def export(
    model: Model,
    targets: str | Sequence[str],
    out: FilePath,
    *,
    precisions: str | Sequence[str] | None = None,
    input: Shape | None = None,
    ngf: int | None = None,
    name: str | None = None,
    io: str | Sequence[str] = "tensor",
    calibration: FilePath | np.ndarray | None = None,
    ios: int | None = None,
    soc: str | None = None,
    floor: float | None = None,
    concepts: FilePath | None = None,
    default: str | None = None,
    workers: int = 2,
) -> ExportedBundle:
    """Export a model to runtime files, each measured against the model, as one bundle.

    What cannot be (an unknown target, a missing package, int8 without `calibration`) is told before anything is
    lowered. An entry that fails later leaves the others: they are written, and `failed` of the answer names it.

    Args:
        model: a model file, a generator's name or spec, `package.module:function`, or a module, which is not changed.
        targets: such as "onnx" or ["onnx", "coreml"].
        out: a `.pgb` file, or the folder of the unpacked bundle; whole or not there.
        precisions: each where a target has it; each target's own default where None.
        input: (channels, height, width); a module or a function needs it.
        name: of the bundle; the model's where None.
        io: "tensor" (NCHW float32 in [-1, 1]), "image" (uint8 RGB in and out), or both.
        calibration: real inputs for integer activations: a folder, or (n, c, h, w) float32 in [-1, 1].
        ios: oldest iOS for Core ML.
        soc: Qualcomm's name of the phone's chip.
        floor: parity in dB below which an entry is refused; each precision's own where None.
        concepts: a folder of the model's adapters: the bundle becomes a pack, which draws all of their concepts.
        default: the concept that a pack draws where none is asked for; the first by its file's name where None.
        workers: exporting processes at most. A module is exported in this one.
    Raises:
        ExportError: a target or precision is unknown or lacks something, or no target can express the model.
        ModelError: the model cannot be used, or an adapter is none of its own.
        ParityError: no file computes what the model computes, which fresh weights of our own families need not.
    """
    from pocketgan.errors import ExportError, require

    require("export", "torch", "safetensors")
    from pocketgan.bundle.naming import bundle_name
    from pocketgan.bundle.packing import packed
    from pocketgan.concept_packs import open_pack
    from pocketgan.export.bundles import BundleRequest, export_possible
    from pocketgan.export.calibration import load_calibration
    from pocketgan.export.forms import check_forms
    from pocketgan.export.golden import check_contracts
    from pocketgan.export.packs.writing import check_pack
    from pocketgan.export.source import source_shape
    from pocketgan.models import cost_of, find_source
    from pocketgan.targets import pairs

    path, forms, contracts = Path(out), pairs(listed(targets), precisions and listed(precisions)), listed(io)
    check_contracts(contracts)
    if concepts is not None:
        check_pack(forms, ios)
    check_forms(forms, calibrated=calibration is not None, ios=ios, soc=soc)
    if default is not None and concepts is None:
        raise ExportError("--default names one of the concepts of a pack: --concepts DIR")
    with ExitStack() as stack:
        source = find_source(stack, model, input, ngf)
        pack = None if concepts is None else stack.enter_context(open_pack(source, Path(concepts), default))
        if isinstance(calibration, str | PathLike):
            calibration = load_calibration(Path(calibration), source_shape(source))
        folder = stack.enter_context(packed(path)) if path.suffix == ".pgb" else path
        request = BundleRequest(
            model=source if pack is None else pack.base,
            folder=folder,
            name=bundle_name(name, str(model) if isinstance(model, str | PathLike) else source.called),
            role=_ROLES[source.kind],
            targets=forms,
            io=contracts,
            cost=cost_of(source).total,
            calibration=calibration,
            ios=ios,
            soc=soc,
            floor=floor,
        )
        manifest, failures = export_possible(request, workers) if pack is None else pack.export(request, workers)
    return ExportedBundle(path, manifest, {entry: str(error) for entry, error in failures.items()})


def open_bundle(path: FilePath) -> Bundle:
    """Open a `.pgb` file or an unpacked bundle; use it in a `with` statement.

    Raises:
        BundleError: there is no bundle, or it is damaged, hostile, incomplete or of a newer format.
    """
    from pocketgan.bundle import reader

    return reader.open_bundle(Path(path))


def verify(
    bundle: FilePath, *, entry: str | None = None, concept: str | Sequence[str] | None = None, device: str = "local"
) -> Verification:
    """Run every entry that the device can run, or one, and compare it with its golden outputs.

    Args:
        concept: of a pack, one or several; all where None.
    Raises:
        BundleError: the bundle is damaged, or has no such concept.
        DeviceError: the device can run none of its entries.
    """
    from pocketgan.bench.check import left_out, unproven, verify_bundle
    from pocketgan.bench.devices import find_device
    from pocketgan.bench.jobs import EVERY_CONCEPT

    path, where = Path(bundle), find_device(device)
    concepts = (EVERY_CONCEPT,) if concept is None else tuple(listed(concept))
    problems = verify_bundle(path, where, entry, concepts)
    skipped = left_out(path, where) if entry is None else {}
    return Verification(tuple(problems), skipped, unproven(path, entry, concepts))


def load_recipe(source: FilePath, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe from a file, or by the name of a shipped one.

    Args:
        settings: overrides such as "teacher.steps=50".
    Raises:
        RecipeError: names file, line, field and what was expected, one line a problem.
    """
    from pocketgan.recipe import reading

    return reading.load_recipe(str(source), settings)


def run(
    recipe: Recipe | FilePath,
    *,
    out: FilePath | None = None,
    data: FilePath | None = None,
    until: str | None = None,
    restart: bool = False,
    workers: int | None = None,
    address: str | None = None,
) -> RunSummary:
    """The whole way from images to a measured bundle; finished stages are skipped, killed ones resumed.

    Args:
        recipe: a recipe, its file, or the name of a shipped one.
        out: run directory; `runs/NAME` where None.
        data: folder of images, for a recipe that reads one.
        until: stop after this stage.
        restart: where a training that is there does not fit the recipe any more, discard it and train again.
        workers: of compress.method evolve, processes that judge candidates on this computer; 0 is this one alone,
            without Dask. One a core where None, for which a script must call this under `if __name__ == "__main__":`.
        address: of a Dask scheduler instead, which is trusted in full: whoever reaches it runs code here.
    Raises:
        PocketganError: says what to do; finished stages stay, and no training is discarded unless `restart`.
    """
    from pocketgan.pipeline.way import run_recipe, with_folder
    from pocketgan.pipeline.workers import WorkersWanted

    known = load_recipe(recipe) if isinstance(recipe, str | PathLike) else recipe
    if data is not None:
        known = with_folder(known, Path(data))
    run = Path("runs") / known.name if out is None else Path(out)
    return run_recipe(known, run, until, restart=restart, workers=WorkersWanted(workers, address))


def apply(
    model: FilePath,
    images: FilePath,
    out: FilePath,
    *,
    entry: str | None = None,
    concept: str | None = None,
    recipe: Recipe | FilePath | None = None,
) -> list[Path]:
    """See what a model does to pictures: one PNG a picture, of its size, in a new folder.

    Args:
        model: a model file, or a bundle.
        images: a folder of pictures, or one picture.
        entry: of a bundle; the one that runs best here where None. concept: of a pack; its default where None.
        recipe: `images` is its data folder: the validation images are taken, and written to `output/`, their targets to
            `target/`, class maps to `label/`, as `pocketgan quality` compares them.
    Returns:
        The pictures that the model made.
    Raises:
        DataError, ModelError, BundleError: the model or the pictures cannot be used, or `out` is not empty.
    """
    from pocketgan.apply import apply_to_folder

    known = load_recipe(recipe) if isinstance(recipe, str | PathLike) else recipe
    return apply_to_folder(Path(model), Path(images), Path(out), entry, known, concept)
