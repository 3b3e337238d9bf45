"""A generator is data: the numbers that `build` turns into a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

from pocketgan.errors import ModelError
from pocketgan.files import sha256_json
from pocketgan.recipe.choices import NORMS, TRANSFORMER_PLACES, Norm, TransformerPlace

__all__ = ["NORMS", "TRANSFORMER_PLACES", "GeneratorSpec", "Layer", "Norm", "TransformerPlace"]

# Where a spec does not say so, as no file did before there was a choice.
MIDDLE: TransformerPlace = "ds"


@dataclass(frozen=True)
class GeneratorSpec:
    """Architecture of a generator.

    Attributes:
        family: which file of this package builds it.
        widths: channels of every layer whose width may differ, by layer name; 0 where a branch is gone.
        norm: of every layer that has one.
        blocks: residual blocks; 0 where the family has a fixed number.
        levels: how often the resolution is halved on the way in.
        input_channels, output_channels: image channels.
        height, width: the input size in pixels that it is costed and exported at.
        transformer_after: the part of an e2gan that its transformer block follows.
    """

    family: str
    widths: Mapping[str, int]
    norm: Norm = "batch"
    blocks: int = 9
    levels: int = 2
    input_channels: int = 3
    output_channels: int = 3
    height: int = 256
    width: int = 256
    transformer_after: TransformerPlace = MIDDLE

    def with_widths(self, widths: Mapping[str, int]) -> GeneratorSpec:
        """The same network with other widths; layers that `widths` does not name keep theirs."""
        return replace(self, widths={**self.widths, **widths})

    def at(self, height: int, width: int) -> GeneratorSpec:
        """The same network for another input size, in pixels."""
        return replace(self, height=height, width=width)

    def to_json(self) -> dict[str, Any]:
        """A field that came later is left out at its default: files and digests of before stay what they were."""
        value = {**asdict(self), "widths": dict(self.widths)}
        if self.transformer_after == MIDDLE:
            del value["transformer_after"]
        return value

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> GeneratorSpec:
        """Raises ModelError where a field is missing, unknown or of the wrong type."""
        try:
            spec = GeneratorSpec(**value)
            numbers = [spec.blocks, spec.levels, spec.input_channels, spec.output_channels, spec.height, spec.width]
            if not all(type(n) is int and 0 <= n < 1 << 20 for n in [*numbers, *spec.widths.values()]):
                raise TypeError("widths and sizes are whole numbers of at least 0")
            if spec.transformer_after not in TRANSFORMER_PLACES:
                raise TypeError(f"a transformer block stands after {', '.join(TRANSFORMER_PLACES)}")
        except (TypeError, AttributeError) as error:
            raise ModelError(f"not a generator spec: {error}") from error
        return spec

    @property
    def digest(self) -> str:
        """SHA-256 of the spec."""
        return sha256_json(self.to_json())


class Layer(NamedTuple):
    """One layer as cost, latency and removal see it: shapes and names alone, batch 1. A search makes thousands.

    Attributes:
        name: path of the module in the network.
        kind: `matmul` multiplies two activations: `out_pixels` rows of `inputs` numbers by `outputs` columns.
        inputs, outputs: channels.
        in_pixels, out_pixels: height x width of its input and output; tokens in a transformer.
        bias: a norm that has one has scale and shift.
        reads: names of the widths that its input channels are made of, in order; empty for the network's own input.
        writes: name of the width that its output channels are; empty for the network's own output.
    """

    name: str
    kind: Literal["conv", "transposed", "linear", "matmul", "norm"]
    inputs: int
    outputs: int
    in_pixels: int
    out_pixels: int
    kernel: int = 1
    groups: int = 1
    bias: bool = False
    reads: tuple[str, ...] = ()
    writes: str = ""
