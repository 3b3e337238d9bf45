"""What each stage of a recipe does. Parts are imported when a stage runs."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan import console
from pocketgan.errors import DataError, require
from pocketgan.files import write_atomic
from pocketgan.pipeline import Context, Stage, read_stage
from pocketgan.recipe import Recipe, Training

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from pocketgan.training.data.paired import Pair, PairedImages
    from pocketgan.training.generators import GeneratorSpec
    from pocketgan.training.programs import Optimiser, Program

INDEX = "index.json"
GENERATOR = "generator.safetensors"
DISCRIMINATOR = "discriminator.safetensors"
STUDENT = "student.safetensors"
SAMPLE_ROWS = 4


def teacher_spec(recipe: Recipe) -> GeneratorSpec:
    """The unpruned architecture that the recipe trains."""
    from pocketgan.training.generators import spec_by_name

    stage = recipe.teacher
    assert stage is not None
    size = recipe.resolution
    return spec_by_name(stage.generator, ngf=stage.ngf, norm=stage.norm, height=size, width=size)


def check_before(recipe: Recipe) -> None:
    """Find out now what would only fail after hours: missing extras, an impossible budget, an unknown effect.

    Raises:
        PocketganError: says what to change.
    """
    from pocketgan.doctor import check_torch_pair

    if recipe.data is not None:
        require("train", "torch", "accelerate", "safetensors", "tensorboard", "cv2")
        check_torch_pair()
    if recipe.export is not None:
        extras = {"onnx": ("onnx", "onnxscript"), "executorch-xnnpack": ("executorch",), "coreml": ("coremltools",)}
        require("export", *(module for target in recipe.export.targets for module in extras[target]))
    if recipe.data is not None and recipe.data.source == "builtin":
        from pocketgan.training.teachers.filters import check_effect

        check_effect(recipe.data.effect)
    if recipe.compress is not None:
        from pocketgan.training.cost import cost_function
        from pocketgan.training.search import check_budget, check_prunable

        spec = teacher_spec(recipe)
        check_prunable(spec)
        check_budget(spec, cost_function(recipe.compress.by), recipe.compress.budget, recipe.compress.least_width)


def make_data(context: Context) -> dict[str, Any]:
    """Pairs: made from built-in photos, or found in the user's folder and checked."""
    from pocketgan.training.data.folders import content_hashes
    from pocketgan.training.data.paired import find_pairs

    stage = context.recipe.data
    assert stage is not None
    if stage.source == "folder":
        root = Path(str(stage.folder)).resolve()
        splits = find_pairs(root)
        files = [path for pairs in splits.values() for pair in pairs for path in pair.files()]
        hashes = content_hashes(files, root, {})
        names = {
            split: [[path.relative_to(root).as_posix() for path in pair.files()] for pair in pairs]
            for split, pairs in splits.items()
        }
    else:
        root, hashes = None, {}
        names = _make_builtin(context)
    index = {"root": None if root is None else str(root), "splits": names, "files": hashes}
    write_atomic(context.folder / INDEX, json.dumps(index, indent=1))
    return {split: len(pairs) for split, pairs in names.items()}


def _make_builtin(context: Context) -> dict[str, list[list[str]]]:
    import numpy as np

    from pocketgan.training.data.builtin import crops
    from pocketgan.training.data.images import write_image
    from pocketgan.training.teachers import filters

    recipe = context.recipe
    stage = recipe.data
    assert stage is not None
    names: dict[str, list[list[str]]] = {}
    with console.progress("data", stage.train_crops + stage.val_crops) as bar:
        for split, images in crops(recipe.resolution, stage.train_crops, stage.val_crops, recipe.seed).items():
            names[split] = []
            for index, image in enumerate(images):
                name = f"{split}/{index:05d}.png"
                write_image(context.folder / name, np.hstack([image, filters.apply(stage.effect, image)]))
                names[split].append([name])
                bar.advance()
    return names


def _outside_data(recipe: Recipe, run: Path) -> Any:
    """Content of the user's folder; hashes of files that have not changed since are taken from the last index."""
    stage = recipe.data
    if stage is None or stage.source != "folder":
        return None
    from pocketgan.training.data.folders import content_hashes
    from pocketgan.training.data.images import SUFFIXES

    if stage.folder is None:
        raise DataError("this recipe reads a folder of pairs; name it with --data DIR")
    root = Path(stage.folder).resolve()
    if not root.is_dir():
        raise DataError(f"there is no data folder {stage.folder}")
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    try:
        known = json.loads((run / "data" / INDEX).read_text())["files"]
    except (OSError, ValueError, KeyError):
        known = {}
    return {name: values[0] for name, values in content_hashes(files, root, known).items()}


