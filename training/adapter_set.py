"""`concepts.json`: the adapters of one base in a folder, as `pocketgan adapt --concepts` writes it and packs are made.

DIR/concepts.json         which concepts there are, of which base, learnt how, how well
DIR/NAME.safetensors      the adapter of each
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pocketgan import __version__
from pocketgan.bundle.manifest import NAME_PATTERN
from pocketgan.errors import ModelError
from pocketgan.files import sha256_file, write_atomic
from pocketgan.training.adapter import Adapter
from pocketgan.training.adapter_files import load_adapter

SET_FILE = "concepts.json"
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Read(BaseModel):
    """Of later minors what is known here is read, the rest left out."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class EncoderRecord(_Read):
    """Which encoder read the texts."""

    name: str
    digest: str


class AdapterFile(_Read):
    """An adapter's file beside `concepts.json`."""

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors$")]
    sha256: Sha256
    bytes: Annotated[int, Field(ge=1)]


class Figures(_Read):
    """How a concept came out.

    Attributes:
        images: pairs that were trained on.
        trained_parameters, trained_share: of the branches; as a share of the base's parameters.
        l1, identity_l1: mean absolute difference to the targets of the validation pairs, of the adapted base's pictures
            and of the inputs themselves; in [-1, 1].
        seconds: that it was trained and evaluated for; where it was killed and gone on with, the last time.
    """

    images: Annotated[int, Field(ge=1)]
    trained_parameters: Annotated[int, Field(ge=1)]
    trained_share: Annotated[float, Field(gt=0)]
    l1: Annotated[float, Field(ge=0)]
    identity_l1: Annotated[float, Field(ge=0)]
    seconds: Annotated[float, Field(ge=0)]


class OldConcept(_Read):
    """What the base's pictures of an old concept are with a new adapter on, on that concept's validation pairs.

    Attributes:
        judge: lpips, or l1 where no weights for LPIPS were given; the distance to the targets, lower is better.
        base: of the base alone, and with the adapter off, which is the same to the last bit.
        adapted: with the adapter on and the old concept's text.
        ratio: adapted / base; None where the base draws the targets exactly.
        flagged: whether `adapted` is above 1.2 times `base`.
    """

    name: str
    judge: Literal["lpips", "l1"]
    images: Annotated[int, Field(ge=1)]
    base: Annotated[float, Field(ge=0)]
    adapted: Annotated[float, Field(ge=0)]
    ratio: Annotated[float, Field(ge=0)] | None
    flagged: bool


class AdaptedConceptRecord(_Read):
    """A concept of the set.

    Attributes:
        settings: all that it was trained with: steps, ranks, batch size, rates, size, direction and the rest.
        old: of each old concept, where the base's own were looked at.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    text: Annotated[str, Field(min_length=1)]
    adapter: AdapterFile
    settings: dict[str, Any]
    figures: Figures
    old: list[OldConcept] | None = None


class AdapterSet(_Read):
    """The whole file; concepts in the order in which they were asked for."""

    format: Literal[1] = 1
    base_digest: Sha256
    spec_digest: Sha256
    text_encoder: EncoderRecord
    concepts: list[AdaptedConceptRecord]
    created_with: dict[str, str] = Field(default_factory=lambda: {"pocketgan": __version__})

    def write(self, folder: Path) -> None:
        """Raises StorageError where the disk is full or read-only."""
        write_atomic(folder / SET_FILE, self.model_dump_json(indent=2) + "\n")

    def adapter(self, folder: Path, name: str) -> Adapter:
        """A concept's adapter, whose file is the one that was recorded.

        Raises:
            ModelError: the set has no such concept, or the file is missing, damaged or another one.
        """
        record = next((one for one in self.concepts if one.name == name), None)
        if record is None:
            held = ", ".join(one.name for one in self.concepts) or "none"
            raise ModelError(f"{folder} has no concept {name}; it has {held}")
        path = folder / record.adapter.file
        if path.is_file() and sha256_file(path) != record.adapter.sha256:
            raise ModelError(f"{path} is not the file that {folder / SET_FILE} names; run pocketgan adapt again")
        return load_adapter(path)


def read_adapter_set(folder: Path) -> AdapterSet:
    """The adapters of a folder.

    Raises:
        ModelError: it holds none, or `concepts.json` is damaged or of a later version.
    """
    path = folder / SET_FILE
    try:
        found = AdapterSet.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ModelError(
            f"{folder} holds no readable {SET_FILE}; pocketgan adapt BASE --concepts FILE --out {folder} writes it"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ModelError(f"{path} is damaged or of a later version: {where}: {first['msg']}") from error
    if not found.concepts:
        raise ModelError(f"{path} lists no concept; all that were asked for failed")
    return found
