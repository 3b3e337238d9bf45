"""What the stages that train share: fitting, the files that are left, and how close the pictures are."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan.errors import ModelError
from pocketgan.files import write_atomic
from pocketgan.pipeline.choosing import check_counts, course, measuring, training_images
from pocketgan.pipeline.drawn import learns_from_pictures, learnt_images
from pocketgan.pipeline.images import load_images, whole_photos
from pocketgan.pipeline.kept import MORE_STEPS
from pocketgan.pipeline.labelled import unlabelled_inputs
from pocketgan.pipeline.networks import GENERATOR, fresh_generator, input_multiple, input_shape, teacher_spec
from pocketgan.pipeline.processes import world_size
from pocketgan.pipeline.samples import overview, write_samples
from pocketgan.pipeline.stage import Context, facts_of
from pocketgan.recipe.recipe import Recipe
from pocketgan.recipe.sections import Training

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from pocketgan.training.data.samples import Pictures
    from pocketgan.training.generators import GeneratorSpec
    from pocketgan.training.programs.method import Task


@dataclass(frozen=True)
class GeneratorFile:
    """How a generator is written, with facts about it, and read again."""

    save: Callable[[Path, Mapping[str, str]], None]
    load: Callable[[Path], nn.Module]


def file_of_spec(generator: nn.Module, spec: Any) -> GeneratorFile:
    """The model file of a generator that is built from a spec."""
    from pocketgan.training.generators.files import load_generator, save_generator

    return GeneratorFile(
        lambda path, facts: save_generator(path, generator, spec, facts), lambda path: load_generator(path).module
    )


def teacher_file(recipe: Recipe, generator: nn.Module) -> GeneratorFile:
    """The teacher's file: a model file, or the weights alone where the network is the user's own."""
    stage = recipe.teacher
    assert stage is not None
    if not stage.is_own:
        return file_of_spec(generator, teacher_spec(recipe))
    from pocketgan.training.generators.own import load_weights, save_own

    function, shape = stage.generator, input_shape(recipe)
    return GeneratorFile(
        lambda path, facts: save_own(path, generator, function, shape, facts),
        lambda path: load_weights(fresh_generator(recipe, recipe.seed), path, function),
    )


def trained_teacher(recipe: Recipe, run: Path) -> nn.Module | None:
    """The teacher that the stage `teacher` left, in eval mode; None where it left its pictures alone."""
    from pocketgan.training.generators.files import load_generator
    from pocketgan.training.generators.own import call_function, load_weights

    stage, path = recipe.teacher, run / "teacher" / GENERATOR
    assert stage is not None
    if stage.is_foreign:
        return None
    if stage.is_own:
        return load_weights(call_function(stage.generator, seed=recipe.seed), path, stage.generator)
    return load_generator(path).module


def check_trainable(section: str, stage: Training, called: str, whole: GeneratorSpec) -> None:
    """Raises ModelError where the network, or what is pruned from it, cannot be trained as the section says.

    Args:
        section: its name.
        called: what the recipe calls the network.
        whole: its architecture, at the recipe's size.
    """
    from pocketgan.training.generators import check, smallest_norm, takes_dropout

    spec = whole.at(*(stage.crop_size or (whole.height, whole.width)))
    check(spec)
    if stage.dropout and not takes_dropout(spec):
        raise ModelError(f"{section}.dropout is of unet128 and unet256; {called} has none")
    batch = spec.norm.startswith("batch")
    if smallest_norm(spec) > 1 or (batch and stage.batch_size // world_size() > 1):
        return
    raise ModelError(
        f"at {spec.height}x{spec.width} the smallest map of {called} has one pixel, of which "
        f"{'batch' if batch else 'instance'} norm makes nothing: choose a larger resolution"
        + (", or a batch_size of at least 2 a process" if batch else ", or batch norm")
    )


def train(context: Context, stage: Training, task: Task, file: GeneratorFile) -> dict[str, Any]:
    """Fit, write the networks, and say how close the validation pictures are."""
    from safetensors.torch import save

    from pocketgan.training.evaluations import BEST
    from pocketgan.training.fit import CHECKPOINT, FitOptions, fit
    from pocketgan.training.processes import join

    accelerator = join(stage.precision)
    check_counts(context.recipe, context.run)
    train, kept = training_images(context.recipe, context.run, stage)
    val = learnt_images(context.recipe, context.run, "val")
    finished = context.folder / GENERATOR
    if not context.processes.agree(finished.is_file()):
        options = FitOptions(
            stage.steps,
            stage.batch_size,
            context.recipe.seed,
            stage.checkpoint_every,
            stage.sample_every,
            average_decay=stage.average_decay,
            keep_last=not stage.decay,
            unlabelled_batch_size=stage.unlabelled_batch_size or stage.batch_size,
        )
        label = context.folder.name.removesuffix(".partial")
        picture = partial(overview, val=val, device=accelerator.device)
        watched = None
        if kept is not None and context.processes.first:
            watched = measuring(context, stage, task, kept, accelerator.device)
        unlabelled = unlabelled_inputs(context.recipe, context.run, stage)
        fit(task.program, train, options, context.folder, label, accelerator, picture, watched, unlabelled)
        if context.processes.first:
            # The generator comes last: where it is, the training is over.
            for name, network in task.kept.items():
                state = {key: tensor.cpu().contiguous() for key, tensor in network.state_dict().items()}
                write_atomic(context.folder / f"{name}.safetensors", save(state))
            steps = stage.steps if kept is None else course(context, stage)["shipped_step"]
            file.save(finished, {"trained": "yes", "steps": str(steps)})
    if not context.processes.first:
        return {}
    checkpoint = context.folder / CHECKPOINT
    if checkpoint.is_file() and not stage.decay:
        checkpoint.replace(context.folder / MORE_STEPS)
    checkpoint.unlink(missing_ok=True)
    if stage.decay:
        shutil.rmtree(context.folder / BEST, ignore_errors=True)
    trained = file.load(finished).to(accelerator.device)
    networks = {"output": trained, **{name: module.to(accelerator.device) for name, module in task.shown.items()}}
    if learns_from_pictures(context.recipe):
        write_samples(context.folder, val, [], networks, target="teacher")
    else:
        write_samples(context.folder, val, whole_photos(context.run, input_multiple(context.recipe)), networks)
    facts = _distances(context, task, trained, val, accelerator.device)
    return facts if kept is None else {**facts, "evaluations": course(context, stage)}


def _distances(context: Context, task: Task, trained: nn.Module, val: Pictures, device: torch.device) -> dict[str, Any]:
    """L1 distances on validation images: to the data's targets, to the teacher's pictures, there and back."""
    from pocketgan.training.programs.method import GENERATOR_BACK
    from pocketgan.training.quality.distance import l1_between, l1_distance

    recipe, teacher, distances = context.recipe, task.shown.get("teacher"), {}
    assert recipe.data is not None
    assert recipe.teacher is not None
    whole = load_images(recipe, context.run, "val")
    if whole.paired:
        distances["l1"] = l1_distance(trained, whole, device)
        if "l1" in facts_of(context.run, "teacher"):
            distances["teacher_l1"] = facts_of(context.run, "teacher")["l1"]
        if recipe.data.kind == "paired":
            distances["identity_l1"] = l1_distance(_itself, whole, device)
    if learns_from_pictures(recipe):
        distances["to_teacher_l1"] = l1_distance(trained, val, device)
        distances["identity_to_teacher_l1"] = l1_distance(_itself, val, device)
    elif teacher is not None and (not whole.paired or recipe.teacher.is_given):
        distances["to_teacher_l1"] = l1_between(trained, teacher, val, device)
        if recipe.teacher.is_given and recipe.data.kind != "label":
            distances["identity_to_teacher_l1"] = l1_between(_itself, teacher, val, device)
    elif not whole.paired:
        there_and_back = task.kept[GENERATOR_BACK].to(device).eval()
        distances["cycle_l1"] = l1_between(lambda images: there_and_back(trained(images)), _itself, val, device)
    return distances


def _itself(images: Tensor) -> Tensor:
    return images
