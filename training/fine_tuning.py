"""Full fine-tuning of a base on one concept: what LoRA is compared with, and with parts frozen, what the parts are for.

Steps, losses, rates and pairs are those of adapting (`adapting.py`); what is trained is the whole generator, or all of
it but some parts (E2GAN, section 3.3 and figure 4).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from pocketgan.errors import ModelError, require
from pocketgan.recipe.choices import Direction
from pocketgan.training.adapter import PARTS, Concept, weights_digest
from pocketgan.training.adapting import AdaptedConcept, AdaptOptions, concept_program
from pocketgan.training.base_and_pairs import BaseAndPairs, checkpoints_beside
from pocketgan.training.data.samples import Samples
from pocketgan.training.fit import fit
from pocketgan.training.generators import GeneratorSpec, skeleton
from pocketgan.training.generators.files import LoadedGenerator, save_generator
from pocketgan.training.measuring import Measuring
from pocketgan.training.processes import join
from pocketgan.training.programs import Program
from pocketgan.training.programs.pix2pix import Pix2Pix
from pocketgan.training.text.concept import check_encoder, metadata_of, with_concept

if TYPE_CHECKING:
    from accelerate import Accelerator

# The whole generator in its order: LoRA's five parts, and what it leaves as it is.
ALL_PARTS: Mapping[str, tuple[str, ...]] = {
    "stem": ("stem",),
    "downsample": PARTS["downsample"],
    "rb": ("rb1", "rb2", "rb3"),
    "ds": PARTS["ds"],
    "tb": PARTS["tb"],
    "us": PARTS["us"],
    "upsample": PARTS["upsample"],
    "head": ("head",),
}


def check_parts(spec: GeneratorSpec, names: Collection[str]) -> None:
    """Raises ModelError where the generator has no such parts."""
    if spec.family != "e2gan":
        raise ModelError(f"a concept is learnt by an e2gan; this is a generator of the family {spec.family}")
    if unknown := sorted(set(names) - ALL_PARTS.keys()):
        raise ModelError(f"no part is called {', '.join(unknown)}; there are {', '.join(ALL_PARTS)}")


def unfrozen_parameters(spec: GeneratorSpec, frozen: Collection[str] = ()) -> int:
    """How many parameters are trained where these parts are frozen.

    Raises:
        ModelError: the generator has no such parts.
    """
    check_parts(spec, frozen)
    network = skeleton(spec)
    modules = [name for part, names in ALL_PARTS.items() if part not in frozen for name in names]
    return sum(weight.numel() for name in modules for weight in network.get_submodule(name).parameters())


class PartlyFrozen(nn.Module):
    """forward: image (n, c, h, w) in [-1, 1] -> image of the concept. A copy of the base that holds the concept's text.

    Frozen parts stay bit for bit what they are, in eval mode whatever mode this module is put into: their norms go on
    with the base's statistics.

    Attributes:
        network: the copy.
        trained: its modules that are not frozen.
    Raises:
        ModelError: the base is no e2gan, or there is no part of that name.
    """

    def __init__(self, base: LoadedGenerator, concept: Concept, frozen: Collection[str] = ()) -> None:
        super().__init__()
        check_parts(base.spec, frozen)
        self.network = with_concept(base.module, concept.tokens).requires_grad_(True).eval()
        self.trained = nn.ModuleDict()
        for part, names in ALL_PARTS.items():
            modules = {name: self.network.get_submodule(name) for name in names}
            if part in frozen:
                for module in modules.values():
                    module.requires_grad_(False)
            else:
                self.trained.update(modules)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def train(self, mode: bool = True) -> PartlyFrozen:
        super().train(mode)
        self.network.eval()
        self.trained.train(mode)
        return self


class FineTuning(Pix2Pix):
    """pix2pix whose generator is a base of which some parts may be frozen: the others alone are optimised."""

    generator: PartlyFrozen

    def networks(self) -> dict[str, nn.Module]:
        return {**super().networks(), "generator": self.generator.trained, "whole": self.generator}


def fine_tuning(
    base: LoadedGenerator, concept: Concept, options: AdaptOptions, frozen: Collection[str] = ()
) -> FineTuning:
    """The program around a copy of the base, for `fit` as any other; the options' ranks are of no meaning here.

    Raises:
        ModelError: the base is no e2gan, was trained with another text encoder's tokens, or no part is called so.
    """
    check_encoder(base.metadata, concept.encoder, "the base")
    return concept_program(FineTuning, PartlyFrozen(base, concept, frozen), base.spec, options)


def fine_tune(
    base: LoadedGenerator,
    data: Samples,
    concept: Concept,
    options: AdaptOptions,
    folder: Path,
    accelerator: Accelerator,
    picture: Callable[[Program], np.ndarray] | None = None,
    measuring: Measuring | None = None,
    *,
    frozen: Collection[str] = (),
) -> LoadedGenerator:
    """Train all of a base, but for the frozen parts, for one concept; the base itself is left as it is.

    Arguments and errors are those of `adapting.adapt`.

    Args:
        frozen: names of `ALL_PARTS`.
    Returns:
        An ordinary generator with the concept's text, as `adapter.merge` gives one.
    """
    program = fine_tuning(base, concept, options, frozen)
    fit(program, data, options.lengths, folder, f"fine-tune {concept.name}", accelerator, picture, measuring)
    provenance = {
        **metadata_of(concept.encoder, concept.text),
        "concept_name": concept.name,
        "base_sha256": weights_digest(base.module),
    }
    return LoadedGenerator(program.generator.cpu().network.eval(), base.spec, {"trained": "yes", **provenance})


def fine_tune_folder(
    base: Path,
    data: Path,
    concept: Concept,
    options: AdaptOptions,
    out: Path,
    *,
    size: tuple[int, int] | None = None,
    direction: Direction = "AtoB",
    only: Collection[str] | None = None,
    frozen: Collection[str] = (),
) -> AdaptedConcept:
    """Fine-tune a base on the pairs of a folder and write a whole model file: as `adapting.adapt_folder`, but for LoRA.

    Args:
        frozen: names of `ALL_PARTS` that stay as they are.
    """
    require("train", "torch", "safetensors", "accelerate")
    given = BaseAndPairs.read(base, data, size=size, direction=direction, only=only)
    given.check_batch(options.batch_size)
    trained = unfrozen_parameters(given.spec, frozen)
    told = {**given.told(concept), "options": {**options.to_json(), "ranks": None}, "frozen": sorted(set(frozen))}
    folder, accelerator = checkpoints_beside(out, told), join(options.precision)
    images = given.images(given.train, flip=options.flip)
    made = fine_tune(given.base, images, concept, options, folder, accelerator, frozen=frozen)
    distances = given.l1(made.module.to(accelerator.device), accelerator.device)
    # The checkpoints last, as of an adapter.
    save_generator(out, made.module.cpu(), made.spec, made.metadata)
    shutil.rmtree(folder, ignore_errors=True)
    return AdaptedConcept(
        concept.name,
        str(out),
        out.stat().st_size,
        given.digest,
        trained,
        trained / unfrozen_parameters(given.spec),
        len(given.train),
        *distances,
    )
