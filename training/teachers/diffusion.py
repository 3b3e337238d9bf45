"""A diffusion editor as the teacher: InstructPix2Pix (Brooks, Holynski & Efros 2023) through diffusers.

It follows an instruction such as "make it winter". Every picture has a noise of its own seed, drawn on the CPU: what
comes out does not depend on the batch, the process or the card that it was drawn in (but for rounding).
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pocketgan import console
from pocketgan.errors import DataError, ModelError, require
from pocketgan.files import sha256_file, sha256_json
from pocketgan.pictures import resize
from pocketgan.training.teachers.edit_score import Limits, score
from pocketgan.training.teachers.text_direction import TextDirection

PIPELINE = "StableDiffusionInstructPix2PixPipeline"
KNOWN_MODEL = "timbrooks/instruct-pix2pix"
HOW_TO_GET = (
    f"with a network: `hf download {KNOWN_MODEL} --local-dir DIR --exclude '*.ckpt' '*.bin'` fetches one (4 GB), which "
    "--model DIR then names; without one, copy that folder here"
)
LATENT = 8
"""Pixels of a picture for each latent."""


@dataclass(frozen=True)
class Editing:
    """How pictures are edited.

    Attributes:
        steps: of denoising.
        image_guidance: how closely the picture is kept (Brooks et al. 2023, equation 3); 1 and more.
        guidance: how closely the text is followed; more than 1.
        seeds: of the noise; a picture that is dropped is drawn again with the next one.
        draw_at: side in pixels that the editor works at; Stable Diffusion 1.5 was trained at 512.
        batch: pictures at a time; decides nothing.
        safety: use the model's safety checker, where it has one.
        limits: below which a picture is dropped.
    """

    steps: int = 20
    image_guidance: float = 1.5
    guidance: float = 7.5
    seeds: tuple[int, ...] = (0,)
    draw_at: int = 512
    batch: int = 4
    safety: bool = True
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.draw_at % LATENT or not 64 <= self.draw_at <= 1024:
            raise DataError(f"--draw-at is a multiple of {LATENT} from 64 to 1024, not {self.draw_at}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise DataError(f"--seeds are different whole numbers from 0 on, not {','.join(map(str, self.seeds))}")


@dataclass(frozen=True)
class Edit:
    """An edited picture, (h, w, 3) uint8, why it is dropped (None where it is kept), and what is known of it."""

    pixels: np.ndarray
    why: str | None
    facts: dict[str, Any]


class DiffusionEditor:
    """An open editor; float16 on a GPU, float32 on a CPU.

    Args:
        model: a local folder in diffusers' layout, or a hub's `owner/name`, which is fetched where it is not cached.
        editing: see there.
        revision: of a hub's model: a branch, a tag or a commit.
        clip: a local folder of a CLIP model, which then judges whether a picture followed the text.
        device: where it runs.
    Attributes:
        name: the folder's name, or the hub's id.
        batch: pictures at a time.
    Raises:
        MissingExtraError: diffusers or transformers is not installed.
        ModelError: there is no such model, or it is no InstructPix2Pix.
    """

    def __init__(
        self,
        model: str,
        editing: Editing,
        revision: str | None = None,
        clip: Path | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        require("diffusion", "diffusers", "transformers")
        self._editing, self._device = editing, torch.device(device)
        self._folder = find_model(model, revision)
        self._given_revision = revision
        self.name = self._folder.resolve().name if Path(model).is_dir() else model
        self.batch = editing.batch
        self._dtype = torch.float16 if self._device.type == "cuda" else torch.float32
        self._pipeline = _open(self._folder, self._dtype, editing.safety).to(self._device)
        self._judge = None if clip is None else TextDirection(clip, self._device)
        self._digest: str | None = None
        if editing.safety and self._pipeline.safety_checker is None:
            console.note(f"teacher: {self.name} has no safety checker; look at what it drew")

    def settings(self) -> dict[str, Any]:
        """Everything but the text that decides about the pictures. Reads the whole model once, for its digest."""
        self._digest = self._digest or model_digest(self._folder)
        editing = asdict(replace(self._editing, batch=1))
        del editing["batch"]
        return {
            "model_digest": self._digest,
            "revision": self._given_revision or _commit(self._folder),
            "dtype": str(self._dtype).removeprefix("torch."),
            "safety_checker": self._pipeline.safety_checker is not None,
            "clip": None if self._judge is None else self._judge.digest,
            **editing,
            "seeds": list(self._editing.seeds),
        }

    def edit(self, photos: Sequence[np.ndarray], text: str) -> list[Edit]:
        """Edit photos, (h, w, 3) uint8 of one size, in one batch; those that are dropped again, with the next seed.

        Of a photo whose pictures are all dropped, the first one is given.
        """
        edits: list[Edit | None] = [None] * len(photos)
        for seed in self._editing.seeds:
            open_ones = [i for i, edit in enumerate(edits) if edit is None or edit.why is not None]
            if not open_ones:
                break
            for i, edit in zip(open_ones, self._edit([photos[i] for i in open_ones], text, seed), strict=True):
                if edits[i] is None or edit.why is None:
                    edits[i] = edit
        return [edit for edit in edits if edit is not None]

    def _edit(self, photos: Sequence[np.ndarray], text: str, seed: int) -> list[Edit]:
        from PIL import Image

        side = self._editing.draw_at
        given = [Image.fromarray(resize(photo, side, side)) for photo in photos]
        with torch.inference_mode():
            done = self._pipeline(
                prompt=[text] * len(given),
                image=given,
                num_inference_steps=self._editing.steps,
                image_guidance_scale=self._editing.image_guidance,
                guidance_scale=self._editing.guidance,
                generator=[torch.Generator("cpu").manual_seed(seed) for _ in given],
                output_type="np",
            )
        flagged = done.nsfw_content_detected or [False] * len(given)
        edits = []
        for photo, picture, unsafe in zip(photos, done.images, flagged, strict=True):
            broken = not np.isfinite(picture).all()
            drawn = np.rint(np.nan_to_num(np.clip(picture, 0, 1)) * 255).astype(np.uint8)
            drawn = resize(drawn, *photo.shape[:2])
            found = score(photo, drawn)
            if self._judge is not None:
                found = replace(found, **self._judge.judge(photo, drawn, text))
            why = "hold no numbers" if broken else "are flagged by the safety checker" if unsafe else None
            facts = {
                "prompt": text,
                "seed": seed,
                "steps": self._editing.steps,
                "image_guidance": self._editing.image_guidance,
                "guidance": self._editing.guidance,
                "score": found.to_json(),
            }
            edits.append(Edit(drawn, why or self._editing.limits.why_not(found), facts))
        return edits


def find_model(model: str, revision: str | None = None) -> Path:
    """The folder of a model: a local one, or a hub's, fetched where it is not cached.

    Raises:
        ModelError: there is none, or it is of another kind; says how to get one.
    """
    folder = Path(model)
    if not folder.is_dir():
        if model.startswith((".", "/", "~")) or model.count("/") != 1:
            raise ModelError(f"there is no folder {model} with an InstructPix2Pix model; {HOW_TO_GET}")
        folder = _fetch(model, revision)
    try:
        kind = json.loads((folder / "model_index.json").read_text())["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder} is not in diffusers' layout: it has no readable model_index.json; {HOW_TO_GET}"
        ) from error
    if kind != PIPELINE:
        raise ModelError(f"{folder} is a {kind}, which follows no instructions: {PIPELINE} is taken; {HOW_TO_GET}")
    return folder


def _fetch(model: str, revision: str | None) -> Path:
    from diffusers import DiffusionPipeline

    try:
        return Path(DiffusionPipeline.download(model, revision=revision, use_safetensors=True))
    except Exception as error:  # the hub's client raises whatever the network leads to
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"the model {model} is not here and could not be fetched ({first[:160]}); {HOW_TO_GET}"
        ) from error


def model_digest(folder: Path) -> str:
    """Hex SHA-256 over names and contents of the files that the pipeline is made of."""
    parts = json.loads((folder / "model_index.json").read_text())
    used = [folder / "model_index.json"]
    for name in sorted(part for part, value in parts.items() if isinstance(value, list) and value[0]):
        used += sorted(path for path in (folder / name).rglob("*") if path.suffix in (".json", ".safetensors", ".txt"))
    return sha256_json({path.relative_to(folder).as_posix(): sha256_file(path) for path in used})


def _commit(folder: Path) -> str | None:
    """The hub's commit of a folder in its cache."""
    return folder.name if folder.parent.name == "snapshots" else None


def _open(folder: Path, dtype: torch.dtype, safety: bool) -> Any:
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")  # what it says while it is imported is of other packages
    from diffusers import StableDiffusionInstructPix2PixPipeline
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
    without: dict[str, Any] = {} if safety else {"safety_checker": None, "requires_safety_checker": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch_dtype: the name that all of our versions know
            pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(
                folder, torch_dtype=dtype, use_safetensors=True, local_files_only=True, **without
            )
    except Exception as error:  # the libraries raise whatever a broken file leads to
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{folder} cannot be loaded: {first[:200]}; {HOW_TO_GET}") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
