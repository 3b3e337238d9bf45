"""Branches begin along the gradient of the base's own weights, and change nothing yet."""

import copy

import numpy as np
import torch
from concepts import base_of, concept_of

from pocketgan.training.adapter import Ranks
from pocketgan.training.gradient_init import begin_along_gradient
from pocketgan.training.lora import Adapted

RANKS = Ranks(1, 2, 1, 2, 2)


class Noise:
    """Pairs of noise, the same whenever asked."""

    def __len__(self):
        return 5

    def sample(self, index, random):
        generator = torch.Generator().manual_seed(index)
        image = torch.rand(3, 32, 32, generator=generator) * 2 - 1
        return {"input": image, "target": image.flip(0)}


def fresh(own):
    return Adapted(own, concept_of(), RANKS, seed=4)


def test_every_a_spans_what_the_gradient_of_its_layer_is_strongest_in():
    own = base_of()
    adapted, drawn = fresh(own), fresh(own)
    begin_along_gradient(adapted, Noise(), images=5, batch_size=5, seed=0)
    network = copy.deepcopy(own.module).eval().requires_grad_(True)
    pairs = [Noise().sample(i, None) for i in range(5)]
    inputs, targets = (torch.stack([pair[key] for pair in pairs]) for key in ("input", "target"))
    (network(inputs, concept_of().tokens.expand(5, -1, -1)) - targets).abs().mean().backward()
    factors, before = adapted.adapter().factors, drawn.adapter().factors
    assert factors
    for path, (a, b) in factors.items():
        rows = a.flatten(1)
        gradient = network.get_submodule(path).weight.grad.flatten(1)
        # The best approximation of that rank keeps as much of the gradient as its greatest singular values hold.
        kept = torch.linalg.norm(gradient @ torch.linalg.pinv(rows) @ rows)
        most = torch.linalg.svdvals(gradient)[: len(rows)].square().sum().sqrt()
        torch.testing.assert_close(kept, most, rtol=1e-3, atol=1e-9)
        length = before[path][0].flatten(1).norm(dim=1).mean()
        torch.testing.assert_close(rows.norm(dim=1), length.expand(len(rows)))
        assert not b.any()


def test_nothing_changes_but_where_branches_begin():
    own = base_of()
    adapted = fresh(own)
    images = torch.stack([Noise().sample(i, None)["input"] for i in range(2)])
    with torch.no_grad():
        before = adapted(images)
    begin_along_gradient(adapted, Noise(), images=5, batch_size=2, seed=0)
    with torch.no_grad():
        assert torch.equal(adapted(images), before)
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, parameter in fresh(own).named_parameters() if parameter.requires_grad}
    assert all(parameter.grad is None for parameter in adapted.parameters())


def test_batches_only_divide_the_work():
    own = base_of()
    one, several = fresh(own), fresh(own)
    begin_along_gradient(one, Noise(), images=4, batch_size=4, seed=0)
    begin_along_gradient(several, Noise(), images=4, batch_size=1, seed=0)
    for (a, _), (b, _) in zip(one.adapter().factors.values(), several.adapter().factors.values(), strict=True):
        cosines = torch.nn.functional.cosine_similarity(a.flatten(1), b.flatten(1)).abs()
        torch.testing.assert_close(cosines, torch.ones(len(a)), atol=1e-3, rtol=0)


def as_drawn(adapted, own):
    drawn = fresh(own).adapter().factors
    return all(torch.equal(a, drawn[path][0]) for path, (a, _) in adapted.adapter().factors.items())


def test_a_base_that_is_right_already_and_pixels_that_are_no_numbers_leave_branches_as_drawn():
    own = base_of()
    right, broken = fresh(own), fresh(own)

    class Drawn(Noise):
        def sample(self, index, random):
            image = super().sample(index, random)["input"]
            with torch.no_grad():
                return {"input": image, "target": right(image[None])[0]}

    class Broken(Noise):
        def sample(self, index, random):
            return {name: np.nan * image for name, image in super().sample(index, random).items()}

    begin_along_gradient(right, Drawn(), images=5, batch_size=1, seed=0)
    begin_along_gradient(broken, Broken(), images=5, batch_size=1, seed=0)
    assert as_drawn(right, own)
    assert as_drawn(broken, own)


def test_a_branch_of_a_higher_rank_than_there_are_directions_keeps_the_rest_as_drawn():
    own = base_of()
    adapted = fresh(own)
    before = fresh(own).adapter().factors["us.conv"][0]
    row = torch.nn.functional.normalize(torch.arange(1.0, before[0].numel() + 1), dim=0)
    adapted.point({"us.conv": row[None]})
    after = adapted.adapter().factors["us.conv"][0]
    torch.testing.assert_close(after[0].flatten(), before.flatten(1).norm(dim=1).mean() * row)
    assert torch.equal(after[1], before[1])
