"""The recipe that `pocketgan pairs make` writes beside its pairs: a first, small training of that effect."""

from __future__ import annotations

import json
from pathlib import Path

from pocketgan.bundle.manifest import Origin

# The shipped `demo` was tuned at this side in pixels and this budget in true MACs, which grow with the pixels.
_SIDE, _BUDGET = 128, 110e6
# Square parts that it trains on: minutes on a CPU, whatever the resolution. A network looks farther around a pixel than
# a filter does, and its effect is learned from larger parts.
_CROP, _CROP_OF_NETWORK = 64, 128

_TEXT = """\
# A first, small training of the effect {name}: {time} on a CPU.{drawn_by}
# The photos are A and their effect is B, so that AtoB maps photos to the effect.
# For more quality: more steps; lambda_gan: 1 adds a discriminator, for effects that the L1 distance alone blurs.
name: {name}
seed: 0
resolution: {size}

data:
  source: folder
  folder: {folder}
  direction: AtoB

teacher:
  generator: incres9
  ngf: 24{teacher}

compress:
  budget: {budget}     # of true MACs: 12 times fewer than the teacher's
  by: macs
  least_width: 16
  inherit: true        # begin with the teacher's surviving weights: fresh ones need three times the steps

distill:{student}

export:
  targets: [onnx, executorch-xnnpack, coreml]

bundle: {{}}

bench:
  iterations: 16
  rounds: 4
  runs: 2
  threads: 1

report:
  title: {title}
"""
# The name quoted, so that it stays on its line.
_DRAWN_BY = """
# The effects were drawn by {file}, SHA-256 {sha256}."""
_TRAINING = """
  lambda_gan: 0{crop}
  steps: {steps}
  batch_size: 4
  learning_rate: {rate}  # a short run: higher than the papers' rate, falling from the start
  adam_betas: [0.9, 0.99]
  decay: 1
  checkpoint_every: 200
  sample_every: 200"""


def recipe_of_pairs(name: str, folder: Path, size: int, teacher: Origin | None = None) -> str:
    """Text of a recipe that learns B of the pairs in `folder` from A.

    Args:
        name: of the effect; the recipe, its run directory and its bundles are called so.
        folder: the data folder, named as a whole path, so that the recipe runs from everywhere.
        size: height and width of each picture in pixels; what `resolution` takes.
        teacher: the model that drew B, which the recipe then records; a filter where None.
    """
    side = _CROP if teacher is None else _CROP_OF_NETWORK
    crop = f"\n  crop: {side}" if size > side else ""
    return _TEXT.format(
        name=name,
        time="some minutes" if teacher is None else "ten minutes or more",
        drawn_by="" if teacher is None else _DRAWN_BY.format(file=json.dumps(teacher.file), sha256=teacher.sha256),
        size=size,
        folder=json.dumps(str(folder.resolve()), ensure_ascii=False),  # YAML takes JSON's quotes
        teacher=_TRAINING.format(crop=crop, steps=600, rate="2.0e-3"),
        budget=f"{round(_BUDGET * (size / _SIDE) ** 2 / 1e6, 1):g}M",
        student=_TRAINING.format(crop=crop, steps=250, rate="1.0e-3"),
        title=f"{name}, compressed",
    )
