"""Packs from a base and a folder of adapters: `pocketgan export BASE --concepts DIR`.

Exporting knows merged networks alone, so each adapter is merged into a model file of its own on the way.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pocketgan.bench.jobs import EVERY_CONCEPT
from pocketgan.bundle.manifest import NAME_PATTERN
from pocketgan.errors import ModelError
from pocketgan.files import sha256_file
from pocketgan.scratch import scratch_folder

if TYPE_CHECKING:
    from pocketgan.bundle.manifest import Manifest
    from pocketgan.errors import PocketganError
    from pocketgan.export.bundles import BundleRequest
    from pocketgan.export.packs.writing import PackedConcept
    from pocketgan.export.source import ModelSource
    from pocketgan.training.adapter import Adapter
    from pocketgan.training.generators.files import LoadedGenerator

# `concept-` and an ending stand around it in files' names, `nchw-float32-` before it in golden sets'.
_LONGEST_NAME = 100


@dataclass(frozen=True)
class FoundAdapter:
    """An adapter in a folder, and what its concept is called in a pack."""

    name: str
    path: Path
    adapter: Adapter


def must_be_base(source: ModelSource) -> Path:
    """The base's file.

    Raises:
        ModelError: it is no model file of an e2gan, or is to be exported at another size than its own.
    """
    from pocketgan.training.generators.files import read_spec

    if source.kind != "file":
        raise ModelError(
            f"--concepts takes a base's model file, which its adapters were trained on; {source.called} is none"
        )
    spec = read_spec(Path(source.value))
    if spec.family != "e2gan":
        raise ModelError(
            f"{source.value} is a generator of the family {spec.family}; --concepts takes an e2gan, which alone has "
            "adapters"
        )
    size = spec.input_channels, spec.height, spec.width
    if source.shape not in (None, size):
        told, own = ("x".join(map(str, shape)) for shape in (source.shape or (), size))
        raise ModelError(
            f"{source.value} and its adapters are of {own}; --concepts exports no other size, such as {told}"
        )
    return Path(source.value)


def find_adapters(folder: Path, base: LoadedGenerator) -> dict[str, FoundAdapter]:
    """The adapters of a folder by their concepts' names as a bundle can hold them.

    First those of the list that `pocketgan adapt --concepts` left, in its order, then all others by their files' names.

    Raises:
        ModelError: there are none, one is damaged or of another base, or two have one name.
    """
    from pocketgan.training.adapter import check_fits

    if not folder.is_dir():
        raise ModelError(f"there is no folder {folder}; --concepts names one of adapters (*.safetensors)")
    found: dict[str, FoundAdapter] = {}
    for path, adapter in _adapters(folder):
        try:
            check_fits(adapter, base)
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
        name = pack_name(adapter.concept.name, path)
        other = next((one for known, one in found.items() if known.lower() == name.lower()), None)
        if other is not None:
            raise ModelError(
                f"{other.path} and {path} are both called {name}: a pack's concepts have names of their own (pocketgan "
                "adapt --name)"
            )
        found[name] = FoundAdapter(name, path, adapter)
    return found


def _adapters(folder: Path) -> Iterator[tuple[Path, Adapter]]:
    from pocketgan.training.adapter_files import load_adapter
    from pocketgan.training.adapter_set import SET_FILE, read_adapter_set

    paths = sorted(path for path in folder.glob("*.safetensors") if path.is_file())
    if not paths:
        raise ModelError(
            f"{folder} holds no adapters (*.safetensors); pocketgan adapt writes one: --out "
            f"{folder / 'NAME.safetensors'}"
        )
    listed = read_adapter_set(folder) if (folder / SET_FILE).is_file() else None
    of_list = [] if listed is None else listed.concepts
    for one in of_list:
        assert listed is not None
        yield folder / one.adapter.file, listed.adapter(folder, one.name)
    files = {one.adapter.file for one in of_list}
    for path in paths:
        if path.name not in files:
            yield path, load_adapter(path)


def pack_name(name: str, path: Path) -> str:
    """A concept's name with letters, digits, '.', '_' and '-', others made '-'.

    Raises:
        ModelError: nothing would be left, or too much, or it is the word for all concepts.
    """
    changed = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("._-")
    if len(changed) > _LONGEST_NAME or not re.fullmatch(NAME_PATTERN, changed):
        raise ModelError(
            f"{path}: a pack cannot call a concept {name!r}: a name of A-Z, a-z, 0-9, '.', '_' and '-', at most "
            f"{_LONGEST_NAME} characters, is needed (pocketgan adapt --name)"
        )
    if changed == EVERY_CONCEPT:
        raise ModelError(
            f"{path}: a pack cannot call a concept {name!r}: --concept {EVERY_CONCEPT} asks for every one; name it "
            "otherwise (pocketgan adapt --name)"
        )
    return changed


def choose_default(default: str | None, found: Mapping[str, FoundAdapter]) -> str:
    """The concept that the pack draws where none is asked for: the first where None.

    Raises:
        ModelError: there is no such concept.
    """
    if default is None:
        return next(iter(found))
    if default not in found:
        raise ModelError(f"--default {default} is not among the concepts, which are {', '.join(found)}")
    return default


@dataclass(frozen=True)
class OpenPack:
    """A base and its concepts, ready to be exported.

    Attributes:
        base: file of the base's weights.
        concepts: networks of its concepts, with `default` among their names.
    """

    base: Path
    concepts: Sequence[PackedConcept]
    default: str

    def export(self, request: BundleRequest, workers: int) -> tuple[Manifest, dict[str, PocketganError]]:
        """See `export.packs.writing.export_pack`."""
        from pocketgan.export.packs.writing import PackRequest, export_pack

        return export_pack(PackRequest(request, self.concepts, self.default), workers)


@contextmanager
def open_pack(source: ModelSource, adapters: Path, default: str | None) -> Iterator[OpenPack]:
    """Yield a pack of all adapters in a folder; its files are gone afterwards.

    Args:
        default: the concept that is drawn where none is asked for; the first where None.
    Raises:
        ModelError: see `must_be_base`, `find_adapters` and `choose_default`.
    """
    from pocketgan.training.generators.files import load_generator

    base = load_generator(must_be_base(source))
    found = find_adapters(adapters, base)
    chosen = choose_default(default, found)
    with scratch_folder() as folder:
        neutral = folder / "base.safetensors"
        _save_without_text(neutral, base)
        yield OpenPack(neutral, [_merged(folder, base, one) for one in found.values()], chosen)


def _save_without_text(path: Path, base: LoadedGenerator) -> None:
    """Write the base with one word, 77 times, for its text.

    Whatever text its file holds, none at all included: of two constants that are made of it none equals the other, and
    few numbers lead from it to the text of any concept.
    """
    import torch

    from pocketgan.training.adapter import TEXT
    from pocketgan.training.generators.files import save_generator

    network = copy.deepcopy(base.module)
    text = network.get_buffer(TEXT)
    word = torch.randn(text.shape[-1], generator=torch.Generator().manual_seed(0)) / text.shape[-1] ** 0.5
    with torch.no_grad():
        text.copy_(word.expand_as(text))
    save_generator(path, network, base.spec, base.metadata)


def _merged(folder: Path, base: LoadedGenerator, found: FoundAdapter) -> PackedConcept:
    from pocketgan.export.packs.writing import PackedConcept
    from pocketgan.training.adapter import merge
    from pocketgan.training.generators.files import save_generator

    merged = merge(base, found.adapter)
    path = folder / f"concept-{found.name}.safetensors"
    save_generator(path, merged.module, merged.spec, merged.metadata)
    return PackedConcept(found.name, found.adapter.concept.text, sha256_file(found.path), path)
