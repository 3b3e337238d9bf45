"""Models in transformers' layout: in a folder of this computer, or from a model hub; a folder asks no network."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pocketgan.errors import ModelError, require
from pocketgan.files import sha256_file, sha256_json
from pocketgan.training.text.encoder import TextIdentity

_SETTINGS = ("*.json", "*.txt")
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_HOW = (
    "where there is a network: hf download openai/clip-vit-base-patch32 --local-dir clip, then name that folder; "
    "offline, 'sentence' reads texts and Inception sees pictures"
)


def find_clip(source: str) -> Path:
    """The folder of a CLIP model: `source` itself, or where the hub's copy of the id `owner/name` lies.

    Raises:
        MissingExtraError: transformers is not installed.
        ModelError: there is no such model; says how to get one.
    """
    require("text", "transformers", "torch")
    folder = Path(source)
    if not folder.is_dir():
        if source.count("/") != 1 or source.startswith((".", "/", "~")):
            raise ModelError(f"there is no folder {source} with a CLIP model; {_HOW}")
        folder = _from_hub(source)
    if not (folder / "config.json").is_file() or not _weights(folder):
        raise ModelError(f"{source} holds no model: config.json and weights (.safetensors) are expected; {_HOW}")
    return folder


def _from_hub(name: str) -> Path:
    import huggingface_hub

    try:
        with silent():
            folder = Path(huggingface_hub.snapshot_download(name, allow_patterns=[*_SETTINGS, _WEIGHTS[0]]))
            if not _weights(folder):
                folder = Path(huggingface_hub.snapshot_download(name, allow_patterns=[*_SETTINGS, _WEIGHTS[1]]))
    except Exception as error:  # the hub's client raises its own, those of its HTTP library, and OSError
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise ModelError(f"the CLIP model {name} is not to be had from the hub ({reason}); {_HOW}") from error
    return folder


def identify(name: str, folder: Path, **more: object) -> TextIdentity:
    """By the bytes of settings, vocabulary and weights, without loading them, and by what else features depend on."""
    settings = {path.name for pattern in _SETTINGS for path in folder.glob(pattern)}
    files = sorted(settings | {path.name for path in _weights(folder)})
    hashes = {file: sha256_file(folder / file) for file in files}
    return TextIdentity(name, sha256_json({"files": hashes, **more}))


def load(kind: str, folder: Path) -> Any:
    """transformers' class `kind` from a folder, a network in float32 and eval mode; nothing is fetched.

    Raises:
        ModelError: the folder is of another kind, or damaged.
    """
    with silent():
        import transformers

        transformers.utils.logging.disable_progress_bar()
        loader = getattr(transformers, kind)
        try:
            if "Tokenizer" in kind:
                return loader.from_pretrained(str(folder), local_files_only=True)
            # a .bin goes through torch.load with weights_only=True, which is transformers' rule
            options = {"local_files_only": True, "output_loading_info": True}
            model, found = loader.from_pretrained(str(folder), **options)
        except Exception as error:  # of many kinds, by what is wrong in the folder
            reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
            raise ModelError(f"{folder} holds no {kind} that can be loaded: {reason}") from error
    if lacking := sorted(found["missing_keys"]):
        raise ModelError(f"{folder} holds no {kind}: {len(lacking)} of its weights are missing, such as {lacking[0]}")
    return model.float().eval()


def _weights(folder: Path) -> list[Path]:
    """Files of weights: safetensors, else PyTorch's."""
    return next((found for pattern in _WEIGHTS if (found := sorted(folder.glob(pattern)))), [])


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Within it libraries neither log nor warn: what a user has to know comes as an error."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
