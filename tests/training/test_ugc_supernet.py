"""UGC's stage 1: what one step of the sandwich does, and what memory it takes.

The memory goal is a benchmark (make bench):

    .venv/bin/python -m pytest -m heavy -s tests/training/test_ugc_supernet.py
"""

import subprocess
import sys

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tiny_vgg import Vgg

from pocketgan.recipe.sections import TeacherStage
from pocketgan.training.discriminators import PatchDiscriminator
from pocketgan.training.generators import build, spec_by_name
from pocketgan.training.online_distillation import OnlineDistillation
from pocketgan.training.programs import Part, ugc_supernet
from pocketgan.training.programs.pix2pix import Pix2Pix
from pocketgan.training.programs.ugc_supernet import UgcSupernet, distillation_loss
from pocketgan.training.state import TrainingState
from pocketgan.training.supernet import Supernet
from pocketgan.training.supernet_space import Space

SPACE = Space(
    spec_by_name("resnet6", ngf=4, norm="batch", height=32, width=32), widths=(1, 2, 4), depths=(0, 1), inserted=1
)


def program(seed=0):
    network = build(SPACE.whole, seed)
    task = Pix2Pix(network, PatchDiscriminator(6, 4, layers=2, seed=seed))
    return UgcSupernet(task, Supernet(SPACE, network), OnlineDistillation(Vgg()))


def batch(labelled=2, unlabelled=3):
    """Every input is of one grey value: labelled ones below zero, others above."""
    random = torch.Generator().manual_seed(1)
    below = -torch.arange(1, labelled + 1) / 10
    above = torch.arange(1, unlabelled + 1) / 10
    grey = {"input": below, "target": below, **({"unlabelled": above} if unlabelled else {})}
    return {
        name: values.view(-1, 1, 1, 1) + 0.05 * torch.randn(len(values), 3, 32, 32, generator=random)
        for name, values in grey.items()
    }


def test_a_step_trains_the_largest_on_pairs_then_a_random_and_the_smallest_by_its_pictures():
    phases = list(program().losses(batch()))
    names = [[*terms] for _, terms in phases]
    distances = ["ssim", "style", "content", "tv"]
    assert names == [
        ["discriminator"],
        ["adversarial", "l1"],
        [f"random_{name}" for name in distances],
        [f"smallest_{name}" for name in distances],
    ]
    assert [isinstance(phase, Part) for phase in phases] == [False, True, True, False]


def test_the_shared_weights_make_one_step_along_the_sum_of_the_three_gradients(monkeypatch):
    whole = program()
    parameters = dict(whole.supernet.network.named_parameters())
    torch.manual_seed(5)
    total = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    judged = whole.losses(batch())
    next(judged)  # the discriminator does not step here
    for _, terms in judged:
        gradients = torch.autograd.grad(
            torch.stack([*terms.values()]).sum(), [*parameters.values()], allow_unused=True, retain_graph=True
        )
        for name, gradient in zip(parameters, gradients, strict=True):
            total[name] += 0 if gradient is None else gradient

    other, steps = program(), []
    state = TrainingState(other, Accelerator(cpu=True), steps=1, averaged="generator", average_decay=0)
    generator, judge = state._optimisers["generator"], state._optimisers["discriminator"]
    found = {}

    def step():
        steps.append("generator")
        found.update({name: p.grad.clone() for name, p in other.supernet.network.named_parameters()})

    monkeypatch.setattr(generator, "step", step)
    monkeypatch.setattr(judge, "step", lambda: steps.append("discriminator"))
    torch.manual_seed(5)
    state.step([{name: values[i] for name, values in batch().items() if i < len(values)} for i in range(3)], 0)
    assert steps == ["discriminator", "generator"]
    for name, gradient in total.items():
        assert torch.allclose(found[name], gradient, rtol=1e-3, atol=1e-4 * gradient.abs().max().item() + 1e-7), name


