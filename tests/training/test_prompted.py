"""A base of several concepts: every picture is told its concept, and the network listens."""

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from concepts import SPEC
from torch import nn
from torch.nn import functional

from pocketgan.pictures import write_image
from pocketgan.training.data.paired import Pair
from pocketgan.training.data.prompted import PromptedImages
from pocketgan.training.fit import FitOptions, fit
from pocketgan.training.generators import build
from pocketgan.training.processes import join
from pocketgan.training.programs import Optimiser
from pocketgan.training.programs.e2gan import Prompted, PromptedDiscriminator
from pocketgan.training.programs.pix2pix import Pix2Pix

TEXTS = torch.randn(3, 77, 512, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _forget_precision():
    yield
    AcceleratorState._reset_state()


@pytest.fixture
def pairs(tmp_path):
    for name, value in (("a", 10), ("b", 200)):
        write_image(tmp_path / f"{name}.png", np.full((8, 8, 3), value, np.uint8))
    return [Pair(tmp_path / "a.png", tmp_path / "b.png"), Pair(tmp_path / "b.png", tmp_path / "a.png")]


def of_concept(number, count=1, side=32):
    images = torch.zeros(count, 4, side, side)
    images[:, 3] = number
    return images


class Listener(nn.Module):
    """Draws the mean of its text."""

    def forward(self, images, text):
        assert images.shape[1] == 3
        return text.mean((1, 2))[:, None, None, None].expand(-1, 3, *images.shape[2:])


def test_a_fourth_channel_names_the_concept(pairs):
    images = PromptedImages(pairs, [2, 0], (16, 16), flip=True)
    for told in (images.whole(0), images.sample(0, np.random.default_rng(0))):
        assert told["input"].shape == (4, 16, 16)
        assert told["target"].shape == (3, 16, 16)
        assert (told["input"][3] == 2).all()
    assert (images.view(images.whole(1)["input"]) == 200).all()


def test_each_picture_of_a_batch_is_drawn_with_its_own_text():
    images = torch.cat([of_concept(2), of_concept(0), of_concept(2)])
    drawn = Prompted(Listener(), TEXTS)(images)[:, 0, 0, 0]
    assert torch.equal(drawn, TEXTS.mean((1, 2))[[2, 0, 2]])


def test_the_discriminator_judges_the_same_picture_by_its_concept():
    judge = PromptedDiscriminator(TEXTS, ndf=4, seed=0).eval()
    made = torch.zeros(1, 3, 32, 32)
    first, again, other = (judge(torch.cat([of_concept(number), made], 1)) for number in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, rtol=0.1, atol=0)


def test_texts_are_in_no_checkpoint():
    assert not [name for name in Prompted(build(SPEC, 0), TEXTS).state_dict() if "tokens" in name]


class Clouds:
    """Soft patches of colour: concept 0 keeps them, concept 1 gives their negative."""

    def __len__(self):
        return 16

    def sample(self, index, random):
        coarse = torch.from_numpy(random.uniform(-0.9, 0.9, (1, 3, 4, 4)).astype("float32"))
        photo = functional.interpolate(coarse, size=(32, 32), mode="bilinear")[0]
        number = index % 2
        return {"input": torch.cat([photo, torch.full((1, 32, 32), float(number))]), "target": photo * (1 - 2 * number)}


def test_a_base_learns_what_each_text_means(tmp_path):
    network = Prompted(build(SPEC, 0), TEXTS[:2])
    judge = PromptedDiscriminator(TEXTS[:2], 4, 0)
    program = Pix2Pix(network, judge, lambda_gan=0, optimiser=Optimiser((), 3e-3, (0.5, 0.999), 0.5))
    fit(program, Clouds(), FitOptions(steps=300, batch_size=4, seed=0), tmp_path, "base", join())
    random = np.random.default_rng(0)
    photos = torch.stack([Clouds().sample(0, random)["input"][:3] for _ in range(8)])

    def likeness(number):
        with torch.no_grad():
            made = network(torch.cat([photos, of_concept(number)[:, 3:].expand(8, -1, -1, -1)], 1))
        return torch.corrcoef(torch.stack([made.flatten(), photos.flatten()]))[0, 1]

    # Which of them a short training has learnt better differs from one processor to another.
    assert likeness(0) > 0.2
    assert likeness(1) < -0.2
