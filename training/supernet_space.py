"""UGC's search space over depth and width: which sub-networks a supernet holds. Numbers alone, without a tensor.

Every width of a generator takes one of a few shares of its full size (UGC: 8, 16, ..., 64 channels where the whole
network has 64, scaled alike in wider layers), and behind every layer that changes the size of the map stand some of the
extra residual blocks that the supernet has there (UGC: three are inserted, 0, 1 or 2 are searched). The blocks behind a
layer have an inner width of their own, so that a narrow layer may have blocks that are wide inside, as OMGD's deeper
teacher has (four times).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from pocketgan.errors import ModelError
from pocketgan.files import sha256_json
from pocketgan.recipe.choices import SUPERNET_BLOCKS, SUPERNET_DEPTHS, SUPERNET_EXPANSION, SUPERNET_WIDTHS
from pocketgan.training.generators import GeneratorSpec, check, extra_parts, extra_places
from pocketgan.training.generators.extras import extra_count, extra_name, is_extra, without_extras

# An extra SPADE block shares its maps as wide as this one of its stage.
_SHARED = "spade1"
_INNER = ".extras"


@dataclass(frozen=True)
class Configuration:
    """One sub-network of a space.

    Attributes:
        space: digest of the space.
        widths: by the name of a width, its share of the full one, out of the largest of the space's `widths`;
            `down1.extras` is the inner one of all blocks behind `down1`.
        depths: by layer, how many of its extra blocks are there: the first ones.
    """

    space: str
    widths: Mapping[str, int]
    depths: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        return {"space": self.space, "widths": dict(self.widths), "depths": dict(self.depths)}

    @staticmethod
    def from_json(value: Any) -> Configuration:
        """Raises ModelError where it is none; whether a space holds it is that space's business."""
        try:
            found = Configuration(**value)
            if type(found.space) is not str or any(
                type(key) is not str or type(number) is not int
                for genes in (found.widths, found.depths)
                for key, number in genes.items()
            ):
                raise TypeError("the space is a digest, widths and depths are whole numbers by name")
        except (TypeError, AttributeError) as error:
            raise ModelError(f"not a configuration of a supernet: {error}") from error
        return found

    @property
    def digest(self) -> str:
        """SHA-256 of the configuration."""
        return sha256_json(self.to_json())


