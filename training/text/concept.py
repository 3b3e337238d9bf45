"""The text of a concept, made part of a generator; the phone never sees it."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pocketgan.errors import ModelError
from pocketgan.training.text.encoder import SHAPE, TextIdentity


def with_concept(generator: nn.Module, features: Tensor) -> nn.Module:
    """A copy of the generator that takes an image alone, and gives what it gives for the image with that text.

    Args:
        generator: an `e2gan`, merged or plain; stays as it is.
        features: (77, 512), one row of a TextEncoder's.
    Raises:
        ModelError: the generator takes no text, or the features are not of its size, or not finite.
    """
    held = getattr(generator, "concept", None)
    if not isinstance(held, Tensor):
        raise ModelError(f"a {type(generator).__name__} takes no text; a concept is for e2gan")
    if features.shape != SHAPE or held.shape[1:] != SHAPE:
        raise ModelError(f"a concept's text is of 77x512 numbers, not {'x'.join(map(str, features.shape))}")
    if not features.isfinite().all():
        raise ModelError("the features of the concept's text are not finite numbers")
    made = copy.deepcopy(generator)
    with torch.no_grad():
        made.get_buffer("concept").copy_(features)
    return made


def metadata_of(identity: TextIdentity, text: str | None = None) -> dict[str, str]:
    """What a model file says of the text features that it was made with, and of the concept whose text it holds."""
    said = {"text_encoder": identity.name, "text_encoder_digest": identity.digest}
    return said if text is None else {**said, "concept": text}


def encoder_of(metadata: Mapping[str, str]) -> TextIdentity | None:
    """The encoder that `metadata_of` recorded; None in files that say nothing of texts."""
    if "text_encoder_digest" not in metadata:
        return None
    return TextIdentity(metadata.get("text_encoder", "?"), metadata["text_encoder_digest"])


def check_encoder(metadata: Mapping[str, str], identity: TextIdentity, what: str) -> None:
    """Whether features of this encoder are those that a base or an adapter was trained with.

    Args:
        what: names the file to the user.
    Raises:
        ModelError: they are another encoder's; both are named.
    """
    trained = encoder_of(metadata)
    if trained is not None and trained.digest != identity.digest:
        raise ModelError(
            f"{what} was trained with text features of {trained}, not of {identity}; take that encoder, or features "
            "that it wrote"
        )
