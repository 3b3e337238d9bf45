"""An InstructPix2Pix pipeline with every kind of layer of the real one, a few channels wide, and random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WIDTH, TOKENS = 32, 77


def tokenizer(folder: Path) -> Any:
    """CLIP's tokenizer with bytes alone as words: no vocabulary is fetched."""
    from transformers import CLIPTokenizer

    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    # The characters that stand for bytes in GPT-2's vocabulary.
    characters = [chr(code) for code in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    words = [*characters, *(f"{one}</w>" for one in characters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=TOKENS)


def save_editor(folder: Path, with_safety_checker: bool = False) -> Path:
    """A folder in diffusers' layout, of seeded random weights, for pictures of 64 pixels."""
    import torch
    from diffusers import (
        AutoencoderKL,
        EulerAncestralDiscreteScheduler,
        StableDiffusionInstructPix2PixPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    words = tokenizer(folder.parent / f"{folder.name}-words")
    checker: dict[str, Any] = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    if with_safety_checker:
        checker = _safety_checker()
    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=AutoencoderKL(
            block_out_channels=(32, 32, 32, 32),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=1,
            latent_channels=4,
            sample_size=64,
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(words), hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=1,
                num_attention_heads=4, max_position_embeddings=TOKENS, projection_dim=WIDTH,
                bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id,
            )
        ),
        tokenizer=words,
        unet=UNet2DConditionModel(
            sample_size=8, in_channels=8, out_channels=4, block_out_channels=(32, 64), layers_per_block=1,
            attention_head_dim=4, cross_attention_dim=WIDTH,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        ),
        scheduler=EulerAncestralDiscreteScheduler(),
        **checker,
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    return folder


def _vision() -> dict[str, Any]:
    return {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "image_size": 32,
        "patch_size": 16, "projection_dim": WIDTH,
    }  # fmt: skip


def _safety_checker() -> dict[str, Any]:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=_vision(), projection_dim=WIDTH))
    checker.concept_embeds_weights.data.fill_(-2)  # no picture is as far from anything as that: all are flagged
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return {"safety_checker": checker, "feature_extractor": processor, "requires_safety_checker": True}


def save_clip(folder: Path) -> Path:
    """A CLIP model in transformers' layout, of seeded random weights."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    torch.manual_seed(1)
    words = tokenizer(folder)
    words.save_pretrained(folder)
    text = {
        "vocab_size": len(words), "hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 1,
        "num_attention_heads": 4, "max_position_embeddings": TOKENS, "projection_dim": WIDTH,
        "bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id,
    }  # fmt: skip
    CLIPModel(CLIPConfig(text_config=text, vision_config=_vision(), projection_dim=WIDTH)).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder
