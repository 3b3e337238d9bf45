"""What cannot become a pack is refused in one line, before anything is exported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pack_inputs import make_adapter, make_base, make_pack_inputs

from pocketgan import api
from pocketgan.concept_packs import find_adapters, pack_name
from pocketgan.errors import ExportError, ModelError
from pocketgan.files import sha256_file
from pocketgan.training.adapter import weights_digest
from pocketgan.training.generators import build, spec_by_name
from pocketgan.training.generators.files import save_generator


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    make_pack_inputs(folder, ["ink"])
    return folder


def refused(kind: type[Exception], match: str, inputs: Path, tmp_path: Path, **changed) -> None:
    told: dict[str, Any] = {
        "model": inputs / "base.safetensors",
        "targets": "onnx",
        "concepts": inputs / "effects",
    } | changed
    with pytest.raises(kind, match=match) as caught:
        api.export(out=tmp_path / "out.pgb", **told)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.pgb").exists()


def test_a_folder_without_adapters_is_refused(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(ModelError, "holds no adapters", inputs, tmp_path, concepts=tmp_path / "empty")
    refused(ModelError, "there is no folder", inputs, tmp_path, concepts=tmp_path / "gone")


def test_an_adapter_of_another_base_is_refused_by_both_digests(inputs: Path, tmp_path: Path) -> None:
    other = make_base(tmp_path / "other.safetensors", seed=2)
    shutil.copytree(inputs / "effects", tmp_path / "effects")
    make_adapter(tmp_path / "effects" / "night.safetensors", other, "night", 5)
    own = weights_digest(make_base(tmp_path / "own.safetensors").module)
    both = rf"night\.safetensors: .*{weights_digest(other.module)[:12]}.*{own[:12]}"
    refused(ModelError, both, inputs, tmp_path, concepts=tmp_path / "effects")


def test_two_adapters_of_one_name_are_refused(inputs: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base.safetensors")
    make_adapter(tmp_path / "effects" / "a.safetensors", base, "comic ink", 5)
    make_adapter(tmp_path / "effects" / "b.safetensors", base, "Comic-Ink", 6)
    with pytest.raises(ModelError, match=r"a\.safetensors and .*b\.safetensors are both called Comic-Ink"):
        find_adapters(tmp_path / "effects", base)


def test_of_a_folder_with_a_list_the_listed_ones_come_first_in_its_order(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base" / "base.safetensors")
    for seed, name in enumerate(("ink", "oil", "old")):
        make_adapter(tmp_path / f"{name}.safetensors", base, name, seed)
    zeros = {"images": 1, "trained_parameters": 1, "trained_share": 1, "l1": 0, "identity_l1": 0, "seconds": 0}
    records = [
        {
            "name": name,
            "text": f"make it {name}",
            "adapter": {
                "file": f"{name}.safetensors",
                "sha256": sha256_file(tmp_path / f"{name}.safetensors"),
                "bytes": 1,
            },
            "settings": {},
            "figures": zeros,
        }
        for name in ("oil", "ink")
    ]
    listed = {"base_digest": "a" * 64, "spec_digest": "a" * 64, "text_encoder": {"name": "x", "digest": "x"}}
    (tmp_path / "concepts.json").write_text(json.dumps({**listed, "concepts": records}))
    assert list(find_adapters(tmp_path, base)) == ["oil", "ink", "old"]


def test_what_is_no_base_of_adapters_is_refused(inputs: Path, tmp_path: Path) -> None:
    spec = spec_by_name("resnet6", ngf=2, height=32, width=32)
    save_generator(tmp_path / "resnet.safetensors", build(spec), spec, {"trained": "yes"})
    refused(
        ModelError, "family resnet; --concepts takes an e2gan", inputs, tmp_path, model=tmp_path / "resnet.safetensors"
    )
    refused(ModelError, "takes a base's model file", inputs, tmp_path, model="e2gan")


def test_another_size_than_the_bases_is_refused(inputs: Path, tmp_path: Path) -> None:
    refused(
        ModelError, "of 3x32x32; --concepts exports no other size, such as 3x64x64", inputs, tmp_path, input=(3, 64, 64)
    )


def test_a_default_that_is_no_concept_is_refused(inputs: Path, tmp_path: Path) -> None:
    refused(ModelError, "--default night is not among the concepts, which are ink", inputs, tmp_path, default="night")
    refused(ExportError, "--concepts DIR", inputs, tmp_path, default="ink", concepts=None)


@pytest.mark.parametrize(
    ("targets", "precision"), [("onnx", "int8"), ("executorch-xnnpack", "fp16"), ("torch", "fp32")]
)
def test_a_form_that_concepts_cannot_share_is_refused(
    inputs: Path, tmp_path: Path, targets: str, precision: str
) -> None:
    match = f"writes onnx-fp32.* not {targets}-{precision}"
    refused(ExportError, match, inputs, tmp_path, targets=targets, precisions=precision)


def test_a_whole_generator_among_the_adapters_is_refused(inputs: Path, tmp_path: Path) -> None:
    shutil.copytree(inputs / "effects", tmp_path / "effects")
    shutil.copy(inputs / "base.safetensors", tmp_path / "effects" / "base.safetensors")
    refused(ModelError, "is a whole generator, no adapter", inputs, tmp_path, concepts=tmp_path / "effects")


def test_a_concept_is_called_in_a_pack_as_files_can_be() -> None:
    path = Path("a.safetensors")
    assert pack_name("comic ink", path) == "comic-ink"
    assert pack_name("Night_2.1", path) == "Night_2.1"
    for name in ("水彩", "x" * 101, "...", "all"):
        with pytest.raises(ModelError, match="cannot call a concept"):
            pack_name(name, path)
