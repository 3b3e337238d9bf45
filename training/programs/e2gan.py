"""E2GAN's base (Gong et al. 2024, section 3.3): one text-conditioned generator for a mixed set of concepts.

The losses are pix2pix's, as the paper's: a conditional PatchGAN and L1. The paper does not say whether its
discriminator knows the concept. Here it does: it sees the concept's text beside input and output, for else a picture in
the style of another concept would pass for a good one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pocketgan.errors import ModelError
from pocketgan.recipe.sections import DistillStage
from pocketgan.training.discriminators import PatchDiscriminator
from pocketgan.training.programs.adversarial import Adversarial
from pocketgan.training.programs.method import DISCRIMINATOR, Setting, Task, TeacherMethod, optimiser_of
from pocketgan.training.programs.pix2pix import Pix2Pix

PHOTO_CHANNELS = 3
# Planes in which the discriminator sees a text.
TEXT_PLANES = 8


class _OfConcepts(nn.Module):
    """What looks up the concept that the fourth channel of an input names (`training.data.prompted`)."""

    tokens: Tensor

    def __init__(self, tokens: Tensor) -> None:
        super().__init__()
        # Not persistent: the data hold them, and a checkpoint need not.
        self.register_buffer("tokens", tokens, persistent=False)

    def text(self, images: Tensor) -> Tensor:
        """(n, 77, 512) of (n, 4 or more, h, w) inputs."""
        return self.tokens[images[:, PHOTO_CHANNELS, 0, 0].long()]


class Prompted(_OfConcepts):
    """A generator that is told its concept by its input: (n, 4, h, w) -> (n, 3, h, w) in [-1, 1].

    Args:
        generator: an `e2gan`, which takes a photo (n, 3, h, w) and a text (n, 77, 512).
        tokens: (concepts, 77, 512), the texts by their numbers.
    """

    def __init__(self, generator: nn.Module, tokens: Tensor) -> None:
        super().__init__(tokens)
        self.generator = generator

    def forward(self, images: Tensor) -> Tensor:
        return self.generator(images[:, :PHOTO_CHANNELS], self.text(images))


class PromptedDiscriminator(_OfConcepts):
    """PatchGAN on input, output and the concept's text: (n, 4 + 3, h, w) -> raw scores (n, 1, h', w').

    The mean of the text's tokens becomes a few planes, by weights that are learnt.
    """

    def __init__(self, tokens: Tensor, ndf: int, seed: int) -> None:
        super().__init__(tokens)
        self.patches = PatchDiscriminator(2 * PHOTO_CHANNELS + TEXT_PLANES, ndf, seed=seed)
        self.planes = nn.Linear(tokens.shape[2], TEXT_PLANES)
        generator = torch.Generator().manual_seed(seed + 1)
        with torch.no_grad():
            self.planes.weight.normal_(0.0, tokens.shape[2] ** -0.5, generator=generator)
            self.planes.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        planes = self.planes(self.text(images).mean(1))[:, :, None, None].expand(-1, -1, *images.shape[2:])
        photo, made = images[:, :PHOTO_CHANNELS], images[:, PHOTO_CHANNELS + 1 :]
        return self.patches(torch.cat([photo, made, planes], 1))


class _Method(TeacherMethod):
    def discriminator(self, setting: Setting, seed: int) -> nn.Module:
        assert setting.texts is not None
        return PromptedDiscriminator(setting.texts, setting.stage.ndf, seed)

    def teacher(self, setting: Setting, generator: nn.Module) -> Task:
        stage, judge = setting.stage, self.discriminator(setting, setting.seed)
        assert setting.texts is not None
        program = Pix2Pix(
            Prompted(generator, setting.texts),
            judge,
            gan_mode=stage.gan_mode,
            lambda_l1=stage.lambda_l1,
            optimiser=optimiser_of(stage),
            discriminator_learning_rate=stage.discriminator_learning_rate,
            lambda_gan=stage.lambda_gan,
        )
        return Task(program, generator, {DISCRIMINATOR: judge} if stage.lambda_gan else {})

    def student(self, setting: Setting, stage: DistillStage, student: nn.Module, judge: nn.Module) -> Adversarial:
        raise ModelError("a base of concepts is adapted, not distilled: adapt it, and leave out compress and distill")


METHOD = _Method()
