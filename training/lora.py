"""A base generator with peft's LoRA branches for one concept, of which the branches alone can be trained."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pocketgan.errors import require
from pocketgan.training.adapter import Adapter, Concept, Ranks, adapted_layers, check_fits, weights_digest
from pocketgan.training.generators.files import LoadedGenerator

_NAME = "default"


class Adapted(nn.Module):
    """forward: image (n, c, h, w) in [-1, 1] -> image; of the concept, or within `off()` what the base makes of it.

    The base is a copy, frozen, and in eval mode whatever mode this module is put into: its norms go on with the base's
    statistics, which an adapter does not hold, so that the base without its branches stays bit for bit what it was.

    Args:
        base: of the family e2gan.
        ranks: of the five parts. A is drawn at random and B is 0, so that a fresh branch changes nothing.
        seed: of that.
    Raises:
        ModelError: the base cannot be adapted.
        MissingExtraError: peft is not installed.
    """

    concept_tokens: Tensor

    def __init__(self, base: LoadedGenerator, concept: Concept, ranks: Ranks, seed: int = 0) -> None:
        super().__init__()
        self.concept, self.ranks = concept, ranks
        self._identity = base.spec.digest, weights_digest(base.module)
        layers = adapted_layers(base.module, base.spec)
        self.base = _with_branches(copy.deepcopy(base.module).requires_grad_(False), layers, ranks, seed).eval()
        self.register_buffer("concept_tokens", concept.tokens[None].clone())
        self._layers: dict[str, Any] = {path: self.base.get_submodule(path) for path in layers}
        self._on = True
        # The branches alone, for optimisers and checkpoints; the parameters are those of the layers.
        self.branches = nn.ModuleDict(
            {
                path.replace(".", "/"): nn.ModuleList([layer.lora_A[_NAME], layer.lora_B[_NAME]])
                for path, layer in self._layers.items()
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x, self.concept_tokens.expand(x.shape[0], -1, -1)) if self._on else self.base(x)

    def train(self, mode: bool = True) -> Adapted:
        super().train(mode)
        self.base.eval()
        return self

    @contextmanager
    def off(self) -> Iterator[None]:
        """The base as it is without its branches, with the text that its file holds."""
        self._switch(on=False)
        try:
            yield
        finally:
            self._switch(on=True)

    def _switch(self, on: bool) -> None:
        self._on = on
        trained = [parameter for parameter in self.branches.parameters() if parameter.requires_grad]
        for layer in self._layers.values():
            layer.enable_adapters(on)
        for parameter in trained:  # peft freezes what it switches off
            parameter.requires_grad_(True)

    def adapter(self) -> Adapter:
        """What the branches are now."""
        factors = {
            path: (_copied(layer.lora_A[_NAME].weight), _copied(layer.lora_B[_NAME].weight).flatten(1))
            for path, layer in self._layers.items()
        }
        return Adapter(*self._identity, self.ranks, self.concept, factors)

    @torch.no_grad()
    def load(self, adapter: Adapter) -> None:
        """Give the branches an adapter's factors, of the same ranks.

        Raises:
            ModelError: the factors are of other shapes or layers.
        """
        for path, (a, b) in adapter.factors.items():
            layer = self._layers[path]
            layer.lora_A[_NAME].weight.copy_(a)
            layer.lora_B[_NAME].weight.copy_(b.view_as(layer.lora_B[_NAME].weight))


def attach(base: LoadedGenerator, adapter: Adapter) -> Adapted:
    """The base with a trained adapter beside it, to compare it with or to train it on.

    Raises:
        ModelError: the adapter is not of this base.
        MissingExtraError: peft is not installed.
    """
    check_fits(adapter, base)
    adapted = Adapted(base, adapter.concept, adapter.ranks)
    adapted.load(adapter)
    return adapted


def _with_branches(network: nn.Module, layers: dict[str, str], ranks: Ranks, seed: int) -> nn.Module:
    require("adapt", "peft")
    with _quiet_imports():
        from peft import LoraConfig, inject_adapter_in_model

    rank_of = {re.escape(path): ranks.to_json()[part] for path, part in layers.items()}
    # peft matches lists of names by their ends, a string as a whole. It scales by alpha / rank: equal, they scale by 1.
    config = LoraConfig(
        r=1, lora_alpha=1, target_modules="|".join(rank_of), rank_pattern=rank_of, alpha_pattern=dict(rank_of)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return inject_adapter_in_model(config, network, _NAME)


@contextmanager
def _quiet_imports() -> Iterator[None]:
    """transformers, which peft imports, warns of what is not installed for models that are not ours."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _copied(weight: Tensor) -> Tensor:
    return weight.detach().cpu().float().contiguous().clone()
