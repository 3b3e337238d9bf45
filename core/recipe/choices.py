"""The words that a recipe may use for a choice and that the code behind it takes, each said once."""

from __future__ import annotations

from typing import Literal, get_args

# How images lie in a data folder: pairs, two domains without pairs, label maps with their photos, photos alone, or the
# same photos with what each of several concepts makes of them.
DataKind = Literal["paired", "unpaired", "label", "photos", "concepts"]
# How some concepts stand for all: those nearest to the k-means centres of their texts' features, or any.
ChosenBy = Literal["clusters", "random"]
# What a student's pictures are held against: the data's own targets, or the teacher's pictures.
DistillTarget = Literal["data", "teacher"]
# AtoB maps A (left half) to B (right half).
Direction = Literal["AtoB", "BtoA"]
# How images of other proportions fit the resolution: stretched to it, or cut, after resizing them until they cover it.
Fit = Literal["stretch", "crop"]
# What stands for an unknown pixel of a label map: a channel of its own, or zero in all.
Unknown = Literal["channel", "zero"]
# Of generators; `batch-plain` and `instance` have neither scale nor shift.
Norm = Literal["batch", "batch-plain", "instance", "instance-affine"]
NORMS: tuple[Norm, ...] = get_args(Norm)
# After which part of an e2gan the transformer block stands; `ds`, in the middle, is the paper's.
TransformerPlace = Literal["downsample", "rb1", "rb2", "ds", "us", "rb3"]
TRANSFORMER_PLACES: tuple[TransformerPlace, ...] = get_args(TransformerPlace)
GanMode = Literal["hinge", "lsgan", "vanilla"]
# Of teacher's and student's features.
Similarity = Literal["gka", "cka", "ka", "mse"]
# What a budget counts: executed MACs, MACs with transposed convolutions by their output, parameters, or milliseconds.
Convention = Literal["macs_by_output", "macs", "params"]
BudgetBy = Literal["macs_by_output", "macs", "params", "latency"]
# Multiples of a student's widths; `auto`: those that pay on the target.
Widths = Literal[1, 4, 8, 16, "auto"]
# What is measured of a generator's pictures while it trains; of these only miou is better when it is higher.
Metric = Literal["l1", "lpips", "fid", "kid", "miou"]
# How pixels are scaled for a segmentation network: ImageNet's mean and deviation, [0, 1], [-1, 1] or [0, 255].
Scale = Literal["imagenet", "unit", "signed", "bytes"]
# bf16: networks compute in it under autocast; weights and losses stay float32.
TrainingPrecision = Literal["fp32", "bf16"]
# Which state of a training is its outcome.
Ship = Literal["last", "best"]
# UGC's supernet: shares of a full width, out of the largest; blocks behind a layer that are searched, and that are
# inserted; full inner width of such a block as a multiple of its layer's.
SUPERNET_WIDTHS = tuple(range(8, 65, 8))
SUPERNET_DEPTHS = (0, 1, 2)
SUPERNET_BLOCKS = 3
SUPERNET_EXPANSION = 1
# Weights of OMGD's distillation loss.
SSIM, STYLE, CONTENT, TV = 10.0, 1e4, 10.0, 1e-5
# Programs whose losses may train the largest network of a supernet on pairs.
Supervised = Literal["pix2pix", "pix2pixhd", "gaugan"]
# How frames are measured: one after the other, overlapping, or without a pause for a time.
Mode = Literal["latency", "throughput", "sustained"]
# How the student's architecture is found: one threshold prunes a teacher, or the sub-networks of a supernet evolve.
CompressMethod = Literal["prune", "evolve"]
# What a candidate of an evolution is judged by; of these only miou is better when it is higher.
Fitness = Literal["lpips", "l1", "miou"]
# UGC's stage 2: steps between two updates of the teachers, and the filter of what they teach on inputs without targets.
TEACHERS_EVERY, FILTER_MOMENTUM, FILTER_PROBABILITY = 4, 0.99, 0.5