@dataclass(frozen=True)
class Space:
    """What may be searched around a plain generator.

    Attributes:
        base: the family's plain network at full width.
        widths: shares of a full width, out of the largest of them, rising.
        depths: numbers of extra blocks behind a layer that are searched, rising.
        inserted: extra blocks behind every such layer in the supernet; the largest network has all of them, also where
            fewer are searched.
        expansion: full inner width of an extra block as a multiple of the layer's.
    Raises:
        ModelError: the family takes no extra blocks, or the numbers make no space.
    """

    base: GeneratorSpec
    widths: tuple[int, ...] = SUPERNET_WIDTHS
    depths: tuple[int, ...] = SUPERNET_DEPTHS
    inserted: int = SUPERNET_BLOCKS
    expansion: int = SUPERNET_EXPANSION

    def __post_init__(self) -> None:
        if not extra_places(self.base):
            raise ModelError(
                f"there is no supernet of {self.base.family}: UGC's extra blocks stand in resnet, unet, pix2pixhd and "
                "gaugan generators"
            )
        if any(is_extra(name) for name in self.base.widths):
            raise ModelError("a supernet is made around a plain generator; this spec has extra blocks already")
        if not self.widths or list(self.widths) != sorted({*self.widths}) or self.widths[0] < 1:
            raise ModelError(f"the widths of a supernet rise from 1 at least, such as 8 to 64, not {[*self.widths]}")
        if not self.depths or list(self.depths) != sorted({*self.depths}) or self.depths[0] < 0:
            raise ModelError(f"the depths of a supernet rise from 0 at least, such as 0, 1, 2, not {[*self.depths]}")
        if self.expansion < 1:
            raise ModelError(f"an extra block is at least as wide inside as its layer, not {self.expansion} times")
        if self.depths[-1] > self.inserted:
            raise ModelError(
                f"{self.depths[-1]} extra blocks cannot be searched where {self.inserted} are inserted; insert more or "
                "search fewer"
            )
        whole = self.widths[-1]
        odd = {name: full for name, full in self.full_widths.items() for share in self.widths if full * share % whole}
        if odd:
            name, full = next(iter(odd.items()))
            raise ModelError(
                f"{full} channels of {name} cannot be divided into shares of {', '.join(map(str, self.widths))} out of "
                f"{whole}: choose an ngf that can, such as {_divisible(self.widths)}"
            )
        check(self.base)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "base": self.base.to_json(), "widths": [*self.widths], "depths": [*self.depths]}

    @staticmethod
    def from_json(value: Any) -> Space:
        """Raises ModelError where it is none."""
        try:
            numbers = {name: tuple(value[name]) for name in ("widths", "depths")}
            if any(type(n) is not int for n in (*numbers["widths"], *numbers["depths"])):
                raise TypeError("widths and depths are whole numbers")
            if any(type(value[name]) is not int for name in ("inserted", "expansion")):
                raise TypeError("inserted and expansion are whole numbers")
            return Space(**{**value, **numbers, "base": GeneratorSpec.from_json(value["base"])})
        except (TypeError, KeyError, AttributeError) as error:
            raise ModelError(f"not the space of a supernet: {error}") from error

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the space."""
        return sha256_json(self.to_json())

    @cached_property
    def places(self) -> dict[str, str]:
        """Layers that extra blocks follow, each with the width that they are on."""
        return extra_places(self.base)

    @cached_property
    def full_widths(self) -> dict[str, int]:
        """By the names of a configuration's widths, what they are in the largest network."""
        inner = {_inner(place): self.expansion * self.base.widths[width] for place, width in self.places.items()}
        return {**self.base.widths, **inner}

    @cached_property
    def largest(self) -> Configuration:
        """All channels and all inserted blocks: the supernet itself."""
        return self._all(self.widths[-1], self.inserted)

    @cached_property
    def smallest(self) -> Configuration:
        """The narrowest and shallowest that is searched."""
        return self._all(self.widths[0], self.depths[0])

    def random(self, rng: np.random.Generator) -> Configuration:
        """Every width and every depth alike likely and on its own."""
        widths = rng.choice(self.widths, len(self.full_widths)).tolist()
        depths = rng.choice(self.depths, len(self.places)).tolist()
        return Configuration(
            self.digest,
            dict(zip(self.full_widths, widths, strict=True)),
            dict(zip(self.places, depths, strict=True)),
        )

    def mutated(self, one: Configuration, rng: np.random.Generator, probability: float) -> Configuration:
        """Each width and depth is drawn anew with that probability (GAN Compression: 0.2)."""
        self.check(one)
        other = self.random(rng)
        return self._chosen(one, other, lambda: rng.random() < probability)

    def crossed(self, one: Configuration, other: Configuration, rng: np.random.Generator) -> Configuration:
        """Each width and depth is that of one or of the other, alike likely."""
        self.check(one)
        self.check(other)
        return self._chosen(one, other, lambda: rng.random() < 0.5)

    def canonical(self, one: Configuration) -> Configuration:
        """The one of all configurations of the same network that is the narrowest inside where there is no block."""
        unused = {_inner(place): self.widths[0] for place, depth in one.depths.items() if not depth}
        return replace(one, widths={**one.widths, **unused}) if unused else one

    def spec(self, one: Configuration) -> GeneratorSpec:
        """The sub-network as a plain spec.

        Raises:
            ModelError: the configuration is of another supernet, or of none.
        """
        self.check(one)
        return self._spec(one)

    @cached_property
    def whole(self) -> GeneratorSpec:
        """The spec of the largest network, whose weights all others share."""
        return self._spec(self.largest)

    def configuration(self, spec: GeneratorSpec) -> Configuration:
        """The configuration whose spec that is, at whatever size; where it has no blocks, the narrowest inside.

        Raises:
            ModelError: no sub-network of this supernet has it.
        """
        whole = self.widths[-1]
        try:
            least = {_inner(place): self.full_widths[_inner(place)] * self.widths[0] // whole for place in self.places}
            inner = {name: spec.widths.get(extra_name(name.removesuffix(_INNER), 1), n) for name, n in least.items()}
            sizes = {**{name: spec.widths[name] for name in self.base.widths}, **inner}
            widths = {name: sizes[name] * whole // full for name, full in self.full_widths.items()}
            found = Configuration(self.digest, widths, {place: extra_count(spec, place) for place in self.places})
            self.check(found)
            if self._spec(found).at(spec.height, spec.width) != spec:
                raise ModelError("its layers are others")
        except (KeyError, ModelError) as error:
            raise ModelError(
                f"the spec {spec.digest[:12]} is of another supernet, not of {self}: search again in its own"
            ) from error
        return found

    def check(self, one: Configuration) -> None:
        """Raises ModelError where the configuration is of another supernet, or of none."""
        if one.space != self.digest:
            raise ModelError(
                f"the configuration {one.digest[:12]} is of another supernet ({one.space[:12]}), not of {self}: search "
                "again in its own"
            )
        depths = {*self.depths, self.inserted}
        if (
            one.widths.keys() != self.full_widths.keys()
            or one.depths.keys() != self.places.keys()
            or not {*one.widths.values()} <= {*self.widths}
            or not {*one.depths.values()} <= depths
        ):
            raise ModelError(
                f"the configuration {one.digest[:12]} is none of {self}: its widths are "
                f"{', '.join(map(str, self.widths))} and its depths {', '.join(map(str, sorted(depths)))}"
            )

    def __str__(self) -> str:
        return f"the {self.base.family} supernet {self.digest[:12]}"

    def _all(self, width: int, depth: int) -> Configuration:
        return Configuration(self.digest, dict.fromkeys(self.full_widths, width), dict.fromkeys(self.places, depth))

    def _chosen(self, one: Configuration, other: Configuration, take_other: Callable[[], bool]) -> Configuration:
        def genes(ours: Mapping[str, int], its: Mapping[str, int]) -> dict[str, int]:
            return {name: its[name] if take_other() else ours[name] for name in ours}

        return replace(one, widths=genes(one.widths, other.widths), depths=genes(one.depths, other.depths))

    def _spec(self, one: Configuration) -> GeneratorSpec:
        whole = self.widths[-1]
        widths = {name: full * one.widths[name] // whole for name, full in self.base.widths.items()}
        parts = extra_parts(self.base)
        for place in self.places:
            inner = self.full_widths[_inner(place)] * one.widths[_inner(place)] // whole
            sizes = [inner, *(widths[f"{place}.{_SHARED}"] for _ in parts[1:])]
            for number in range(1, one.depths[place] + 1):
                block = extra_name(place, number)
                widths |= {f"{block}{part}": size for part, size in zip(parts, sizes, strict=True)}
        return replace(self.base, widths=widths)


def space_around(whole: GeneratorSpec, widths: Sequence[int], depths: Sequence[int], expansion: int) -> Space:
    """The space whose largest network has that spec.

    Raises:
        ModelError: there is none: its extra blocks are not as many everywhere, or of other widths.
    """
    base = replace(whole, widths=without_extras(whole))
    inserted = max((extra_count(whole, place) for place in extra_places(base)), default=0)
    space = Space(base, tuple(widths), tuple(depths), inserted, expansion)
    if space.whole != whole:
        raise ModelError(
            f"the network {whole.digest[:12]} is of another supernet, not the largest of {space}: name the numbers "
            "that it was made with"
        )
    return space


def _inner(place: str) -> str:
    """The name in a configuration of the inner width of the blocks behind a layer."""
    return f"{place}{_INNER}"


def _divisible(widths: Sequence[int]) -> int:
    """A width whose shares are whole."""
    whole = widths[-1]
    return whole // int(np.gcd.reduce([*widths, whole]))
