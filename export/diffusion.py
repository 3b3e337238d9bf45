"""A diffusion editor as InstructPix2Pix has it (Brooks et al. 2023), built from its configuration.

Stable Diffusion 1.5's U-Net with eight input channels (the noisy latents and those of the picture), its VAE and its
text encoder. Each is a component on its own, with named tensors in and out: an edit runs the text encoder and the VAE's
encoder once, the U-Net once for each step and guidance pass, the VAE's decoder once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pocketgan.errors import ModelError, require
from pocketgan.export.golden import natural_images
from pocketgan.export.quiet import quiet

SEED = 20_240_601
# Pixels of a picture for each latent, and the VAE's scale of latents.
LATENT, SCALE = 8, 0.18215
TOKENS, WORDS, WIDTH = 77, 49408, 768
# Unconditional, with the picture alone, with picture and text (Brooks et al. 2023, equation 3).
GUIDANCE_PASSES = 3

UNET: dict[str, Any] = {
    "sample_size": 64,
    "in_channels": 8,
    "out_channels": 4,
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "cross_attention_dim": WIDTH,
    "attention_head_dim": 8,
}
VAE: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
}
TEXT: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": WIDTH,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": TOKENS,
    "projection_dim": WIDTH,
    "hidden_act": "quick_gelu",
}


@dataclass(frozen=True)
class Editor:
    """Which editor: the side of its pictures in pixels, its steps and guidance, and where its weights come from.

    Attributes:
        weights: a local folder in diffusers' layout or the id of a model hub; seeded random weights where None.
        configs: replaces parts of the configurations UNET, VAE and TEXT, for tests.
    """

    size: int = 256
    steps: int = 20
    guidance_passes: int = GUIDANCE_PASSES
    weights: str | None = None
    configs: Mapping[str, Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        if self.size % 64 or not 64 <= self.size <= 1024:
            raise ModelError(f"a diffusion editor takes pictures of 64 to 1024 pixels in steps of 64, not {self.size}")
        if self.weights is not None and "/" not in self.weights.strip("/") and not Path(self.weights).is_dir():
            raise ModelError(f"there is no folder {self.weights}; a hub's id is owner/name")


@dataclass(frozen=True)
class Part:
    """A component on its way: the module, its inputs by name in the order that it takes them, what its output is
    called, and how often an edit runs it."""

    name: str
    module: nn.Module
    inputs: dict[str, np.ndarray]
    output: str
    repeat: int


def parts(editor: Editor) -> Iterator[Part]:
    """The components in the order of an edit. Each is built when it is asked for; drop it before asking for the next.

    Raises:
        MissingExtraError: diffusers or transformers is not installed.
        ModelError: there are no such weights.
    """
    require("diffusion", "diffusers", "transformers")
    random = np.random.default_rng(SEED)
    side = editor.size // LATENT
    latents, embeddings = (
        random.standard_normal(shape).astype(np.float32) for shape in ((1, 4, side, side), (1, TOKENS, WIDTH))
    )
    tokens = random.integers(0, 1000, (1, TOKENS))
    yield _part("text", editor, _TextEncoder, inputs={"input_ids": tokens}, output="prompt_embeds")
    picture = natural_images(3, editor.size, editor.size)
    yield _part("encoder", editor, _Encoder, inputs={"image": picture}, output="image_latents")
    denoised = {
        "sample": np.concatenate([latents, latents[:, ::-1]], 1),
        "timestep": np.array([500], np.int64),
        "encoder_hidden_states": embeddings,
    }
    yield _part(
        "denoiser",
        editor,
        _Denoiser,
        inputs=denoised,
        output="noise",
        repeat=editor.steps * editor.guidance_passes,
    )
    yield _part("decoder", editor, _Decoder, inputs={"latents": latents * np.float32(SCALE)}, output="edited")


def _part(
    name: str,
    editor: Editor,
    wrapper: Callable[[Editor], nn.Module],
    *,
    inputs: dict[str, np.ndarray],
    output: str,
    repeat: int = 1,
) -> Part:
    torch.manual_seed(SEED)
    with quiet():
        module = wrapper(editor).eval().requires_grad_(False)
    contiguous = {key: np.ascontiguousarray(value) for key, value in inputs.items()}
    return Part(name, module, contiguous, output=output, repeat=repeat)


class _TextEncoder(nn.Module):
    """(1, 77) tokens -> (1, 77, 768)."""

    def __init__(self, editor: Editor) -> None:
        super().__init__()
        from transformers import CLIPTextConfig, CLIPTextModel

        # Plain products and a softmax, which every target takes.
        made = _made(editor, "text_encoder", CLIPTextModel, CLIPTextConfig, TEXT, attn_implementation="eager")
        self.model = made

    def forward(self, input_ids: Tensor) -> Tensor:
        states: Tensor = self.model(input_ids=input_ids, return_dict=False)[0]
        return states


class _Encoder(nn.Module):
    """(1, 3, h, w) in [-1, 1] -> (1, 4, h / 8, w / 8), the mean of the latents."""

    def __init__(self, editor: Editor) -> None:
        super().__init__()
        vae = _vae(editor)
        self.encoder, self.quant_conv = vae.encoder, vae.quant_conv

    def forward(self, image: Tensor) -> Tensor:
        moments: Tensor = self.quant_conv(self.encoder(image))
        return moments[:, :4]


class _Decoder(nn.Module):
    """(1, 4, h / 8, w / 8) -> (1, 3, h, w) in [-1, 1]."""

    def __init__(self, editor: Editor) -> None:
        super().__init__()
        vae = _vae(editor)
        self.decoder, self.post_quant_conv = vae.decoder, vae.post_quant_conv

    def forward(self, latents: Tensor) -> Tensor:
        picture: Tensor = self.decoder(self.post_quant_conv(latents / SCALE))
        return picture.clamp(-1, 1)


class _Denoiser(nn.Module):
    """(1, 8, h / 8, w / 8) noisy latents and those of the picture, a timestep, a text -> (1, 4, h / 8, w / 8) noise."""

    def __init__(self, editor: Editor) -> None:
        super().__init__()
        from diffusers import UNet2DConditionModel
        from diffusers.models.attention_processor import AttnProcessor

        self.unet = _made(editor, "unet", UNet2DConditionModel, None, UNET)
        self.unet.set_attn_processor(AttnProcessor())

    def forward(self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor) -> Tensor:
        noise: Tensor = self.unet(sample, timestep, encoder_hidden_states, return_dict=False)[0]
        return noise


class HalfInside(nn.Module):
    """A network of float16 between float32 inputs and outputs; integers go in as they are."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor:
        output: Tensor = self.network(*(one.half() if one.is_floating_point() else one for one in inputs))
        return output.float()


def _vae(editor: Editor) -> Any:
    from diffusers import AutoencoderKL
    from diffusers.models.attention_processor import AttnProcessor

    vae = _made(editor, "vae", AutoencoderKL, None, VAE)
    vae.set_attn_processor(AttnProcessor())
    return vae


def _made(editor: Editor, folder: str, kind: Any, config: Any, fields: Mapping[str, Any], **options: Any) -> Any:
    """The network with the editor's weights, in float32."""
    fields = {**fields, **(editor.configs or {}).get(folder, {})}
    if editor.weights is None:
        return kind(config(**fields, **options)) if config is not None else kind(**fields)
    try:
        return kind.from_pretrained(
            editor.weights, subfolder=folder, torch_dtype=torch.float32, use_safetensors=True, **options
        )
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{editor.weights} has no weights of {folder} that can be loaded: {first[:200]}; without a network give a "
            "local folder in diffusers' layout (safetensors), or leave --weights out for random ones"
        ) from error
