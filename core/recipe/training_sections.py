"""The sections of a recipe that train a network: `teacher`, `distill`, `adapt`."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from pocketgan.bundle.manifest import Name
from pocketgan.recipe.choices import (
    CONTENT,
    FILTER_MOMENTUM,
    FILTER_PROBABILITY,
    SSIM,
    STYLE,
    SUPERNET_BLOCKS,
    SUPERNET_DEPTHS,
    SUPERNET_EXPANSION,
    SUPERNET_WIDTHS,
    TEACHERS_EVERY,
    TV,
    DistillTarget,
    GanMode,
    Metric,
    Norm,
    Scale,
    Ship,
    Similarity,
    Supervised,
    TrainingPrecision,
    TransformerPlace,
)
from pocketgan.recipe.programs import STUDENT_PROGRAMS, TEACHER_PROGRAMS, StudentProgramName, TeacherProgramName
from pocketgan.recipe.section import Beta, NotNegative, Positive, Section, Share, Steps


class Training(Section):
    """What the teacher's and the student's training have in common.

    Defaults are pix2pix's; where the program is another, those of `programs.TEACHER_PROGRAMS` stand in their place.
    """

    steps: Steps = Field(description="optimiser steps")
    batch_size: Steps = Field(1, description="images a step, over all processes")
    unlabelled_batch_size: Steps | None = Field(
        None,
        description="programs that learn from inputs without targets: such inputs a step, over all processes; as many "
        "as batch_size where absent",
    )
    semi_supervised: bool = Field(
        True, description="ugc: learn from inputs without targets too; false: from those of the labelled images alone"
    )
    learning_rate: Positive = Field(2e-4, description="gaugan: 1e-4")
    discriminator_learning_rate: Positive | None = Field(None, description="the generator's where absent; gaugan: 4e-4")
    adam_betas: tuple[Beta, Beta] = Field((0.5, 0.999), description="gaugan: [0, 0.9]")
    decay: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="last share of the steps, with rates falling to 0"
    )
    gan_mode: GanMode = Field("hinge", description="cyclegan, pix2pixhd: lsgan")
    average_decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="moving average of the generator, which is shipped: such as 0.999; smaller in the first steps"
    )
    load_scale: Annotated[float, Field(ge=1, le=4)] = Field(1.0, description="resize to this times the size, then crop")
    crop: Annotated[int, Field(ge=32, le=4096, multiple_of=4)] | None = Field(
        None,
        description="pixels: train on square parts of this side, at random; on the whole resolution where absent",
    )
    lambda_ssim: NotNegative = Field(SSIM, description="ugc: weight of 1 - SSIM in the distillation loss")
    lambda_style: NotNegative = Field(STYLE, description="ugc: weight of the distance of VGG16's Gram matrices in it")
    lambda_content: NotNegative = Field(CONTENT, description="ugc: weight of the distance of VGG16's relu2_2 in it")
    lambda_tv: NotNegative = Field(TV, description="ugc: weight of the student's total variation in it")
    vgg16_weights: str | None = Field(
        None,
        description="ugc: file of torchvision's VGG16 weights, for the distillation loss; the teacher's in distill, "
        "downloaded where absent",
    )
    lambda_gan: NotNegative = Field(
        1.0, description="pix2pix, e2gan: weight of the discriminator's verdict; 0 trains without one"
    )
    flip: bool = True
    dropout: bool = Field(
        False, description="unet128, unet256: train with pix2pix's dropout in the first three maps on the way up"
    )
    precision: TrainingPrecision = Field(
        "fp32", description="bf16 pays on GPUs and processors with AMX, see `pocketgan doctor`; losses stay float32"
    )
    checkpoint_every: Steps = Field(200, description="steps that a kill can cost at most")
    sample_every: Steps = Field(200, description="steps between sample pictures")
    evaluate_every: Steps | None = Field(
        None,
        description="steps between evaluations, on 15 % of the training images, which are then not trained on; none "
        "where absent",
    )
    evaluate: list[Metric] = Field(default=["l1"], min_length=1, description="what is measured in an evaluation")
    ship: Ship = Field("last", description="the network after the last step, or after the best evaluation")
    best_by: Metric | None = Field(None, description="ship: best: the measure that says which is the best")
    inception: str | None = Field(
        None, description="fid, kid: TorchScript file of Inception; an installed package's or a download where absent"
    )
    lpips_weights: str | None = Field(
        None, description="lpips: file of torchvision's AlexNet weights; downloaded where absent"
    )
    judge: str | None = Field(None, description="miou: ONNX or TorchScript file of a segmentation network")
    judge_scale: Scale = Field("imagenet", description="miou: how pixels are scaled for the judge")

    @model_validator(mode="after")
    def _evaluations_fit(self) -> Self:
        if self.evaluate_every is None:
            for name in ("evaluate", "ship", "best_by"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} needs evaluate_every, the steps between evaluations, such as 500")
        if len(set(self.evaluate)) < len(self.evaluate):
            raise ValueError(f"evaluate names a measure twice: {', '.join(self.evaluate)}")
        if self.ship == "best" and self.best_by is None:
            raise ValueError(f"ship: best needs best_by, the measure that decides, such as best_by: {self.evaluate[0]}")
        if self.best_by is not None and self.ship != "best":
            raise ValueError("best_by goes with ship: best; without it the network after the last step ships")
        if self.best_by is not None and self.best_by not in self.evaluate:
            raise ValueError(f"best_by {self.best_by} is not evaluated; add it: evaluate: [{self._with_best_by()}]")
        if "miou" in self.evaluate and self.judge is None:
            raise ValueError("miou needs judge, the ONNX or TorchScript file of a segmentation network")
        return self

    def _with_best_by(self) -> str:
        return ", ".join([*self.evaluate, str(self.best_by)])

    @property
    def takes_unlabelled(self) -> bool:
        """Whether its program learns from inputs without targets too."""
        return False

    @property
    def crop_size(self) -> tuple[int, int] | None:
        """(height, width) of the parts that are trained on; None for whole images."""
        return None if self.crop is None else (self.crop, self.crop)


class TeacherStage(Training):
    """Training of the unpruned generator, or one that is trained already."""

    steps: Annotated[int, Field(ge=0)] = Field(
        0, description="optimiser steps; 0 for a teacher that is trained already (weights, or a function with its own)"
    )
    weights: str | None = Field(
        None,
        description="a trained teacher: a model file, a public checkpoint (.pth) of `generator`, the state dict of "
        "your own function, an .onnx file, or a .pgb bundle",
    )
    range: tuple[float, float] | None = Field(
        None,
        description="an .onnx teacher's values of black and white, in and out, such as [0, 255]; [-1, 1] if absent",
    )
    generator: str = Field(
        "incres9",
        description="a generator name, see `pocketgan cost --help`, or package.module:function that returns a module",
    )
    ngf: Annotated[int, Field(ge=2)] | None = Field(
        None, description="channels of the first layer; the paper's where absent"
    )
    norm: Norm | None = Field(None, description="the generator's own where absent")
    transformer_after: TransformerPlace = Field(
        "ds", description="e2gan: the part that its transformer block follows; see `pocketgan analyse transformer`"
    )
    program: TeacherProgramName = Field(
        "pix2pix",
        description="cyclegan: unpaired images; gaugan: label maps; pix2pixhd: label maps or pairs; ugc: a supernet, "
        "with few pairs and other inputs; e2gan: a base of several concepts",
    )
    lambda_l1: NotNegative = Field(100.0, description="pix2pix, e2gan: weight of the distance to the target")
    lambda_cycle: NotNegative = Field(10.0, description="cyclegan: weight of going there and back")
    lambda_identity: NotNegative = Field(0.5, description="cyclegan: weight of the identity loss, times lambda_cycle")
    pool_size: Annotated[int, Field(ge=0, le=10000)] = Field(50, description="cyclegan: images in each pool")
    lambda_feature: NotNegative = Field(10.0, description="gaugan, pix2pixhd: weight of feature matching")
    lambda_vgg: NotNegative = Field(
        10.0, description="gaugan, pix2pixhd: weight of the perceptual loss; 0 needs no VGG"
    )
    vgg_weights: str | None = Field(
        None, description="gaugan, pix2pixhd: file of torchvision's VGG19 or VGG16 weights; downloaded where absent"
    )
    supervised: Supervised = Field(
        "pix2pix", description="ugc: the program whose losses and defaults train the largest network on pairs"
    )
    supernet_widths: list[Steps] = Field(
        default=[*SUPERNET_WIDTHS], description="ugc: shares of every width, out of the largest of them"
    )
    supernet_depths: list[Annotated[int, Field(ge=0)]] = Field(
        default=[*SUPERNET_DEPTHS],
        description="ugc: extra blocks behind a down- or up-sampling layer that are searched",
    )
    supernet_blocks: Annotated[int, Field(ge=0, le=16)] = Field(
        SUPERNET_BLOCKS, description="ugc: extra blocks that are inserted; the largest network has all of them"
    )
    supernet_expansion: Annotated[int, Field(ge=1, le=16)] = Field(
        SUPERNET_EXPANSION, description="ugc: full inner width of an extra block as a multiple of its layer's"
    )
    ndf: Annotated[int, Field(ge=1)] = Field(64, description="channels of the discriminator's first layer")
    scales: Annotated[int, Field(ge=1, le=5)] = Field(
        2,
        description="gaugan, pix2pixhd (3): sizes at which the discriminator looks, each half of the one before",
    )

    @model_validator(mode="after")
    def _is_trained_or_to_be(self) -> Self:
        if self.weights is not None and self.steps:
            raise ValueError("weights are those of a trained teacher, which is not trained again: remove steps")
        if self.weights is None and not self.steps and not self.is_own:
            raise ValueError("steps is missing, 1 at least; or name a teacher that is trained: weights: FILE")
        if self.range is not None:
            if self.weights is None or not self.weights.lower().endswith(".onnx"):
                raise ValueError("range is of an .onnx teacher; others say it themselves")
            if not self.range[0] < self.range[1]:
                raise ValueError(f"range is black, then white: expected [low, high], got {[*self.range]}")
        return self

    @property
    def takes_unlabelled(self) -> bool:
        return TEACHER_PROGRAMS[self.program].unlabelled and self.semi_supervised

    @model_validator(mode="after")
    def _a_supernet_has_a_name(self) -> Self:
        if self.program == "ugc" and (self.is_own or self.is_foreign):
            whose = self.generator if self.is_own else self.weights
            raise ValueError(
                f"a supernet is made of a generator whose layers pocketgan knows, not of {whose}; name one, such as "
                "generator: unet256"
            )
        return self

    @property
    def learns_as(self) -> str:
        """The program whose losses train the generator on pairs: its own, but for a supernet."""
        return self.supervised if self.program == "ugc" else self.program

    @property
    def is_own(self) -> bool:
        """Whether the generator is the user's own function."""
        return ":" in self.generator and not self.is_foreign

    @property
    def is_given(self) -> bool:
        """Whether the teacher is trained already."""
        return not self.steps

    @property
    def is_foreign(self) -> bool:
        """Whether it is a file that only a runtime can run, and so is known by its pictures alone."""
        return self.weights is not None and self.weights.lower().endswith((".onnx", ".pgb"))


