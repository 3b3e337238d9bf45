"""Whether an edit went where its text points: CLIP's directional similarity (Gal et al. 2022; Brooks et al. 2023)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pocketgan.errors import ModelError, require
from pocketgan.files import sha256_file, sha256_json

_BEFORE = "a photo"


class TextDirection:
    """A CLIP model that judges edits.

    Args:
        folder: a local one in transformers' layout, with tokenizer and image processor.
        device: where it runs.
    Attributes:
        digest: of its files.
    Raises:
        ModelError: there is no such model.
    """

    def __init__(self, folder: Path, device: torch.device | str = "cpu") -> None:
        require("diffusion", "transformers")
        from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

        if not (folder / "config.json").is_file():
            raise ModelError(
                f"{folder} is no folder of a CLIP model (no config.json); `hf download openai/clip-vit-base-patch32 "
                "--local-dir DIR` fetches one"
            )
        try:
            self._network = CLIPModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
            self._tokens = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
            # PIL's resize, as CLIP was trained with: torchvision's needs another package and differs.
            self._pixels = CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # the libraries raise whatever a broken file leads to
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(f"{folder} cannot be loaded as a CLIP model: {first[:200]}") from error
        self._network = self._network.eval().to(device)
        self._device = torch.device(device)
        files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors", ".txt"))
        self.digest = sha256_json({path.name: sha256_file(path) for path in files})
        self._texts: dict[str, Tensor] = {}

    @torch.inference_mode()
    def judge(self, photo: np.ndarray, picture: np.ndarray, text: str) -> dict[str, float]:
        """Of (h, w, 3) uint8: `direction`, the cosine between the step from photo to picture and that from "a photo" to
        the text, and `likeness`, that between photo and picture; each in [-1, 1]."""
        before, after = self._of_pictures([photo, picture])
        moved, told = after - before, self._of_text(text) - self._of_text(_BEFORE)
        return {"direction": _cosine(moved, told), "likeness": _cosine(before, after)}

    def _of_pictures(self, pictures: list[np.ndarray]) -> Tensor:
        pixels = self._pixels(images=pictures, return_tensors="pt")["pixel_values"].to(self._device)
        vision = self._network.vision_model(pixel_values=pixels)
        return _unit(self._network.visual_projection(vision.pooler_output))

    def _of_text(self, text: str) -> Tensor:
        if text not in self._texts:
            given: Any = self._tokens([text], truncation=True, return_tensors="pt").to(self._device)
            found = self._network.text_model(input_ids=given["input_ids"], attention_mask=given["attention_mask"])
            self._texts[text] = _unit(self._network.text_projection(found.pooler_output))[0]
        return self._texts[text]


def _unit(features: Tensor) -> Tensor:
    return features.float() / features.float().norm(dim=-1, keepdim=True).clamp_min(1e-12)


def _cosine(first: Tensor, second: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(first, second, dim=0))
