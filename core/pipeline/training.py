"""The stages that train: teacher and student."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan.files import sha256_file, write_atomic
from pocketgan.pipeline.data import training_data
from pocketgan.pipeline.programs import DISCRIMINATOR, Task, fresh_generator, student_task, teacher_spec, teacher_task
from pocketgan.pipeline.running import Context, read_stage
from pocketgan.recipe.recipe import Recipe
from pocketgan.recipe.sections import Training

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from pocketgan.training.data.samples import Pictures
    from pocketgan.training.programs import Program

GENERATOR = "generator.safetensors"
STUDENT = "student.safetensors"
SAMPLE_ROWS = 4


@dataclass(frozen=True)
class _Model:
    """How a generator is written and read again."""

    save: Callable[[Path, Mapping[str, str]], None]
    load: Callable[[Path], nn.Module]


def train_teacher(context: Context) -> dict[str, Any]:
    """Train the unpruned generator."""
    recipe, stage = context.recipe, context.recipe.teacher
    assert stage is not None
    assert recipe.data is not None
    generator = fresh_generator(recipe, recipe.seed)
    task = teacher_task(recipe, generator, recipe.data.input_channels)
    return _train(context, stage, task, _teacher_model(recipe, generator))


def distill_student(context: Context) -> dict[str, Any]:
    """Train the student against the teacher."""
    from pocketgan.training.generators.files import load_generator

    recipe, stage = context.recipe, context.recipe.distill
    assert stage is not None
    teacher = load_generator(context.run / "teacher" / GENERATOR)
    student = load_generator(context.run / "compress" / STUDENT)
    inherited = context.run / "teacher" / f"{DISCRIMINATOR}.safetensors"
    task = student_task(recipe, student.module, teacher.module, inherited, student.spec.input_channels)
    return _train(context, stage, task, _model_of_spec(student.module, student.spec))


def outside_training(recipe: Recipe, run: Path) -> Any:
    """Content of what the training reads outside the run: VGG weights, the file of the user's own generator."""
    stage = recipe.teacher
    assert stage is not None
    files = []
    if stage.program == "gaugan" and stage.lambda_vgg and stage.vgg_weights is not None:
        files.append(Path(stage.vgg_weights))
    if stage.is_own:
        from pocketgan.training.generators.own import source_file

        files.append(source_file(stage.generator))
    return [sha256_file(path) for path in files if path.is_file()] or None


def _teacher_model(recipe: Recipe, generator: nn.Module) -> _Model:
    from pocketgan.training.generators.own import load_weights, save_own

    stage = recipe.teacher
    assert stage is not None
    assert recipe.data is not None
    if not stage.is_own:
        return _model_of_spec(generator, teacher_spec(recipe))
    function, shape = stage.generator, (recipe.data.input_channels, *recipe.size)

    def load(path: Path) -> nn.Module:
        return load_weights(fresh_generator(recipe, recipe.seed), path, function)

    return _Model(lambda path, facts: save_own(path, generator, function, shape, facts), load)


def _model_of_spec(generator: nn.Module, spec: Any) -> _Model:
    from pocketgan.training.generators.files import load_generator, save_generator

    return _Model(
        lambda path, facts: save_generator(path, generator, spec, facts), lambda path: load_generator(path).module
    )


def _train(context: Context, stage: Training, task: Task, model: _Model) -> dict[str, Any]:
    """Fit, write the networks, and say how close the validation pictures are."""
    from safetensors.torch import save

    from pocketgan.training.fit import CHECKPOINT, FitOptions, fit
    from pocketgan.training.processes import join

    accelerator = join(stage.precision)
    train, val = training_data(context, stage)
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
        overview = partial(_overview, val=val, device=accelerator.device)
        fit(task.program, train, options, context.folder, label, accelerator, overview)
        if context.processes.first:
            # The generator comes last: where it is, the training is over.
            for name, network in task.kept.items():
                state = {key: tensor.cpu().contiguous() for key, tensor in network.state_dict().items()}
                write_atomic(context.folder / f"{name}.safetensors", save(state))
            model.save(finished, {"trained": "yes", "steps": str(stage.steps)})
    if not context.processes.first:
        return {}
    (context.folder / CHECKPOINT).unlink(missing_ok=True)
    trained = model.load(finished).to(accelerator.device)
    networks = {"output": trained, **{name: module.to(accelerator.device) for name, module in task.shown.items()}}
    _write_samples(context.folder, val, networks)
    return _facts(context, task, trained, val, accelerator.device)


def _facts(context: Context, task: Task, trained: nn.Module, val: Pictures, device: torch.device) -> dict[str, Any]:
    """L1 distances on validation images: to the target of pairs, else of what there is to compare with."""
    from pocketgan.training.quality.distance import l1_between, l1_distance

    teacher = task.shown.get("teacher")
    if not val.paired:
        back = task.kept.get("generator_back")
        if teacher is not None:
            return {"to_teacher_l1": l1_between(trained, teacher, val, device)}
        assert back is not None
        there_and_back = back.to(device).eval()
        return {"cycle_l1": l1_between(lambda images: there_and_back(trained(images)), lambda x: x, val, device)}
    facts = {"l1": l1_distance(trained, val, device)}
    if teacher is not None:
        facts["teacher_l1"] = (read_stage(context.run, "teacher") or {})["facts"]["l1"]
    if context.recipe.data is not None and context.recipe.data.kind == "paired":
        facts["identity_l1"] = l1_distance(lambda images: images, val, device)
    return facts


def _overview(program: Program, val: Pictures, device: torch.device) -> np.ndarray:
    """input | target | output of the first validation images."""
    from pocketgan.training.data.images import grid

    rows = []
    for index in range(min(SAMPLE_ROWS, len(val))):
        pair = val.whole(index)
        rows.append([*_columns(val, {**pair, "output": program.output(pair["input"][None].to(device))[0]}).values()])
    return grid(rows)


def _columns(val: Pictures, images: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Pixels of a row of pictures; an unpaired target is unrelated and left out."""
    from pocketgan.training.data.images import to_pixels

    shown = {name: image for name, image in images.items() if val.paired or name != "target"}
    return {name: val.view(image) if name == "input" else to_pixels(image) for name, image in shown.items()}


def _write_samples(folder: Path, val: Pictures, networks: Mapping[str, nn.Module]) -> None:
    """`rows/<i>/<column>.png` for the report."""
    import torch

    from pocketgan.training.data.images import write_image

    for row in range(min(SAMPLE_ROWS, len(val))):
        # Spread over the validation set, one further each time: built-in crops go round the photos.
        images = val.whole((row * len(val) // SAMPLE_ROWS + row) % len(val))
        with torch.no_grad():
            for name, network in networks.items():
                device = next(network.parameters()).device
                images[name] = network(images["input"][None].to(device))[0]
        for name, pixels in _columns(val, images).items():
            write_image(folder / "rows" / str(row) / f"{name}.png", pixels)


def read_samples(folder: Path) -> list[dict[str, str]]:
    """The rows that a training stage left, PNG in base64 by column."""
    rows = []
    for row in sorted((folder / "rows").glob("*")):
        rows.append({p.stem: base64.b64encode(p.read_bytes()).decode() for p in sorted(row.glob("*.png"))})
    return rows
