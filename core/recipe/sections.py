"""The sections of a recipe: what each stage is told, with its limits and defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

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
    BudgetBy,
    ChosenBy,
    CompressMethod,
    DataKind,
    Direction,
    DistillTarget,
    Fit,
    Fitness,
    GanMode,
    Metric,
    Mode,
    Norm,
    Scale,
    Ship,
    Similarity,
    Supervised,
    TrainingPrecision,
    TransformerPlace,
    Unknown,
    Widths,
)
from pocketgan.recipe.programs import STUDENT_PROGRAMS, TEACHER_PROGRAMS, StudentProgramName, TeacherProgramName
from pocketgan.recipe.units import Budget, budget_mismatch
from pocketgan.targets import IO, IOS, PRECISIONS, TARGETS, TIMED

if TYPE_CHECKING:
    TargetName = str
    TimedTarget = str
    Precision = str
    Contract = str
    Ios = int
else:  # messages and the JSON Schema name what the table holds
    TargetName = Literal[tuple(TARGETS)]
    TimedTarget = Literal[TIMED]
    Precision = Literal[PRECISIONS]
    Contract = Literal[IO]
    Ios = Literal[IOS]

Steps = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Unknown keys are errors, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataStage(Section):
    """Images to learn from: pairs made from built-in photos by a filter effect, or a folder of the user's."""

    source: Literal["builtin", "folder"] = Field(
        "folder", description="photos of installed packages, or a folder of yours"
    )
    kind: DataKind = Field(
        "paired",
        description="folder: pairs, two domains without pairs, label maps with their photos, photos alone, for a "
        "trained teacher, or concepts, a folder of `pocketgan pairs make`, for a base (e2gan)",
    )
    folder: str | None = Field(None, description="the data folder; --data overrides it")
    direction: Direction = Field("AtoB", description="AtoB maps A (left half) to B (right half)")
    fit: Fit = Field(
        "stretch",
        description="folder: images of other proportions are stretched to the resolution, or resized as they are until "
        "they cover it and cut: at random to train, in the centre otherwise",
    )
    classes: Annotated[int, Field(ge=1, le=255)] | None = Field(
        None, description="label: class indices are 0 to classes - 1; `classes` and 255 are unknown"
    )
    unknown: Unknown = Field(
        "channel", description="label: an unknown pixel has a channel of its own, or is zero in all"
    )
    instance: bool = Field(False, description="label: instance/ holds instance PNGs, whose edges are one more channel")
    concepts: list[Name] | None = Field(
        None, min_length=1, description="concepts: those of the folder that the base is trained on; all where absent"
    )
    choose: Annotated[int, Field(ge=1)] | None = Field(
        None, description="concepts: train on this many of them only, chosen by their texts"
    )
    choose_by: ChosenBy = Field(
        "clusters", description="concepts: those nearest to the k-means centres of the texts' features, or at random"
    )
    text: str = Field(
        "sentence",
        description="concepts: what reads their texts: sentence (offline), the folder or hub id of a CLIP model, or a "
        ".safetensors file of `pocketgan text`",
    )
    labels: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0,
        description="paired, label: share of the training images that have their target, chosen by content; the others "
        "are inputs without one",
    )
    unlabelled: str | None = Field(
        None,
        description="paired, label: a folder of inputs that never had a target: pictures, or label maps without photos",
    )
    effect: str = Field("stylization", description="builtin: the filter that makes the targets")
    train_crops: Steps = Field(400, description="builtin: number of training pairs")
    val_crops: Steps = Field(32, description="builtin: number of validation pairs")

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.source == "builtin" and self.kind != "paired":
            raise ValueError(f"built-in photos make pairs; kind: {self.kind} needs source: folder")
        if self.source == "builtin" and self.fit != "stretch":
            raise ValueError(f"built-in photos are cut to the resolution already; fit: {self.fit} needs source: folder")
        if (self.classes is not None) != (self.kind == "label"):
            raise ValueError("kind: label and classes, the number of classes, go together")
        if self.kind == "concepts" and self.direction != "AtoB":
            raise ValueError("concepts are made from their photos, direction AtoB")
        if self.kind != "concepts":
            for name in ("concepts", "choose", "choose_by", "text"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} is of kind: concepts, a folder of `pocketgan pairs make`")
        if self.concepts is not None and len(set(self.concepts)) < len(self.concepts):
            raise ValueError(f"concepts names one twice: {', '.join(self.concepts)}")
        return self

    @model_validator(mode="after")
    def _what_has_no_labels_is_not_parted_by_them(self) -> Self:
        if self.kind in ("paired", "label"):
            return self
        for name in ("labels", "unlabelled"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is of images with targets, kind: paired or label; kind: {self.kind} has none")
        return self

    @property
    def input_channels(self) -> int:
        """Channels that a generator for these images takes."""
        return 3 if self.classes is None else self.classes + (self.unknown == "channel") + self.instance


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


class CompressStage(Section):
    """The search for the student: pruned from the teacher, in another family, or evolved in a supernet."""

    method: CompressMethod = Field(
        "prune", description="one-step search (CAT), or evolution in the supernet of teacher.program ugc (UGC)"
    )
    student: str | None = Field(
        None,
        description="a generator name, such as incres9: the student is a member of that family with even widths, for "
        "teachers that cannot be pruned; pruned from the teacher where absent",
    )
    budget: Budget = Field(description="largest cost of the student, such as 2.6G, or 12ms by latency")
    by: BudgetBy = Field("macs_by_output", description="what the budget counts")
    least_width: Annotated[int, Field(ge=1)] = Field(
        16, description="prune: channels that every layer outside the blocks keeps"
    )
    target: TimedTarget | None = Field(
        None, description="suit the student to this exported form on this device; by latency needs one"
    )
    threads: Annotated[int, Field(ge=1)] = Field(1, description="threads of the target's runtime")
    inherit: bool = Field(
        False,
        description="prune: begin with the teacher's surviving weights, not with fresh ones as CAT; evolve always does",
    )
    widths: Widths | None = Field(
        None, description="prune: multiples of the student's widths; auto: what pays on the target, its default"
    )
    evaluations: Annotated[int, Field(ge=0)] = Field(
        500,
        description="evolve: candidates that are judged at most, three fifths of them for the student and the rest for "
        "its two teachers; 0: no search, even networks",
    )
    population: Annotated[int, Field(ge=2)] = Field(50, description="evolve: candidates of a generation")
    mutation: Share = Field(0.2, description="evolve: probability of each width and depth to be drawn anew")
    crossover: Share = Field(0.5, description="evolve: share of children with two parents; the others are mutated")
    elites: Share = Field(0.25, description="evolve: share of a generation that stays and has the children, 1 at least")
    patience: Steps = Field(5, description="evolve: generations without a better candidate that end a search")
    fitness: Fitness | None = Field(
        None, description="evolve: what candidates are judged by; miou where a judge is named, lpips where not"
    )
    images: Steps = Field(64, description="evolve: of the training images kept for choosing, how many judge at most")
    finalists: Annotated[int, Field(ge=0)] | None = Field(
        None, description="evolve: the best candidates, among which FID chooses; 10 by lpips, none otherwise"
    )
    calibration: Steps = Field(64, description="evolve: training inputs over which batch norms gather statistics anew")
    teacher_times: Annotated[float, Field(gt=1)] = Field(
        20.0, description="evolve: the two teachers' MACs as a multiple of the student's, about"
    )
    lpips_weights: str | None = Field(
        None, description="evolve by lpips: file of torchvision's AlexNet weights; downloaded where absent"
    )
    inception: str | None = Field(
        None, description="evolve with finalists: TorchScript file of Inception; an installed package's where absent"
    )
    judge: str | None = Field(None, description="evolve by miou: ONNX or TorchScript file of a segmentation network")
    judge_scale: Scale = Field("imagenet", description="evolve by miou: how pixels are scaled for the judge")

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        expected = budget_mismatch(self.by, self.budget)
        if expected is not None:
            raise ValueError(f"budget is {expected} where by is {self.by}")
        if self.target is None and (self.by == "latency" or self.widths == "auto"):
            raise ValueError("target is missing: latency and automatic widths need one, such as onnx")
        if self.student is not None and self.inherit:
            raise ValueError("inherit is of students that are pruned from their teacher; one of a family starts fresh")
        return self

    @model_validator(mode="after")
    def _fields_are_of_the_method(self) -> Self:
        of_one = {"prune": ("student", "least_width", "inherit", "widths"), "evolve": _OF_EVOLUTION}
        other = "evolve" if self.method == "prune" else "prune"
        for name in of_one[other]:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is of method: {other}; remove it, or say method: {other}")
        if self.method == "evolve" and self.target is not None and self.by != "latency":
            raise ValueError("target, where method is evolve, is of budgets by latency; remove it")
        if self.judge is None and self.fitness == "miou":
            raise ValueError("fitness miou needs judge, the ONNX or TorchScript file of a segmentation network")
        if self.judge is not None and self.fitness not in (None, "miou"):
            raise ValueError(f"judge is of fitness: miou, not of {self.fitness}; remove one of them")
        return self

    @property
    def judged_by(self) -> Fitness:
        """What candidates are judged by."""
        return self.fitness or ("lpips" if self.judge is None else "miou")

    @property
    def last_ones(self) -> int:
        """Among how many candidates FID chooses; 0 where there is no search."""
        asked = self.finalists if self.finalists is not None else 10 if self.judged_by == "lpips" else 0
        return min(asked, self.evaluations)


_OF_EVOLUTION = (
    "evaluations", "population", "mutation", "crossover", "elites", "patience", "fitness", "images", "finalists",
    "calibration", "teacher_times", "lpips_weights", "inception", "judge", "judge_scale",
)  # fmt: skip


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


class ExportStage(Section):
    """Runtime files of the student, the teacher and, beside a teacher that is trained here, the unpruned ResNet-9."""

    targets: list[TargetName] = Field(default=["onnx", "executorch-xnnpack", "coreml"], min_length=1)
    precisions: list[Precision] | None = Field(
        None, min_length=1, description="each where the target has it; each target's own default where absent"
    )
    io: list[Contract] = Field(
        default=["tensor"], min_length=1, description="tensors in [-1, 1], or pixels (uint8 RGB), in and out"
    )
    ios: Ios | None = Field(None, description="oldest iOS; as each precision needs where absent")
    workers: Annotated[int, Field(ge=1, le=64)] | None = Field(
        None, description="processes; as memory and cores allow where absent"
    )


class BundleStage(Section):
    """One `.pgb` file a model."""

    sign_with: str | None = Field(None, description="PEM file of an Ed25519 private key")


class BenchStage(Section):
    """Measuring of all bundles, interleaved."""

    device: str = Field(
        "local", description="this computer, or android:SERIAL, a phone with the app, or the only phone"
    )
    mode: Mode = "latency"
    iterations: Steps = Field(60, description="timed frames of each entry")
    rounds: Steps = Field(12, description="turns that the compared models take")
    runs: Steps = Field(3, description="processes that the turns are split over")
    duration_s: Annotated[float, Field(gt=0)] = Field(60, description="length of a sustained run")
    warmup_iterations: Annotated[int, Field(ge=0)] = Field(5, description="at least; then until frames are steady")
    threads: Steps = 1


class ReportStage(Section):
    """One HTML page of all results."""

    title: str | None = None
