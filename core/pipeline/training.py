"""What the stages that train share: fitting, the files that are left, and how close the pictures are."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan.files import write_atomic
from pocketgan.pipeline.choosing import check_counts, course, measuring, training_images
from pocketgan.pipeline.images import load_images, whole_photos
from pocketgan.pipeline.kept import MORE_STEPS
from pocketgan.pipeline.networks import GENERATOR, input_multiple
from pocketgan.pipeline.samples import overview, write_samples
from pocketgan.pipeline.stage import Context, facts_of
from pocketgan.recipe.sections import Training

if TYPE_CHECKING:
    import torch
    from torch import nn

    from pocketgan.training.data.samples import Pictures
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


def train(context: Context, stage: Training, task: Task, file: GeneratorFile) -> dict[str, Any]:
    """Fit, write the networks, and say how close the validation pictures are."""
    from safetensors.torch import save

    from pocketgan.training.evaluations import BEST
    from pocketgan.training.fit import CHECKPOINT, FitOptions, fit
    from pocketgan.training.processes import join

    accelerator = join(stage.precision)
    check_counts(context.recipe, context.run)
    train, kept = training_images(context.recipe, context.run, stage)
    val = load_images(context.recipe, context.run, "val")
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
        )
        label = context.folder.name.removesuffix(".partial")
        picture = partial(overview, val=val, device=accelerator.device)
        watched = None
        if kept is not None and context.processes.first:
            watched = measuring(context, stage, task, kept, accelerator.device)
        fit(task.program, train, options, context.folder, label, accelerator, picture, watched)
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
    write_samples(context.folder, val, whole_photos(context.run, input_multiple(context.recipe)), networks)
    facts = _distances(context, task, trained, val, accelerator.device)
    return facts if kept is None else {**facts, "evaluations": course(context, stage)}


def _distances(context: Context, task: Task, trained: nn.Module, val: Pictures, device: torch.device) -> dict[str, Any]:
    """L1 distances on validation images: to the target of pairs, else of what there is to compare with."""
    from pocketgan.training.programs.method import GENERATOR_BACK
    from pocketgan.training.quality.distance import l1_between, l1_distance

    teacher = task.shown.get("teacher")
    if not val.paired:
        if teacher is not None:
            return {"to_teacher_l1": l1_between(trained, teacher, val, device)}
        there_and_back = task.kept[GENERATOR_BACK].to(device).eval()
        return {"cycle_l1": l1_between(lambda images: there_and_back(trained(images)), lambda x: x, val, device)}
    distances = {"l1": l1_distance(trained, val, device)}
    if teacher is not None:
        distances["teacher_l1"] = facts_of(context.run, "teacher")["l1"]
    if context.recipe.data is not None and context.recipe.data.kind == "paired":
        distances["identity_l1"] = l1_distance(lambda images: images, val, device)
    return distances
