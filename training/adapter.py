"""LoRA of E2GAN as data: which layers at which ranks, what a concept is, and the plain generator that merging gives.

An adapted layer computes with W + B A instead of W (Hu et al. 2022); A is of shape (rank, inputs), those of a
convolution's whole kernel, and B of (outputs, rank). Nothing scales the product, so that no rank changes its strength.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

import torch
from torch import Tensor, nn

from pocketgan.errors import ModelError
from pocketgan.files import sha256_json
from pocketgan.training.generators import skeleton
from pocketgan.training.generators.e2gan import TEXT_TOKENS
from pocketgan.training.generators.files import LoadedGenerator
from pocketgan.training.generators.spec import GeneratorSpec
from pocketgan.training.text.concept import metadata_of
from pocketgan.training.text.encoder import EncoderIdentity

# The five parts (E2GAN, section 3.3) by the modules that they are. Stem and head, 7x7 at full size, belong to none:
# without them the published ranks train 0.093 M parameters, as printed (0.092 M); the head alone would add 0.025 M.
PARTS: Mapping[str, tuple[str, ...]] = {
    "downsample": ("down1", "down2"),
    "ds": ("ds",),
    "tb": ("tb",),
    "us": ("us",),
    "upsample": ("up1", "up2"),
}
# The concept's text is the adapter's own, whatever text the base's file holds.
TEXT = "concept"
MOST_RANK = 512
# "About 1 %" of the base is what a concept may train; the published ranks train 0.95 % of the published width.
MOST_SHARE = 0.012
_LONGEST_NAME = 100

Factors = tuple[Tensor, Tensor]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Ranks:
    """Rank of the layers of each part; those of E2GAN's reproduction where none are given.

    Raises:
        ModelError: a rank is no whole number from 1 to 512, which is the transformer's width.
    """

    downsample: int = 1
    ds: int = 4
    tb: int = 1
    us: int = 8
    upsample: int = 8

    def __post_init__(self) -> None:
        for part, rank in asdict(self).items():
            if type(rank) is not int or not 1 <= rank <= MOST_RANK:
                raise ModelError(f"the rank of {part} is a whole number from 1 to {MOST_RANK}, not {rank!r}")

    def __str__(self) -> str:
        """As `parse` reads it."""
        return ",".join(map(str, self.to_json().values()))

    def to_json(self) -> dict[str, int]:
        return asdict(self)

    @staticmethod
    def parse(text: str) -> Ranks:
        """`1,4,1,8,8`, in the order of the parts. Raises ModelError where it is no such list."""
        numbers = text.split(",")
        if len(numbers) != len(PARTS) or not all(number.strip().isdecimal() for number in numbers):
            raise ModelError(
                f"ranks are {len(PARTS)} whole numbers with commas between, such as 1,4,1,8,8, not {text!r}"
            )
        return Ranks(*map(int, numbers))

    @staticmethod
    def from_json(value: Mapping[str, int]) -> Ranks:
        """Raises ModelError where parts are missing or unknown, or a rank is none."""
        names = [field.name for field in fields(Ranks)]
        if sorted(value) != sorted(names):
            raise ModelError(f"ranks are those of {', '.join(names)}, not of {', '.join(sorted(value)) or 'nothing'}")
        return Ranks(**value)


@dataclass(frozen=True)
class Concept:
    """An effect and the text that the base is told for it.

    Attributes:
        name: what users call it.
        text: the prompt.
        encoder: what made the tokens.
        tokens: (77, width of the text) states of the encoder. Kept as float16 holds them, from before the first step of
            the training on, so that adapters are small and no file changes what was trained.
    Raises:
        ModelError: name or text is empty, or the tokens are of another shape or not finite in float16.
    """

    name: str
    text: str
    encoder: EncoderIdentity
    tokens: Tensor

    def __post_init__(self) -> None:
        if not self.name.strip() or not self.text.strip():
            raise ModelError(f"a concept has a name and a text; of {self.name or self.text!r} one is empty")
        if len(self.name) > _LONGEST_NAME or not self.name.isprintable():
            raise ModelError(f"a concept's name is one line of at most {_LONGEST_NAME} characters, not {self.name!r}")
        shape = tuple(self.tokens.shape)
        if len(shape) != 2 or shape[0] != TEXT_TOKENS:
            raise ModelError(f"the text of {self.name} is {TEXT_TOKENS} tokens of one width, not of shape {shape}")
        rounded = self.tokens.detach().cpu().half().float()
        if not torch.isfinite(rounded).all():
            raise ModelError(f"the tokens of {self.name} are not all finite numbers that float16 can hold")
        object.__setattr__(self, "tokens", rounded)

    @property
    def digest(self) -> str:
        """Of all of it."""
        return sha256_json([[self.name, self.text, self.encoder.digest], self.tokens.tolist()])


@dataclass(frozen=True)
class Adapter:
    """What one concept changes in a base.

    Attributes:
        spec_digest: of the base's spec (`GeneratorSpec.digest`).
        base_digest: of the base's weights (`weights_digest`).
        ranks: of the parts.
        concept: whose effect it is.
        factors: by path of the adapted layer, A of (rank, *the weight's shape after the first dimension) and B of
            (outputs, rank), float32.
    """

    spec_digest: str
    base_digest: str
    ranks: Ranks
    concept: Concept
    factors: Mapping[str, Factors]


def adapted_layers(network: nn.Module, spec: GeneratorSpec) -> dict[str, str]:
    """The part of every layer that LoRA adapts, by the layer's path: all convolutions and linear layers of the parts.

    Raises:
        ModelError: the network is no E2GAN, or a layer is of a kind that B A cannot be merged into.
    """
    if spec.family != "e2gan":
        raise ModelError(f"LoRA adapts the five parts of an e2gan; this is a generator of the family {spec.family}")
    found = {}
    for part, modules in PARTS.items():
        for module in modules:
            for path, layer in network.get_submodule(module).named_modules(prefix=module):
                if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                    _check_mergeable(path, layer)
                    found[path] = part
    return found


def _check_mergeable(path: str, layer: nn.Module) -> None:
    """peft has no branch for transposed convolutions, merges none with groups, and pads its branch with zeros."""
    if isinstance(layer, nn.ConvTranspose2d):
        raise ModelError(f"{path} is a transposed convolution, which LoRA cannot adapt")
    if isinstance(layer, nn.Conv2d) and layer.groups > 1:
        raise ModelError(f"{path} is a convolution of {layer.groups} groups; LoRA adapts those of one")
    if isinstance(layer, nn.Conv2d) and layer.padding_mode != "zeros":
        raise ModelError(f"{path} pads by {layer.padding_mode}; LoRA adapts convolutions that are padded outside")


def factor_shapes(spec: GeneratorSpec, ranks: Ranks) -> dict[str, tuple[Shape, Shape]]:
    """Shapes of A and B by the path of the adapted layer, from the spec alone."""
    network, rank_of = skeleton(spec), ranks.to_json()
    shapes: dict[str, tuple[Shape, Shape]] = {}
    for path, part in adapted_layers(network, spec).items():
        outputs, *inputs = network.get_parameter(f"{path}.weight").shape
        shapes[path] = ((rank_of[part], *inputs), (outputs, rank_of[part]))
    return shapes


def trained_parameters(spec: GeneratorSpec, ranks: Ranks) -> int:
    """How many numbers the ranks train."""
    return _trained(ranks, _trained_by_one_rank(skeleton(spec), spec))


def trained_share(spec: GeneratorSpec, ranks: Ranks) -> float:
    """What the ranks train, as a share of the base's parameters."""
    network = skeleton(spec)
    return _trained(ranks, _trained_by_one_rank(network, spec)) / _parameters(network)


def _trained_by_one_rank(network: nn.Module, spec: GeneratorSpec) -> dict[str, int]:
    """How many numbers each rank of a part trains: a row of A and a column of B, of all the part's layers."""
    numbers = dict.fromkeys(PARTS, 0)
    for path, part in adapted_layers(network, spec).items():
        outputs, *inputs = network.get_parameter(f"{path}.weight").shape
        numbers[part] += outputs + math.prod(inputs)
    return numbers


def _trained(ranks: Ranks, by_one_rank: Mapping[str, int]) -> int:
    return sum(rank * by_one_rank[part] for part, rank in ranks.to_json().items())


def _parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def default_ranks(spec: GeneratorSpec) -> Ranks:
    """The published ranks where they train at most 1.2 % of the base, as they do at full width; less in narrower ones.

    There DS and US shrink first, by one factor, then Upsample, whose ranks were found to count most. Where ranks of 1
    are above 1.2 %, these.
    """
    network, whole = skeleton(spec), Ranks()
    by_one_rank, most = _trained_by_one_rank(network, spec), MOST_SHARE * _parameters(network)
    smaller = [replace(whole, ds=max(1, us * whole.ds // whole.us), us=us) for us in range(whole.us, 0, -1)]
    smaller += [replace(smaller[-1], upsample=upsample) for upsample in range(whole.upsample - 1, 0, -1)]
    return next((ranks for ranks in smaller if _trained(ranks, by_one_rank) <= most), smaller[-1])


def weights_digest(network: nn.Module) -> str:
    """SHA-256 of all that a generator's file holds, statistics of norms included, but its concept's text."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if name != TEXT:
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def check_fits(adapter: Adapter, base: LoadedGenerator) -> None:
    """Whether the adapter was trained on this base.

    Raises:
        ModelError: it was on another one, both named by digest, or its factors are not those of its ranks.
    """
    found = base.spec.digest, weights_digest(base.module)
    for what, told, own in zip(("spec", "weights"), (adapter.spec_digest, adapter.base_digest), found, strict=True):
        if told != own:
            raise ModelError(
                f"the adapter of {adapter.concept.name} is of another base: its {what} digest is {told}, this one's "
                f"{own}; take the base that it was trained on"
            )
    wanted = factor_shapes(base.spec, adapter.ranks)
    missing, unknown = sorted(wanted.keys() - adapter.factors), sorted(adapter.factors.keys() - wanted)
    for names, what in ((missing, "lacks factors of"), (unknown, "holds factors of unknown layers:")):
        if names:
            raise ModelError(f"the adapter of {adapter.concept.name} {what} {', '.join(names)}")
    for path, shapes in wanted.items():
        held = tuple(tuple(factor.shape) for factor in adapter.factors[path])
        if held != shapes:
            raise ModelError(
                f"the adapter of {adapter.concept.name} holds factors of {path} with the shapes {held}; its ranks and "
                f"the base make {shapes}"
            )
    width = base.spec.widths["text"]
    if adapter.concept.tokens.shape[1] != width:
        raise ModelError(
            f"the text of {adapter.concept.name} is {adapter.concept.tokens.shape[1]} wide, that of the base {width}"
        )


def merge(base: LoadedGenerator, adapter: Adapter) -> LoadedGenerator:
    """The base with the adapter in its weights and the concept's text in its buffer: an ordinary generator.

    Its metadata name concept, encoder and base; nothing else tells it from one that was trained as a whole.

    Raises:
        ModelError: the adapter is not of this base.
    """
    check_fits(adapter, base)
    network = copy.deepcopy(base.module)
    with torch.no_grad():
        for path, (a, b) in adapter.factors.items():
            weight = network.get_parameter(f"{path}.weight")
            weight.add_((b @ a.flatten(1)).view_as(weight))
        network.get_buffer(TEXT).copy_(adapter.concept.tokens)
    concept = adapter.concept
    provenance = {
        **metadata_of(concept.encoder, concept.text),
        "concept_name": concept.name,
        "base_sha256": adapter.base_digest,
    }
    return replace(base, module=network.eval(), metadata={"trained": base.metadata.get("trained", "no"), **provenance})
