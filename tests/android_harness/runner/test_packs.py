"""The native runner measures packs concept by concept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from native_runner import Run, manifest_of, repack, shell_job, write_session
from small_pack import write_pack


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pack(tmp_path_factory.mktemp("pack") / "pack.pgb")


def test_each_concept_is_held_against_its_own_golden_output(pack: Path, run: Run, tmp_path: Path) -> None:
    jobs = [shell_job(pack, concept=concept) for concept in (None, "same", "soft")]
    folder = write_session(tmp_path, [pack], [jobs])
    answer = run(folder)
    assert (answer.code, answer.errors) == (0, "")
    assert [(result.job.concept, result.errors) for result in answer.results] == [
        (None, []),
        ("same", []),
        ("soft", []),
    ]
    assert len({result.process for result in answer.results}) == 1
    assert all(result.parity is not None and result.parity.max_abs_error < 1e-6 for result in answer.results)
    (made,) = (folder / "bundles" / "patched").iterdir()
    written = made.stat().st_mtime_ns
    (folder / "results.jsonl").unlink()
    assert run(folder).results[2].errors == []
    assert made.stat().st_mtime_ns == written, "it was made once"


def test_a_concept_that_is_not_there_says_which_are(pack: Path, run: Run, tmp_path: Path) -> None:
    folder = write_session(tmp_path, [pack], [[shell_job(pack)]])
    session = json.loads((folder / "session.json").read_text())
    session["groups"][0]["jobs"][0]["concept"] = "sepia"
    (folder / "session.json").write_text(json.dumps(session))
    (result,) = run(folder).results
    assert result.errors == ["the bundle has no concept sepia; it has: negative, same, soft"]


def test_a_patch_of_another_file_is_refused(pack: Path, run: Run, tmp_path: Path) -> None:
    folder = write_session(tmp_path, [pack], [[shell_job(pack, concept="soft")]])
    model = next(manifest_of(folder).parent.rglob("model.onnx"))

    def lengthen(manifest: Any, at: Path) -> None:
        model.write_bytes(model.read_bytes() + b"\0")

    repack(folder, lengthen)
    (result,) = run(folder).results
    assert "soft.safetensors belongs to another file than models/onnx-fp32/model.onnx" in result.errors[0]
