"""What pix2pixHD and GauGAN share: a discriminator that looks at several scales, whose features are matched."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from pocketgan.recipe.choices import GanMode
from pocketgan.recipe.sections import DistillStage, TeacherStage, Training
from pocketgan.training.discriminators import MultiScaleDiscriminator
from pocketgan.training.losses import AdversarialLoss, PerceptualLoss, feature_matching
from pocketgan.training.programs import Batch, Optimiser
from pocketgan.training.programs.adversarial import Adversarial
from pocketgan.training.programs.method import DISCRIMINATOR, Setting, Task, TeacherMethod, optimiser_of
from pocketgan.training.vgg import load_vgg


class MultiScale(Adversarial):
    """Trains `generator` on batches with `input` (such as one-hot labels and edges) and `target`.

    The papers' code steps the generator first, and SPADE's draws again for the discriminator; here, as in pix2pix, one
    picture serves both and the discriminator steps first.

    Args:
        discriminator: gives the outputs of all layers by scale; sees input and image concatenated, real and generated
            in one batch.
        vgg: features for the perceptual loss; None where its weight is 0.
        lambda_feature, lambda_vgg: weights of feature matching and of the perceptual loss (papers: 10 each).
        over_scales: whether the verdicts at the scales are averaged (SPADE) or summed (pix2pixHD).
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        vgg: nn.Module | None,
        *,
        gan_mode: GanMode,
        lambda_feature: float = 10.0,
        lambda_vgg: float = 10.0,
        over_scales: Literal["mean", "sum"] = "mean",
        optimiser: Optimiser | None = None,
        discriminator_learning_rate: float | None = None,
    ) -> None:
        super().__init__(
            generator,
            discriminator,
            gan_mode=gan_mode,
            optimiser=optimiser,
            discriminator_learning_rate=discriminator_learning_rate,
        )
        self.adversarial = AdversarialLoss(gan_mode, over_scales)
        self.vgg = vgg
        self.perceptual = PerceptualLoss(vgg) if vgg is not None else None
        self.lambda_feature = lambda_feature
        self.lambda_vgg = lambda_vgg

    def networks(self) -> dict[str, nn.Module]:
        return {**super().networks(), **({"vgg": self.vgg} if self.vgg is not None else {})}

    def judge(self, batch: Batch, fake: Tensor) -> Tensor:
        fake_features, real_features = self._features(batch, fake.detach())
        return self.adversarial.discriminator(
            [features[-1] for features in real_features], [features[-1] for features in fake_features]
        )

    def generator_terms(self, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        fake_features, real_features = self._features(batch, fake)
        terms = {
            "adversarial": self.adversarial.generator([features[-1] for features in fake_features]),
            "feature": self.lambda_feature * feature_matching(real_features, fake_features),
        }
        if self.perceptual is not None:
            terms["vgg"] = self.lambda_vgg * self.perceptual(fake, batch["target"])
        return terms

    def _features(self, batch: Batch, fake: Tensor) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """The discriminator's outputs by scale and layer: of the generated images, and of the real ones."""
        images = torch.cat([fake, batch["target"]])
        both = self.discriminator(torch.cat([torch.cat([batch["input"]] * 2), images], 1))
        count = len(fake)
        return (
            [[layer[:count] for layer in scale] for scale in both],
            [[layer[count:] for layer in scale] for scale in both],
        )


class MultiScaleMethod(TeacherMethod):
    """The program around a kind of MultiScale, which a student's losses weigh as the teacher's do.

    Args:
        kind: GauGAN's or pix2pixHD's.
        spectral: whether the discriminator's layers are normalised spectrally (SPADE).
    """

    def __init__(self, kind: type[MultiScale], *, spectral: bool) -> None:
        self._kind = kind
        self._spectral = spectral

    def discriminator(self, setting: Setting, seed: int) -> nn.Module:
        """On input and output, at as many scales as the recipe says."""
        stage = setting.stage
        return MultiScaleDiscriminator(
            setting.channels + 3, stage.ndf, stage.scales, seed=seed, spectral=self._spectral
        )

    def teacher(self, setting: Setting, generator: nn.Module) -> Task:
        judge = self.discriminator(setting, setting.seed)
        return Task(self._program(setting, setting.stage, generator, judge), generator, {DISCRIMINATOR: judge})

    def student(self, setting: Setting, stage: DistillStage, student: nn.Module, judge: nn.Module) -> MultiScale:
        return self._program(setting, stage, student, judge)

    def check(self, stage: TeacherStage) -> None:
        if stage.lambda_vgg:
            load_vgg(stage.vgg_weights)

    def _program(self, setting: Setting, stage: Training, generator: nn.Module, judge: nn.Module) -> MultiScale:
        teacher = setting.stage
        return self._kind(
            generator,
            judge,
            vgg=load_vgg(teacher.vgg_weights) if teacher.lambda_vgg else None,
            gan_mode=stage.gan_mode,
            lambda_feature=teacher.lambda_feature,
            lambda_vgg=teacher.lambda_vgg,
            optimiser=optimiser_of(stage),
            discriminator_learning_rate=stage.discriminator_learning_rate,
        )
