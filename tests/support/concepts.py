"""A small E2GAN that looks trained, and concepts for it."""

from dataclasses import replace

import torch
from torch import nn

from pocketgan.training.adapter import Concept
from pocketgan.training.generators import build, spec_by_name
from pocketgan.training.generators.files import LoadedGenerator
from pocketgan.training.text.encoder import EncoderIdentity

SPEC = spec_by_name("e2gan", ngf=4, height=32, width=32)


def base_of(spec=SPEC, seed=0):
    """As after a training: weights that keep the variance of maps, norms that have met pictures, a text in the file."""
    network = build(spec, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        network.concept.normal_(generator=generator)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.weight.normal_(0.0, layer.weight[0].numel() ** -0.5, generator=generator)
        network.train()
        for _ in range(10):
            network(torch.rand(2, 3, spec.height, spec.width, generator=generator) * 2 - 1)
    return LoadedGenerator(network.eval(), spec, {"trained": "yes"})


def concept_of(width=512, seed=1, **named):
    tokens = torch.randn(77, width, generator=torch.Generator().manual_seed(seed))
    concept = Concept("ink", "make it an ink drawing", EncoderIdentity("sentences", "cd" * 32), tokens)
    return replace(concept, **named)
