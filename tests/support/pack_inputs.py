"""A base and adapters as if they were trained, small enough to be exported in a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from pocketgan.training.adapter import Adapter, Concept, default_ranks, factor_shapes, weights_digest
from pocketgan.training.adapter_files import save_adapter
from pocketgan.training.generators import build, spec_by_name
from pocketgan.training.generators.files import LoadedGenerator, load_generator, save_generator
from pocketgan.training.text.encoder import EncoderIdentity

# Words of a text, again and again up to 77, as the sentence encoder has them.
WORDS = 9


def make_base(path: Path, name: str = "e2gan", ngf: int | None = 4, side: int = 32, seed: int = 1) -> LoadedGenerator:
    spec = spec_by_name(name, ngf=ngf, height=side, width=side)
    network = build(spec)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, (1.6 / parameter[0].numel()) ** 0.5, generator=random)
    save_generator(path, network, spec, {"trained": "yes"})
    return load_generator(path)


def make_adapter(path: Path, base: LoadedGenerator, name: str, seed: int, strength: float = 0.05) -> None:
    random = torch.Generator().manual_seed(seed)
    ranks, factors = default_ranks(base.spec), {}
    for layer, (a, b) in factor_shapes(base.spec, ranks).items():
        inputs = torch.Size(a[1:]).numel()
        factors[layer] = (
            torch.randn(a, generator=random) / inputs**0.5,
            torch.randn(b, generator=random) * strength,
        )
    words = torch.randn(WORDS, 512, generator=random)
    concept = Concept(name, f"a {name} picture", EncoderIdentity("words", "0" * 64), words[torch.arange(77) % WORDS])
    digest = weights_digest(base.module)
    save_adapter(path, Adapter(base.spec.digest, digest, ranks, concept, factors))


def make_pack_inputs(
    folder: Path, concepts: Sequence[str], name: str = "e2gan", ngf: int | None = 4, side: int = 32
) -> LoadedGenerator:
    """`base.safetensors` and `effects/` in a folder."""
    base = make_base(folder / "base.safetensors", name, ngf, side)
    (folder / "effects").mkdir(parents=True)
    for seed, concept in enumerate(concepts, start=10):
        make_adapter(folder / "effects" / f"{concept}.safetensors", base, concept, seed)
    return base