class DistillStage(Training):
    """Training of the student against the teacher, in the teacher's program."""

    program: StudentProgramName = "distill"
    similarity: Similarity = Field(
        "gka", description="of features; ka needs several images a step, mse learns a projection"
    )
    lambda_distill: NotNegative = Field(0.5, description="weight of the features' distance; cyclegan: 1")
    lambda_recon: NotNegative = Field(
        100.0, description="weight of the L1 distance to the target; cyclegan: 5, to the teacher's picture"
    )
    target: DistillTarget | None = Field(
        None,
        description="the data's target or the teacher's picture; where absent the data's, if there are any and the "
        "teacher has features to distil",
    )

    teachers_every: Steps = Field(
        TEACHERS_EVERY, description="ugc: steps between two updates of the teachers and of their discriminator"
    )
    filter_momentum: Beta = Field(
        FILTER_MOMENTUM, description="ugc: share of the running mean of scores that stays at every step"
    )
    filter_probability: Share = Field(
        FILTER_PROBABILITY,
        description="ugc: with which a teacher's picture that scores above the mean is learnt from; 1: no filter",
    )
    shared: Steps | None = Field(
        None, description="ugc: layers of the discriminator that the teachers share; those of stride 2 where absent"
    )

    @property
    def takes_unlabelled(self) -> bool:
        return STUDENT_PROGRAMS[self.program].unlabelled and self.semi_supervised


