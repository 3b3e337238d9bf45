"""Steps a second on a CPU in every precision, against a plain float32 PyTorch loop of the same networks (make bench).

    .venv/bin/python -m pytest -m heavy -s tests/training/test_throughput.py

A turn is one step of each, one after the other in one process, so that a busy machine slows both; the ratio of a turn
is that of its two times, and the median over the turns is reported.
"""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from pocketgan.processor import cpu_name, fast_bf16
from pocketgan.training.cost import cost, cost_function
from pocketgan.training.discriminators import PatchDiscriminator
from pocketgan.training.fit import FitOptions, fit
from pocketgan.training.generators import build, spec_by_name
from pocketgan.training.losses import AdversarialLoss
from pocketgan.training.processes import join
from pocketgan.training.programs.distill import Distill
from pocketgan.training.programs.pix2pix import Pix2Pix
from pocketgan.training.search import search
from pocketgan.training.similarity import FeatureDistance, GlobalKernelAlignment

TURNS = 6
TEACHER = spec_by_name("incres9")
ADVERSARIAL, GKA = AdversarialLoss("hinge"), GlobalKernelAlignment()


class Images:
    """Pairs in memory: the loops differ, not the disk."""

    def __len__(self):
        return TURNS + 1

    def sample(self, index, random):
        return {name: torch.rand(3, 256, 256) * 2 - 1 for name in ("input", "target")}


def require_gradients(network, on):
    for parameter in network.parameters():
        parameter.requires_grad_(on)


def plain_steps(generator, discriminator, teacher=None):
    """What one would write first: the step of the pix2pix paper, with Adam as it comes."""
    optimiser_g = torch.optim.Adam(generator.parameters(), 2e-4, betas=(0.5, 0.999))
    optimiser_d = torch.optim.Adam(discriminator.parameters(), 2e-4, betas=(0.5, 0.999))
    generator.train()
    discriminator.train()
    data = Images()
    while True:
        pair = data.sample(0, np.random.default_rng(0))
        source, target = pair["input"][None], pair["target"][None]
        if teacher is not None:
            with torch.no_grad():
                _, wanted = teacher.forward_with_features(source)
        fake, features = generator.forward_with_features(source)

        require_gradients(discriminator, True)
        optimiser_d.zero_grad()
        real_scores = discriminator(torch.cat([source, target], 1))
        fake_scores = discriminator(torch.cat([source, fake.detach()], 1))
        ADVERSARIAL.discriminator(real_scores, fake_scores).backward()
        optimiser_d.step()

        require_gradients(discriminator, False)
        optimiser_g.zero_grad()
        loss = ADVERSARIAL.generator(discriminator(torch.cat([source, fake], 1)))
        loss = loss + 100 * (fake - target).abs().mean()
        if teacher is not None:
            loss = loss + 0.5 * sum(1 - GKA(x, y) for x, y in zip(wanted, features, strict=True))
        loss.backward()
        optimiser_g.step()
        yield loss.item()


def turns(program, plain, folder: Path, precision):
    """Seconds of (our step, plain step), turn by turn; the first is a warm-up and left out.

    Ours is the whole loop of `fit`, timed from one call of the program's losses to the next. The plain loop has a
    thread of its own, which `fit` waits for: what `fit` switches on in its thread does not reach it.
    """
    thread = ThreadPoolExecutor(1)
    marks, pauses = [], []
    losses = program.losses

    def timed(batch):
        marks.append(time.perf_counter())
        thread.submit(next, plain).result()
        pauses.append(time.perf_counter() - marks[-1])
        yield from losses(batch)

    program.losses = timed
    rarely = 10**6
    options = FitOptions(TURNS + 2, 1, seed=0, checkpoint_every=rarely, sample_every=rarely, log_every=1)
    fit(program, Images(), options, folder, label="throughput", accelerator=join(precision, cpu=True))
    AcceleratorState._reset_state()
    thread.shutdown()
    whole = np.diff(marks)
    return [(float(a - b), b) for a, b in list(zip(whole, pauses[:-1], strict=True))[1:]]


def report(name, precision, found):
    ratios = [plain / ours for ours, plain in found]
    ours, plain = (statistics.median(values) for values in zip(*found, strict=True))
    ratio = statistics.median(ratios)
    print(
        f"\n{name}, incres9 ngf 64, 256x256, batch 1, {torch.get_num_threads()} thread(s) of {PROCESSOR}:"
        f"\n    {precision} {1 / ours:.3f} steps/s, plain fp32 loop {1 / plain:.3f}; ratio {ratio:.2f} "
        f"(turns {min(ratios):.2f} to {max(ratios):.2f})"
        "\n    .venv/bin/python -m pytest -m heavy -s tests/training/test_throughput.py"
    )
    return ratio


PROCESSOR = f"{cpu_name()} ({fast_bf16() or 'neither AMX nor AVX-512 BF16'})"
# Times a plain float32 loop. AVX-512 BF16 alone is reported and has no goal: without AMX an Intel was at 0.86 to 0.89.
GOALS = {"fp32": 1.2, "bf16": 2.0 if fast_bf16() == "AMX" else 0.0}
PRECISIONS = [
    pytest.param("fp32"),
    pytest.param("bf16", marks=pytest.mark.skipif(fast_bf16() is None, reason="bf16 is emulated here: many minutes")),
]


@pytest.mark.heavy
@pytest.mark.parametrize("precision", PRECISIONS)
def test_pix2pix_steps_are_faster_than_a_plain_loop(tmp_path, precision):
    program = Pix2Pix(build(TEACHER, 1), PatchDiscriminator(6))
    found = turns(program, plain_steps(build(TEACHER, 1), PatchDiscriminator(6)), tmp_path, precision)
    assert report("pix2pix", precision, found) >= GOALS[precision]


@pytest.mark.heavy
@pytest.mark.parametrize("precision", PRECISIONS)
def test_distill_steps_are_faster_than_a_plain_loop(tmp_path, precision):
    teacher = build(TEACHER, 1).eval().requires_grad_(False)
    student = search(teacher, TEACHER, cost_function("macs_by_output"), 2.6e9).spec
    print(f"\nstudent of {cost(student).macs_by_output / 1e9:.2f} G MACs by output")
    task = Pix2Pix(build(student, 2), PatchDiscriminator(6))
    # Not the same teacher: that of `fit` changes its order in memory.
    plain = plain_steps(build(student, 2), PatchDiscriminator(6), build(TEACHER, 1).eval().requires_grad_(False))
    found = turns(Distill(task, teacher, FeatureDistance("gka")), plain, tmp_path, precision)
    assert report("distill", precision, found) >= GOALS[precision]