def test_a_sub_network_is_held_against_the_largest_ones_pictures_of_the_same_inputs(monkeypatch):
    """Expected: L_OD between the pictures of plain networks, extracted before the step."""
    step, inputs = program(), batch()["unlabelled"]
    one = SPACE.random(np.random.default_rng(3))
    monkeypatch.setattr(Space, "random", lambda self, rng: one)
    monkeypatch.setattr(step, "_images", lambda batch: inputs)
    alone = {
        name: step.supernet.extract(found)[0].train() for name, found in (("random", one), ("smallest", SPACE.smallest))
    }
    with torch.no_grad():
        largest = step.distance.teacher(step.supernet.network(inputs))
        expected = {
            f"{name}_{term}": value.item()
            for name, network in alone.items()
            for term, value in step.distance(network(inputs), largest).items()
        }
    found = {name: value.item() for _, terms in step.losses(batch()) for name, value in terms.items()}
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    assert abs(expected["random_ssim"] - expected["smallest_ssim"]) > 1e-3


def test_the_losss_weights_are_those_of_the_recipe(monkeypatch):
    monkeypatch.setattr(ugc_supernet, "load_vgg16", lambda path: (Vgg(), path))
    weights = {"lambda_ssim": 1, "lambda_style": 2, "lambda_content": 3, "lambda_tv": 4}
    loss = distillation_loss(TeacherStage.model_validate({"program": "ugc", "steps": 1, **weights}), "a.pth")
    assert (loss.ssim, loss.style, loss.content, loss.tv, loss.vgg[1]) == (1, 2, 3, 4, "a.pth")


def test_labelled_images_are_images_too_and_the_largest_is_looked_at_once():
    torch.manual_seed(2)
    step, below = program(), 0
    for _ in range(20):
        inputs = step._images(batch(labelled=3, unlabelled=3))
        assert len(inputs) == 3
        below += int((inputs.mean((1, 2, 3)) < 0).sum())
    assert 15 < below < 45  # half of 60
    list(step.losses(batch()))
    assert [len(images) for images in step.distance.vgg.seen] == [3, 3, 3]


def test_without_other_images_the_labelled_inputs_serve():
    step, images = program(), batch(unlabelled=0)
    assert torch.equal(step._images(images), images["input"])


def test_random_sub_networks_follow_from_torchs_generator(monkeypatch):
    drawn = []
    step = program()
    draw = step.supernet.draw

    def remembered(one, images):
        drawn.append(one)
        return draw(one, images)

    monkeypatch.setattr(step.supernet, "draw", remembered)
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        list(step.losses(batch()))
    assert drawn[0] == drawn[2] != drawn[4]
    assert drawn[1] == drawn[3] == drawn[5] == SPACE.smallest


PEAK = """
import resource, sys
import torch
from accelerate import Accelerator
from pocketgan.training.discriminators import PatchDiscriminator
from pocketgan.training.generators import build, spec_by_name
from pocketgan.training.online_distillation import OnlineDistillation
from pocketgan.training.programs.pix2pix import Pix2Pix
from pocketgan.training.programs.ugc_supernet import UgcSupernet
from pocketgan.training.state import TrainingState
from pocketgan.training.supernet import Supernet
from pocketgan.training.supernet_space import Space
from pocketgan.training.vgg import VggFeatures
space = Space(spec_by_name(sys.argv[2]))
network = build(space.whole)
program = Pix2Pix(network, PatchDiscriminator(6, 64))
if sys.argv[1] == "sandwich":
    program = UgcSupernet(program, Supernet(space, network), OnlineDistillation(VggFeatures("vgg16", taps="last")))
state = TrainingState(program, Accelerator(cpu=True), steps=2, averaged="generator", average_decay=0)
for number in range(2):
    torch.manual_seed(number)
    names = ("input", "target", "unlabelled")
    state.step([{name: torch.rand(3, 256, 256) * 2 - 1 for name in names} for _ in range(4)], number)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["unet256", "resnet9"])
def test_a_step_takes_at_most_three_tenths_more_memory_than_the_largest_alone(name):
    def peak(program):
        run = subprocess.run([sys.executable, "-c", PEAK, program, name], capture_output=True, text=True, check=True)
        return int(run.stdout.split()[-1])

    alone, sandwich = peak("alone"), peak("sandwich")
    print(f"{name}: {sandwich / 2**30:.2f} GiB, {sandwich / alone:.3f} times the largest alone")
    assert sandwich <= 1.3 * alone
