"""Packs of concepts: what of them a concept is made of, and mistakes in its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from concept_pack import DEFAULT, ENTRY, colours_of, pack_of_concepts

from pocketgan.bundle.check import check
from pocketgan.bundle.packing import unpack
from pocketgan.bundle.reader import open_bundle
from pocketgan.errors import BundleError

HOME = f"models/{ENTRY}"


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return pack_of_concepts(tmp_path / "unpacked", tmp_path / "effects.pgb")


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_an_entry_is_seen_as_it_draws_a_concept(pack: Path) -> None:
    with open_bundle(pack) as bundle:
        drawn = bundle.entry(ENTRY, "sepia")
        assert drawn.components[0].entry_point == f"{HOME}/sepia.onnx"
        assert [file.path for file in drawn.components[0].files] == [f"{HOME}/weights.data", f"{HOME}/sepia.onnx"]
        assert drawn.golden == "rgb-sepia"
        for default in (bundle.entry(ENTRY), bundle.entry(ENTRY, DEFAULT)):
            assert default.components[0].entry_point == f"{HOME}/model.onnx"
            assert [file.path for file in default.components[0].files] == [f"{HOME}/model.onnx", f"{HOME}/weights.data"]
            assert default.golden == "rgb"
        assert bundle.manifest.concepts_of(ENTRY) == [DEFAULT, "sepia", "mirror-blue"]


def test_a_patch_goes_with_the_file_that_it_changes(tmp_path: Path) -> None:
    pack = pack_of_concepts(tmp_path / "unpacked", tmp_path / "p.pgb", way="patch")
    unpack(pack, tmp_path / "one", ENTRY, "sepia")
    there = files_in(tmp_path / "one")
    assert {f"{HOME}/model.onnx", f"{HOME}/sepia.safetensors"} <= there
    assert f"{HOME}/mirror-blue.safetensors" not in there


def test_golden_inputs_of_a_concept_are_the_shared_ones(pack: Path) -> None:
    with open_bundle(pack) as bundle:
        shared, plain = bundle.golden("rgb")
        inputs, outputs = bundle.golden("rgb-sepia")
    assert list(inputs) == ["x"]
    np.testing.assert_array_equal(inputs["x"], shared["x"])
    np.testing.assert_array_equal(plain["y"], shared["x"])
    np.testing.assert_array_equal(outputs["y"], colours_of(shared["x"], "sepia"))


def test_unpacking_an_entry_gives_all_concepts_or_what_one_needs(pack: Path, tmp_path: Path) -> None:
    unpack(pack, tmp_path / "all", ENTRY)
    with open_bundle(pack) as bundle:
        assert files_in(tmp_path / "all") == {"manifest.json", *(file.path for file in bundle.manifest.files())}
    unpack(pack, tmp_path / "one", ENTRY, "sepia")
    assert files_in(tmp_path / "one") == {
        "manifest.json",
        f"{HOME}/weights.data",
        f"{HOME}/sepia.onnx",
        "golden/rgb/x.bin",
        "golden/rgb-sepia/inputs.sha256",
        "golden/rgb-sepia/y.bin",
    }
    unpack(pack, tmp_path / "default", ENTRY, DEFAULT)
    assert f"{HOME}/sepia.onnx" not in files_in(tmp_path / "default")


@pytest.mark.parametrize(
    ("entry", "concept", "line"),
    [
        (ENTRY, "ink", r"effects\.pgb: has no concept ink; it has: plain, sepia, mirror-blue"),
        ("onnx-int8", "sepia", r"effects\.pgb: has no entry onnx-int8; it has: onnx-fp32"),
        (None, "sepia", "--concept goes with --entry"),
    ],
)
def test_what_a_pack_has_not_is_told(pack: Path, tmp_path: Path, entry: str | None, concept: str, line: str) -> None:
    with pytest.raises(BundleError, match=line):
        unpack(pack, tmp_path / "out", entry, concept)
    assert not (tmp_path / "out").exists()


def test_an_entry_that_does_not_draw_a_concept_says_which_it_draws(tmp_path: Path) -> None:
    pack = pack_of_concepts(tmp_path / "unpacked", tmp_path / "effects.pgb", second_entry=True)
    with open_bundle(pack) as bundle:
        with pytest.raises(BundleError, match=f"{ENTRY}-2 does not draw sepia; it draws: plain"):
            bundle.entry(f"{ENTRY}-2", "sepia")
        assert bundle.manifest.concepts_of(f"{ENTRY}-2") == [DEFAULT]


def test_a_concepts_model_may_not_name_files_of_others(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"sepia\.onnx .*elsewhere\.data"):
        pack_of_concepts(tmp_path / "unpacked", tmp_path / "effects.pgb", sepia_weights="elsewhere.data")


def test_a_pack_is_sound(pack: Path) -> None:
    assert check(pack) == []
