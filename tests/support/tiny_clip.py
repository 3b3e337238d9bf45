"""A CLIP of a few thousand random weights in transformers' layout, with a tokenizer of single bytes."""

from __future__ import annotations

import json
from pathlib import Path

import torch

TEXT_HIDDEN, IMAGE_SIZE, PROJECTED = 32, 32, 16


def write_tiny_clip(folder: Path, seed: int = 0, hidden: int = TEXT_HIDDEN) -> Path:
    """Both towers, the tokenizer and what the picture's preprocessing is."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig

    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer.from_pretrained(folder, local_files_only=True).save_pretrained(folder)
    start, end = len(words) - 2, len(words) - 1
    shared = {"num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": PROJECTED}
    text = CLIPTextConfig(
        vocab_size=len(words), hidden_size=hidden, intermediate_size=48, bos_token_id=start, eos_token_id=end, **shared
    )
    vision = CLIPVisionConfig(hidden_size=24, intermediate_size=48, image_size=IMAGE_SIZE, patch_size=8, **shared)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CLIPModel(
            CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=PROJECTED)
        )
    model.save_pretrained(folder)
    settings = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": IMAGE_SIZE},
        "crop_size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder
