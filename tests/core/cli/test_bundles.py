"""`pocketgan bundle` as a user or a CI job meets it: output, JSON and exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pocketgan import cli, console
from pocketgan.bundle.check import check
from pocketgan.bundle.manifest import Cost, Delegation, Parity
from pocketgan.bundle.packing import write_manifest
from pocketgan.bundle.reader import open_bundle

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, standard output and standard error of `pocketgan bundle ...`."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pocketgan", "bundle", *map(str, words)])
        console.use_json(False)
        with pytest.raises(SystemExit) as end:
            cli.main()
        console.use_json(False)
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return call


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    key = Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption()))
    (tmp_path / "public.pem").write_bytes(
        key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    )
    return tmp_path / "key.pem", tmp_path / "public.pem"


def _json(answer: tuple[int, str, str]) -> dict[str, Any]:
    value = json.loads(answer[1])
    assert isinstance(value, dict)
    return value


def test_pack_prints_the_digest(run: Run, folder: Path, tmp_path: Path) -> None:
    answer = run("pack", folder, "--out", tmp_path / "x.pgb", "--json")
    with open_bundle(tmp_path / "x.pgb") as bundle:
        assert _json(answer) == {
            "path": str(tmp_path / "x.pgb"),
            "digest": bundle.digest,
            "bytes": (tmp_path / "x.pgb").stat().st_size,
        }
    assert answer[0] == 0


def test_verify_says_ok_and_ends_with_0(run: Run, pgb: Path) -> None:
    assert run("verify", pgb)[:2] == (0, "ok\n")
    assert _json(run("verify", pgb, "--json")) == {"ok": True, "problems": []}


def test_verify_lists_problems_and_ends_with_1(run: Run, folder: Path) -> None:
    (folder / "LICENSES/Apache-2.0.txt").write_bytes(b"A licence")
    code, out, _ = run("verify", folder)
    assert code == 1
    assert out.startswith("problem: LICENSES/Apache-2.0.txt is damaged")
    answer = run("verify", folder, "--json")
    assert answer[0] == 1
    assert _json(answer)["ok"] is False
    assert len(_json(answer)["problems"]) == 1


def test_verify_of_a_cut_bundle_is_a_problem(run: Run, pgb: Path) -> None:
    pgb.write_bytes(pgb.read_bytes()[:-30])
    answer = run("verify", pgb, "--json")
    assert answer[0] == 1
    assert "cut off" in _json(answer)["problems"][0]


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_what_is_no_bundle_ends_with_2_and_one_line(run: Run, tmp_path: Path, command: str) -> None:
    (tmp_path / "text").write_text("hello")
    for path in (tmp_path / "text", tmp_path / "none.pgb", tmp_path):
        code, out, err = run(command, path)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        answer = run(command, path, "--json")
        assert answer[0] == 2
        assert _json(answer).keys() == {"error"}


def test_sign_then_verify_with_the_key(run: Run, pgb: Path, keys: tuple[Path, Path]) -> None:
    answer = run("verify", pgb, "--public-key", keys[1], "--json")
    assert (answer[0], _json(answer)["problems"]) == (1, ["is not signed, but a key is expected"])
    signed = _json(run("sign", pgb, "--key", keys[0], "--json"))
    assert run("verify", pgb, "--public-key", keys[1])[:2] == (0, "ok\n")
    assert _json(run("inspect", pgb, "--json"))["signature"] == {
        "signed": True,
        "public_key": signed["public_key"],
        "problem": None,
    }


def test_verify_with_a_key_file_that_is_none_ends_with_2(run: Run, pgb: Path, tmp_path: Path) -> None:
    assert run("verify", pgb, "--public-key", tmp_path / "none.pem")[0] == 2


def test_a_signature_of_another_manifest_is_listed_once(run: Run, folder: Path, keys: tuple[Path, Path]) -> None:
    run("sign", folder, "--key", keys[0])
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"tiny"', b'"evil"'))
    problems = _json(run("verify", folder, "--public-key", keys[1], "--json"))["problems"]
    assert problems == ["signature.json is not of this manifest"]


def test_inspect_shows_what_the_bundle_says_of_itself(run: Run, folder: Path) -> None:
    with open_bundle(folder) as bundle:
        manifest = bundle.manifest
    measured = manifest.entries[0].model_copy(
        update={
            "parity": Parity(psnr_db=112.34, max_abs_error=1e-5, floor_db=100, runtime="onnxruntime"),
            "delegation": Delegation(delegated_fraction=0.75, subgraphs=3),
            "runtime_version": "1\x1b[2J",
        }
    )
    write_manifest(
        folder,
        manifest.model_copy(
            update={
                "entries": [measured, manifest.entries[1]],
                "cost": Cost(params=1234567, macs=2, macs_by_output=3),
                "quality": {"fid": 61.5},
            }
        ),
    )
    code, out, _ = run("inspect", folder)
    assert code == 0
    for text in (
        "tiny",
        "student, untrained",
        "unsigned",
        "1,234,567 params",
        "fid 61.5",
        "112.3 dB",
        "75%",
        "coreml-fp16",
    ):
        assert text in out
    assert "\x1b" not in out
    answer = _json(run("inspect", folder, "--json"))
    assert answer["entries"] == {"onnx-fp32": {"bytes": 25}, "coreml-fp16": {"bytes": 42}}
    assert answer["manifest"]["role"] == "student"


def test_unpack_writes_one_entry_or_says_which_there_are(run: Run, pgb: Path, tmp_path: Path) -> None:
    code, _, err = run("unpack", pgb, "--out", tmp_path / "one", "--entry", "none")
    assert code == 2
    assert "onnx-fp32, coreml-fp16" in err
    assert run("unpack", pgb, "--out", tmp_path / "one", "--entry", "onnx-fp32")[0] == 0
    assert {path.name for path in (tmp_path / "one" / "models").iterdir()} == {"onnx-fp32"}
    assert run("unpack", pgb, "--out", tmp_path / "all")[0] == 0
    assert check(tmp_path / "all") == []
