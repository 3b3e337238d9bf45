"""GauGAN (Park et al. 2019): photos from label maps, with a multi-scale discriminator, its features, and VGG's."""

from __future__ import annotations

from torch import nn

from pocketgan.recipe.choices import GanMode
from pocketgan.recipe.sections import DistillStage, TeacherStage, Training
from pocketgan.training.discriminators import MultiScaleDiscriminator
from pocketgan.training.programs import Optimiser
from pocketgan.training.programs.method import DISCRIMINATOR, Setting, Task, TeacherMethod, optimiser_of
from pocketgan.training.programs.multi_scale import MultiScale
from pocketgan.training.vgg import load_vgg

# Two time-scale update rule: the discriminator learns four times as fast.
GENERATOR_RATE, DISCRIMINATOR_RATE, BETAS = 1e-4, 4e-4, (0.0, 0.9)


class GauGan(MultiScale):
    """Trains `generator` on batches with `input` (one-hot labels and edges) and `target`.

    Args:
        discriminator: multi-scale.
        vgg: features for the perceptual loss; None where its weight is 0.
        lambda_feature, lambda_vgg: weights of feature matching and of the perceptual loss (paper: 10 each).
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        vgg: nn.Module | None,
        *,
        gan_mode: GanMode = "hinge",
        lambda_feature: float = 10.0,
        lambda_vgg: float = 10.0,
        optimiser: Optimiser | None = None,
        discriminator_learning_rate: float | None = DISCRIMINATOR_RATE,
    ) -> None:
        super().__init__(
            generator,
            discriminator,
            vgg,
            gan_mode=gan_mode,
            lambda_feature=lambda_feature,
            lambda_vgg=lambda_vgg,
            optimiser=optimiser or Optimiser((), GENERATOR_RATE, BETAS),
            discriminator_learning_rate=discriminator_learning_rate,
        )


class _Method(TeacherMethod):
    def discriminator(self, setting: Setting, seed: int) -> nn.Module:
        """SPADE's, at two scales unless told otherwise, on labels and output."""
        return MultiScaleDiscriminator(setting.channels + 3, setting.stage.ndf, setting.stage.scales, seed=seed)

    def teacher(self, setting: Setting, generator: nn.Module) -> Task:
        judge = self.discriminator(setting, setting.seed)
        return Task(_program(setting, setting.stage, generator, judge), generator, {DISCRIMINATOR: judge})

    def student(self, setting: Setting, stage: DistillStage, student: nn.Module, judge: nn.Module) -> GauGan:
        return _program(setting, stage, student, judge)

    def check(self, stage: TeacherStage) -> None:
        if stage.lambda_vgg:
            load_vgg(stage.vgg_weights)


def _program(setting: Setting, stage: Training, generator: nn.Module, judge: nn.Module) -> GauGan:
    """The student's losses weigh what the teacher's do."""
    teacher = setting.stage
    return GauGan(
        generator,
        judge,
        vgg=load_vgg(teacher.vgg_weights) if teacher.lambda_vgg else None,
        gan_mode=stage.gan_mode,
        lambda_feature=teacher.lambda_feature,
        lambda_vgg=teacher.lambda_vgg,
        optimiser=optimiser_of(stage),
        discriminator_learning_rate=stage.discriminator_learning_rate,
    )


METHOD = _Method()