class AdaptStage(Section):
    """LoRA's concepts on a base; rates and betas are E2GAN's."""

    folder: str | None = Field(None, description="a folder of `pocketgan pairs make`; the data's where absent")
    concepts: list[Name] = Field(min_length=1, description="those of the folder that the base learns")
    coreset: str | None = Field(
        None, description="the photos that are learnt from: a file of `pocketgan coreset`, or one name a line"
    )
    steps: Steps = Field(description="optimiser steps, for each concept")
    ranks: tuple[Steps, Steps, Steps, Steps, Steps] | None = Field(
        None, description="LoRA's, of Downsample, DS, TB, US and Upsample; those of the base's size where absent"
    )
    batch_size: Steps = 4
    learning_rate: Positive = 2e-4
    discriminator_learning_rate: Positive | None = Field(None, description="learning_rate where absent")
    adam_betas: tuple[Beta, Beta] = (0.5, 0.999)
    decay: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="last share of the steps, with rates falling to 0"
    )
    gan_mode: GanMode = "hinge"
    lambda_l1: NotNegative = Field(100.0, description="weight of the distance to the target")
    lambda_gan: NotNegative = Field(1.0, description="weight of the discriminator's verdict; 0 trains without one")
    ndf: Annotated[int, Field(ge=1)] = Field(64, description="channels of the discriminator's first layer")
    flip: bool = True
    precision: TrainingPrecision = "fp32"
    workers: Annotated[int, Field(ge=0)] = Field(
        0, description="processes of this computer, each with a concept at a time; 0: this one alone"
    )
    checkpoint_every: Steps = Field(200, description="steps that a kill can cost at most")

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        if len(set(self.concepts)) < len(self.concepts):
            raise ValueError(f"concepts names one twice: {', '.join(self.concepts)}")
        return self
