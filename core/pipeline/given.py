"""A teacher that is trained already: taken as it is, and shown on the recipe's images as one that was trained here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan import console
from pocketgan.bundle.manifest import Origin
from pocketgan.errors import ModelError
from pocketgan.files import sha256_file
from pocketgan.foreign.output_range import ASSUMED, OutputRange, Range
from pocketgan.pipeline.drawn import draw_pictures, drawn_pairs, input_count
from pocketgan.pipeline.images import load_images, whole_photos
from pocketgan.pipeline.networks import GENERATOR, fresh_generator, input_channels, input_multiple, named_generator
from pocketgan.pipeline.prompts import has_concepts, prompted, read_texts
from pocketgan.pipeline.samples import write_samples
from pocketgan.pipeline.stage import Context
from pocketgan.pipeline.training import teacher_file
from pocketgan.recipe.recipe import Recipe
from pocketgan.recipe.sections import TeacherStage

if TYPE_CHECKING:
    import torch
    from torch import nn

    from pocketgan.training.data.samples import Pictures
    from pocketgan.training.generators import GeneratorSpec

# Pictures that a teacher is judged by, and the deviation of its values below which a picture is one colour.
_LOOKS = 8
_ONE_COLOUR = 0.02


def check_channels(recipe: Recipe, spec: GeneratorSpec) -> None:
    """Raises ModelError where a trained teacher does not take what the data give, or gives no pictures."""
    assert recipe.teacher is not None
    there = input_channels(recipe)
    if spec.input_channels != there:
        raise ModelError(
            f"{recipe.teacher.weights} takes {spec.input_channels} channels, and the recipe's data give {there}"
        )
    if spec.output_channels != 3:
        raise ModelError(f"{recipe.teacher.weights} gives {spec.output_channels} channels; pictures have 3")


def check_foreign(recipe: Recipe) -> None:
    """Raises ModelError where the file that only a runtime can run does not take the recipe's images."""
    from pocketgan.foreign.teacher import open_teacher

    assert recipe.teacher is not None
    assert recipe.teacher.weights is not None
    with open_teacher(recipe.teacher.weights, recipe.size, value_range=recipe.teacher.range):
        pass


def given_network(recipe: Recipe) -> nn.Module:
    """The trained teacher in eval mode: of a file, or as the user's own function gives it.

    Raises:
        ModelError: the file cannot be used, or does not fit the function.
    """
    from pocketgan.training.trained import load_state, load_trained

    stage = recipe.teacher
    assert stage is not None
    path = None if stage.weights is None else Path(stage.weights)
    if stage.is_own:
        network = fresh_generator(recipe, recipe.seed)
        return network.eval() if path is None else load_state(network, path, stage.generator)
    assert path is not None
    return load_trained(path, named_generator(stage), recipe.size).module


def take_teacher(context: Context) -> dict[str, Any]:
    """Leave the teacher's file or its pictures, samples, how close its pictures are, and where it came from."""
    from pocketgan.training.quality.distance import l1_distance, l1_of_targets
    from pocketgan.training.quality.evaluate import choose_device

    recipe, folder = context.recipe, context.folder
    stage = recipe.teacher
    assert stage is not None
    val = load_images(recipe, context.run, "val")
    if stage.is_foreign:
        origin = draw_pictures(recipe, context.run, folder)
        drawn = drawn_pairs(recipe, folder, "val")
        write_samples(folder, drawn, [], {}, target="output")
        return {"origin": origin, **({"l1": l1_of_targets(drawn, val)} if val.paired else {})}
    device = choose_device("auto")
    taken = given_network(recipe)
    _check_texts(recipe, context.run)
    network = prompted(recipe, context.run, taken).to(device)
    called = stage.generator if stage.is_own else str(stage.weights)
    _look_at_outputs(called, network, load_images(recipe, context.run, "train"), device)
    write_samples(folder, val, whole_photos(context.run, input_multiple(recipe)), {"output": network})
    facts = {"origin": _origin(stage), **({"l1": l1_distance(network, val, device)} if val.paired else {})}
    teacher_file(recipe, context.run, taken).save(folder / GENERATOR, {"trained": "yes"})
    return facts


def _check_texts(recipe: Recipe, run: Path) -> None:
    """Raises ModelError where a base was trained with other features of texts than the data stage left."""
    from pocketgan.training.generators.files import load_generator
    from pocketgan.training.text.concept import check_encoder

    if has_concepts(recipe):
        assert recipe.teacher is not None
        base = str(recipe.teacher.weights)
        check_encoder(load_generator(Path(base)).metadata, read_texts(run).identity, base)


def _look_at_outputs(called: str, network: nn.Module, images: Pictures, device: torch.device) -> None:
    """Note a teacher from whose pictures nothing can be learnt.

    Raises:
        ModelError: what it gives is in another range than [-1, 1].
    """
    import torch

    def hint(_: Range | None) -> str:
        return "the function's network takes and gives pictures in [-1, 1]: let it scale them itself"

    seen, spread = OutputRange(called, ASSUMED, said=False, hint=hint), 0.0
    for index in range(min(_LOOKS, input_count(images))):
        with torch.no_grad():
            values = network(images.whole(index)["input"][None].to(device)).float().cpu()
        seen.see(values.numpy())
        spread = max(spread, float(values.std((2, 3)).max()))
    seen.check()
    if spread < _ONE_COLOUR:
        console.note(
            f"teacher: {called} gives one colour, or nearly, for every picture; there is nothing to learn from it: is "
            "it trained?"
        )


def _origin(stage: TeacherStage) -> dict[str, Any]:
    """As `bundle.manifest.Origin` has it; a function with a file of weights is known by that file's digest."""
    if not stage.is_own:
        assert stage.weights is not None
        path = Path(stage.weights)
        return Origin(kind="weights", file=path.name, sha256=sha256_file(path)).model_dump()
    from pocketgan.training.generators.own import source_file

    path = source_file(stage.generator) if stage.weights is None else Path(stage.weights)
    called = stage.generator if stage.weights is None else f"{stage.generator}, {path.name}"
    return Origin(kind="function", file=called, sha256=sha256_file(path)).model_dump()
