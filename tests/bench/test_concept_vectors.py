"""The vectors of packs, which every language runs: what a patch makes of a file, and how a concept is drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pocketgan.bench.runners.planning import model_path
from pocketgan.bundle.manifest import DrawnEntry
from pocketgan.bundle.patch import patched
from pocketgan.bundle.reader import Bundle
from pocketgan.bundle.sources import open_source
from pocketgan.errors import BundleError

FOLDER = Path(__file__).resolve().parents[2] / "bench" / "schema" / "conformance"
CONCEPTS = json.loads((FOLDER / "concepts.json").read_text("utf-8"))


def cases(name: str) -> list[dict[str, Any]]:
    return list(json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["cases"])


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("case", cases("patch"), ids=lambda case: case["name"])
def test_a_patch_makes_of_a_file_what_the_vector_says(case: dict[str, Any], tmp_path: Path) -> None:
    for name, content in case["patches"].items():
        (tmp_path / name).write_bytes(bytes.fromhex(content))
    target = tmp_path / "model.pte"
    target.write_bytes(bytes.fromhex(case["target"]))
    if "refused" in case:
        with pytest.raises(BundleError):
            patched(target, tmp_path / case["patch"])
    else:
        assert patched(target, tmp_path / case["patch"]).hex() == case["result"]


@pytest.mark.parametrize("case", CONCEPTS["cases"], ids=lambda case: f"{case['entry']} {case['concept']}")
def test_a_concept_is_drawn_as_the_vector_says(case: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(CONCEPTS["manifests"][case["manifest"]]))
    bundle = Bundle(tmp_path, open_source(tmp_path))
    if "refused" in case:
        with pytest.raises(BundleError) as refused:
            bundle.entry(case["entry"], case["concept"])
        assert str(refused.value).startswith(f"{tmp_path}: {case['refused']}")
        return
    entry = bundle.entry(case["entry"], case["concept"])
    component = next(one for one in entry.components if case["component"] in (None, one.name))
    golden = bundle.manifest.golden_set(entry.golden)
    drawn = {
        "model": model_path(component),
        "patch": entry.patch if isinstance(entry, DrawnEntry) else None,
        "function": entry.function if isinstance(entry, DrawnEntry) else None,
        "files": [file.path for file in component.files],
        "inputs": [tensor.file.path for tensor in golden.inputs],
        "outputs": [tensor.file.path for tensor in golden.outputs],
    }
    assert drawn == {name: case[name] for name in drawn}
