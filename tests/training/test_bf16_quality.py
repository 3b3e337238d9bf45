"""What bf16 costs in quality: validation L1 after 300 steps, against float32 (make bench; minutes).

    .venv/bin/python -m pytest -m heavy -s tests/training/test_bf16_quality.py

IncRes-9 of width 32 at 128x128, batch 1, as the pix2pix program trains it, on built-in photos and their ink drawings:
width 64 at 256x256 would take an hour of one core with AMX, this takes 9 minutes.
"""

import statistics

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from pocketgan.pictures import write_image
from pocketgan.processor import cpu_name, fast_bf16
from pocketgan.training.data.builtin import crops
from pocketgan.training.data.paired import Pair, PairedImages
from pocketgan.training.discriminators import PatchDiscriminator
from pocketgan.training.fit import FitOptions, fit
from pocketgan.training.generators import build, spec_by_name
from pocketgan.training.processes import join
from pocketgan.training.programs.pix2pix import Pix2Pix
from pocketgan.training.quality.distance import l1_distance
from pocketgan.training.teachers import filters

SIZE, STEPS, SEEDS = 128, 300, (0, 1, 2)
SPEC = spec_by_name("incres9", ngf=32, height=SIZE, width=SIZE)


def drawings(photos, folder, flip):
    """Photos and their ink drawings, side by side in files."""
    folder.mkdir()
    pairs = [Pair(folder / f"{index}.png") for index in range(len(photos))]
    for photo, pair in zip(photos, pairs, strict=True):
        write_image(pair.a, np.hstack([photo, filters.apply("ink", photo)]))
    return PairedImages(pairs, "AtoB", (SIZE, SIZE), flip=flip)


@pytest.mark.heavy
@pytest.mark.skipif(fast_bf16() is None, reason="bf16 is emulated here: it would take hours")
def test_validation_l1_with_bf16_is_float32s(tmp_path):
    photos = crops(SIZE, 360, 24, seed=0)
    train = drawings(photos["train"], tmp_path / "train", flip=True)
    val = drawings(photos["val"], tmp_path / "val", flip=False)
    found = {"fp32": [], "bf16": []}
    for seed in SEEDS:
        for precision, values in found.items():
            program = Pix2Pix(build(SPEC, seed), PatchDiscriminator(6, seed=seed))
            options = FitOptions(STEPS, 1, seed, checkpoint_every=10**6, sample_every=10**6)
            label = f"{precision}-{seed}"
            fit(program, train, options, tmp_path / label, label, join(precision, cpu=True))
            AcceleratorState._reset_state()
            values.append(l1_distance(program.generator, val, torch.device("cpu")))
    means = {precision: statistics.mean(values) for precision, values in found.items()}
    for precision, values in found.items():
        print(f"\n{precision}: L1 {', '.join(f'{value:.4f}' for value in values)}; mean {means[precision]:.4f}", end="")
    print(f"\nbf16 / fp32 {means['bf16'] / means['fp32']:.4f}, {cpu_name()} ({fast_bf16()})")
    assert means["bf16"] <= 1.03 * means["fp32"]
