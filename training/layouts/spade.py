"""SPADE's generator: named layers and stages."""

from __future__ import annotations

from pocketgan.training.generators.spade import STAGES, spades
from pocketgan.training.generators.spec import GeneratorSpec
from pocketgan.training.layouts.reading import Reading, Tensors

STAGE_NAMES = {stage: stage.replace("up", "up_") for stage in STAGES} | {
    "head": "head_0",
    "middle0": "G_middle_0",
    "middle1": "G_middle_1",
}


def spade(spec: GeneratorSpec, tensors: Tensors) -> Reading:
    """Named layers: fc, head_0, G_middle_0 and 1, up_0 to up_3, conv_img."""
    norms = {"spade0": "norm_0", "spade1": "norm_1", "spade_shortcut": "norm_s"}
    names = {"fc": "fc", "head": "conv_img"}
    for stage, theirs in STAGE_NAMES.items():
        ours = f"stages.{stage}"
        names |= {f"{ours}.conv0": f"{theirs}.conv_0", f"{ours}.conv1": f"{theirs}.conv_1"}
        names[f"{ours}.shortcut"] = f"{theirs}.conv_s"
        for name in spades(stage):
            there, here = f"{theirs}.{norms[name]}", f"{ours}.{name}"
            names[f"{here}.norm"] = f"{there}.param_free_norm"
            names[f"{here}.modulation.shared"] = f"{there}.mlp_shared.0"
            names[f"{here}.modulation.scale"] = f"{there}.mlp_gamma"
            names[f"{here}.modulation.shift"] = f"{there}.mlp_beta"
    return Reading(spec, names)