def load_pairs(run: Path) -> dict[str, list[Pair]]:
    """The pairs that the data stage left."""
    from pocketgan.training.data.paired import Pair

    index = json.loads((run / "data" / INDEX).read_text())
    root = Path(index["root"]) if index["root"] else run / "data"
    return {
        split: [Pair(*(root / name for name in names)) for names in pairs] for split, pairs in index["splits"].items()
    }


def _datasets(context: Context, stage: Training) -> tuple[PairedImages, PairedImages]:
    from pocketgan.training.data.paired import PairedImages

    recipe = context.recipe
    assert recipe.data is not None
    pairs, size = load_pairs(context.run), (recipe.resolution, recipe.resolution)
    direction = recipe.data.direction if recipe.data.source == "folder" else "AtoB"
    train = PairedImages(pairs["train"], direction, size, stage.load_scale, stage.flip)
    return train, PairedImages(pairs["val"], direction, size)


def train_teacher(context: Context) -> dict[str, Any]:
    """Train the unpruned generator."""
    from pocketgan.training.discriminators import PatchDiscriminator
    from pocketgan.training.generators import build
    from pocketgan.training.programs.pix2pix import Pix2Pix

    recipe, stage = context.recipe, context.recipe.teacher
    assert stage is not None
    spec = teacher_spec(recipe)
    generator = build(spec, recipe.seed)
    discriminator = PatchDiscriminator(spec.input_channels + spec.output_channels, stage.ndf, seed=recipe.seed)
    program = Pix2Pix(
        generator, discriminator, stage.gan_mode, stage.lambda_l1, _optimiser(stage), stage.discriminator_learning_rate
    )
    train, val = _datasets(context, stage)
    return _train(context, stage, program, spec, generator, discriminator, train, val, {})


def search_student(context: Context) -> dict[str, Any]:
    """Prune the teacher to the budget; the student is written with fresh weights."""
    from pocketgan.training.cost import cost, cost_function
    from pocketgan.training.generators import build
    from pocketgan.training.generators.files import load_generator, save_generator
    from pocketgan.training.search import search

    recipe, stage = context.recipe, context.recipe.compress
    assert stage is not None
    teacher = load_generator(context.run / "teacher" / GENERATOR)
    found = search(teacher.module, teacher.spec, cost_function(stage.by), stage.budget, stage.least_width)
    save_generator(context.folder / STUDENT, build(found.spec, recipe.seed + 1), found.spec, {"trained": "no"})
    return {
        "cost": found.cost,
        "budget": stage.budget,
        "seconds": found.seconds,
        "evaluations": found.evaluations,
        "macs": cost(found.spec).macs,
        "teacher_macs": cost(teacher.spec).macs,
    }


def distill_student(context: Context) -> dict[str, Any]:
    """Train the student against the teacher."""
    from safetensors.torch import load_file

    from pocketgan.training.discriminators import PatchDiscriminator
    from pocketgan.training.generators.files import load_generator
    from pocketgan.training.programs.distill import Distill
    from pocketgan.training.programs.pix2pix import Pix2Pix
    from pocketgan.training.similarity import FeatureDistance

    recipe, stage = context.recipe, context.recipe.distill
    assert stage is not None
    assert recipe.teacher is not None
    teacher = load_generator(context.run / "teacher" / GENERATOR)
    student = load_generator(context.run / "compress" / STUDENT)
    discriminator = PatchDiscriminator(teacher.spec.input_channels + teacher.spec.output_channels, recipe.teacher.ndf)
    discriminator.load_state_dict(load_file(context.run / "teacher" / DISCRIMINATOR))
    task = Pix2Pix(
        student.module,
        discriminator,
        stage.gan_mode,
        stage.lambda_recon,
        _optimiser(stage),
        stage.discriminator_learning_rate,
    )
    program = Distill(task, teacher.module, FeatureDistance(stage.similarity), stage.lambda_distill)
    train, val = _datasets(context, stage)
    others = {"teacher": teacher.module}
    return _train(context, stage, program, student.spec, student.module, discriminator, train, val, others)


