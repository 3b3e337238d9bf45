"""The section `data` of a recipe: images to learn from."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pocketgan.bundle.manifest import Name
from pocketgan.recipe.choices import (
    ChosenBy,
    DataKind,
    Direction,
    Fit,
    Unknown,
)
from pocketgan.recipe.section import Section, Steps


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
