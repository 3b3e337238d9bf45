"""Encoders by what a user calls them."""

from __future__ import annotations

from pathlib import Path

from pocketgan.errors import require
from pocketgan.training.text.encoder import TextEncoder

SENTENCE = "sentence"


def open_encoder(source: str = SENTENCE) -> TextEncoder:
    """`sentence`, a `.safetensors` file of `pocketgan text`, or CLIP's folder or hub id.

    Raises:
        MissingExtraError: transformers is not installed.
        ModelError: there is no such encoder; says how to get one.
    """
    if source.endswith(".safetensors"):
        from pocketgan.training.text.precomputed import PrecomputedText

        return PrecomputedText(Path(source))
    require("text", "transformers", "torch")
    if source == SENTENCE:
        from pocketgan.training.text.sentence import SentenceText

        return SentenceText()
    from pocketgan.training.text.clip import ClipText

    return ClipText(source)