def _optimiser(stage: Training) -> Optimiser:
    from pocketgan.training.programs import Optimiser

    return Optimiser(("generator",), stage.learning_rate, stage.adam_betas, stage.decay)


def _train(
    context: Context,
    stage: Training,
    program: Program,
    spec: GeneratorSpec,
    generator: nn.Module,
    discriminator: nn.Module,
    train: PairedImages,
    val: PairedImages,
    others: Mapping[str, nn.Module],
) -> dict[str, Any]:
    """Fit, write the networks, and say how close the validation pictures are."""
    from safetensors.torch import save

    from pocketgan.training.fit import CHECKPOINT, FitOptions, fit
    from pocketgan.training.generators.files import load_generator, save_generator
    from pocketgan.training.processes import join
    from pocketgan.training.quality.distance import l1_distance

    accelerator = join(stage.precision)
    finished = context.folder / GENERATOR
    if not context.processes.agree(finished.is_file()):
        options = FitOptions(
            stage.steps,
            stage.batch_size,
            context.recipe.seed,
            stage.checkpoint_every,
            stage.sample_every,
            average_decay=stage.average_decay,
        )
        label = context.folder.name.removesuffix(".partial")
        fit(
            program, train, options, context.folder, label, accelerator, lambda p: _overview(p, val, accelerator.device)
        )
        if context.processes.first:
            # The generator comes last: where it is, the training is over.
            state = {name: tensor.cpu().contiguous() for name, tensor in discriminator.state_dict().items()}
            write_atomic(context.folder / DISCRIMINATOR, save(state))
            save_generator(finished, generator, spec, {"trained": "yes", "steps": str(stage.steps)})
    if not context.processes.first:
        return {}
    (context.folder / CHECKPOINT).unlink(missing_ok=True)
    trained = load_generator(finished).module.to(accelerator.device)
    facts = {"l1": l1_distance(trained, val, accelerator.device)}
    if "teacher" in others:
        facts["teacher_l1"] = (read_stage(context.run, "teacher") or {})["facts"]["l1"]
    facts["identity_l1"] = l1_distance(lambda images: images, val, accelerator.device)
    _write_samples(context.folder, val, {"output": trained, **{n: m.to(accelerator.device) for n, m in others.items()}})
    return facts


def _overview(program: Program, val: PairedImages, device: Any) -> np.ndarray:
    """input | target | output of the first validation pairs."""
    from pocketgan.training.data.images import grid, to_pixels

    rows = []
    for index in range(min(SAMPLE_ROWS, len(val))):
        pair = val.whole(index)
        output = program.output(pair["input"][None].to(device))[0]
        rows.append([to_pixels(image) for image in (pair["input"], pair["target"], output)])
    return grid(rows)


def _write_samples(folder: Path, val: PairedImages, networks: Mapping[str, nn.Module]) -> None:
    """`rows/<i>/<column>.png` for the report."""
    import torch

    from pocketgan.training.data.images import to_pixels, write_image

    for row in range(min(SAMPLE_ROWS, len(val))):
        # Spread over the validation set, one further each time: built-in crops go round the photos.
        pair = val.whole((row * len(val) // SAMPLE_ROWS + row) % len(val))
        images = dict(pair)
        with torch.no_grad():
            for name, network in networks.items():
                device = next(network.parameters()).device
                images[name] = network(pair["input"][None].to(device))[0]
        for name, image in images.items():
            write_image(folder / "rows" / str(row) / f"{name}.png", to_pixels(image))


def read_samples(folder: Path) -> list[dict[str, str]]:
    """The rows that a training stage left, PNG in base64 by column."""
    rows = []
    for row in sorted((folder / "rows").glob("*")):
        rows.append({p.stem: base64.b64encode(p.read_bytes()).decode() for p in sorted(row.glob("*.png"))})
    return rows


TRAINING_STAGES = (
    Stage("data", 1, make_data, outside=_outside_data),
    Stage("teacher", 1, train_teacher, inputs=("data",), slices=("data",), parallel=True),
    Stage("compress", 1, search_student, inputs=("teacher",)),
    Stage(
        "distill", 1, distill_student, inputs=("data", "teacher", "compress"), slices=("data", "teacher"), parallel=True
    ),
)
