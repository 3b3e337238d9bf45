"""CLIP's text tower (Radford et al. 2021): the states of its tokens, as Stable Diffusion conditions on them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pocketgan.training.generators.e2gan import TEXT_TOKENS
from pocketgan.training.text.encoder import CachedEncoder, too_long
from pocketgan.training.text.pretrained import find_clip, identify, load
from pocketgan.training.text.projection import SEED, to_text_width

VERSION = 1


class ClipText(CachedEncoder):
    """Last states after the final norm, padded with the end's token to 77, brought to 512 numbers.

    Args:
        source: a local folder in transformers' layout, or a hub's id, whose copy is kept by the hub's client.
    Raises:
        MissingExtraError: transformers is not installed.
        ModelError: there is no such model.
    """

    def __init__(self, source: str) -> None:
        self._folder = find_clip(source)
        name = f"clip:{Path(source).name if Path(source).is_dir() else source}"
        self.identity = identify(name, self._folder, kind="clip", version=VERSION, projection=SEED)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        return load("CLIPTokenizer", self._folder), load("CLIPTextModel", self._folder)

    def states(self, text: str) -> Tensor:
        """(77, 512) float32."""
        tokenizer, model = self._loaded
        tokens = tokenizer([text], padding="max_length", max_length=TEXT_TOKENS, return_tensors="pt")["input_ids"]
        if tokens.shape[1] > TEXT_TOKENS:
            raise too_long(text, tokens.shape[1])
        with torch.inference_mode():
            return to_text_width(model(input_ids=tokens).last_hidden_state[0]).clone()
