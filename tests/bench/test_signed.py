"""Signed results files: who signed them, what changes them, and what is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import synthetic_fleet as fleet
import synthetic_results as synthetic
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pocketgan import api
from pocketgan.bench.journal import Journal, read_results
from pocketgan.bench.schema.result import Result
from pocketgan.bundle.signature import sign, signature_file
from pocketgan.errors import PocketganError, ResultsError

Command = Callable[..., CompletedProcess[str]]
KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32) for seed in (1, 2))
OURS = KEY.public_key().public_bytes_raw()
THEIRS = OTHER.public_key().public_bytes_raw()


@pytest.fixture
def keys(tmp_path: Path) -> None:
    """our.pem and their.pem, and their public keys, one as PEM and one as base64."""
    for name, key in (("our", KEY), ("their", OTHER)):
        private = key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())
        (tmp_path / f"{name}.pem").write_bytes(private)
    public = KEY.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "our.pub").write_bytes(public)
    (tmp_path / "their.pub").write_text(base64.b64encode(THEIRS).decode())


def written(path: Path, *, model: str = "m", fps: float = 50) -> Path:
    records = [fleet.bundle(model), *fleet.result(model, fleet.phone(1), fps)]
    return synthetic.write_records(path, records)


def signed(path: Path, key: Ed25519PrivateKey = KEY) -> Path:
    with Journal(written(path), key):
        pass
    return path


def more() -> Result:
    (record,) = fleet.result("m", fleet.phone(2), 60)
    return Result.model_validate({key: value for key, value in record.items() if key != "record"})


def test_a_signed_file_is_read_with_its_key_and_is_the_same_file(tmp_path: Path) -> None:
    before = written(tmp_path / "before.jsonl").read_bytes()
    path = signed(tmp_path / "r.jsonl")
    assert path.read_bytes() == before
    assert read_results([path], [THEIRS, OURS]) == read_results([path])


def test_a_signature_is_of_the_bytes_behind_a_word_that_no_bundle_begins_with(tmp_path: Path) -> None:
    path = signed(tmp_path / "r.jsonl")
    told = json.loads((tmp_path / "r.jsonl.sig").read_text())
    signature = base64.b64decode(told["signature"])
    KEY.public_key().verify(signature, b"pocketgan results\n" + path.read_bytes())
    (tmp_path / "r.jsonl.sig").write_bytes(signature_file(path.read_bytes(), KEY))
    with pytest.raises(ResultsError, match="was changed"):
        read_results([path], [OURS])


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + data.splitlines(keepends=True)[-1],
        lambda data: b"".join(data.splitlines(keepends=True)[:-1]),
        lambda data: data.replace(b"Pixel 8", b"Pixel 9"),
        lambda data: data + b'{"record":',
    ],
    ids=["a line more", "a line less", "another word", "half a line"],
)
def test_a_file_that_was_changed_is_refused(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    path = signed(tmp_path / "r.jsonl")
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ResultsError, match=r"r.jsonl was changed or appended to after it was signed$"):
        read_results([path], [OURS])


@pytest.mark.parametrize(
    "signature", [b"", b"{}", b"[" * 100_000, b"\xff\x00", b'{"algorithm":"none","public_key":"","signature":""}']
)
def test_a_damaged_signature_is_one_line(tmp_path: Path, signature: bytes) -> None:
    path = signed(tmp_path / "r.jsonl")
    (tmp_path / "r.jsonl.sig").write_bytes(signature)
    with pytest.raises(ResultsError, match=r"r.jsonl.sig is damaged") as error:
        read_results([path], [OURS])
    assert "\n" not in str(error.value)


def test_every_file_that_is_not_to_be_trusted_is_named_in_one_line(tmp_path: Path) -> None:
    good, foreign = signed(tmp_path / "good.jsonl"), signed(tmp_path / "foreign.jsonl", OTHER)
    bare, changed = written(tmp_path / "bare.jsonl"), signed(tmp_path / "changed.jsonl")
    written(changed, fps=500)
    with pytest.raises(ResultsError) as error:
        read_results([good, foreign, bare, changed], [OURS])
    assert str(error.value) == (
        f"{foreign} is signed by another key ({base64.b64encode(THEIRS).decode()}); "
        f"{bare} is not signed (there is no bare.jsonl.sig beside it); "
        f"{changed} was changed or appended to after it was signed"
    )
    assert len(read_results([good, foreign], [OURS, THEIRS]).results) == 2


def test_what_is_appended_makes_the_signature_invalid_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = signed(tmp_path / "r.jsonl")
    capsys.readouterr()
    with Journal(path):
        pass
    assert capsys.readouterr().err == ""
    with Journal(path) as journal:
        journal.append_result(more())
    assert "what was appended is not, so that its signature is not valid any more" in capsys.readouterr().err
    with pytest.raises(ResultsError, match="was changed or appended to"):
        read_results([path], [OURS])
    with Journal(path, KEY):
        pass
    assert "what it holds already is signed as well" in capsys.readouterr().err
    assert len(read_results([path], [OURS]).results) == 2


def test_a_session_that_broke_off_is_not_signed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Journal(written(tmp_path / "r.jsonl"), KEY):
        raise KeyboardInterrupt
    assert not (tmp_path / "r.jsonl.sig").exists()


@pytest.mark.usefixtures("keys")
def test_a_team_takes_signed_files_from_outside(
    tmp_path: Path, make_bundle: Callable[..., Path], pocketgan: Command
) -> None:
    bundle = make_bundle()
    quick = ("--iterations", 12, "--rounds", 2, "--runs", 1, "--cold-repeats", 0, "--warmup-timeout", 0)
    done = pocketgan("bench", bundle, *quick, "--sign-results", "our.pem", "--json")
    assert (done.returncode, json.loads(done.stdout)["signed_by"]) == (0, base64.b64encode(OURS).decode())
    page = ("report", "results.jsonl", "--public-key")
    assert pocketgan(*page, "their.pub", "--public-key", "our.pub").returncode == 0
    (tmp_path / "report.html").unlink()
    refused = pocketgan(*page, "their.pub", "--markdown", "r.md")
    assert refused.returncode == 2
    assert "results.jsonl is signed by another key" in refused.stderr
    assert not list(tmp_path.glob("r*.html")) + list(tmp_path.glob("r.md"))
    gate = ("compare", "results.jsonl", "results.jsonl", "--public-key")
    assert "onnx-fp32" in pocketgan(*gate, "our.pub").stdout  # a verdict, whichever
    assert "is signed by another key" in pocketgan(*gate, "their.pub").stderr
    # Resumed, there is nothing left to measure, and the file is signed again.
    (tmp_path / "results.jsonl.sig").unlink()
    again = pocketgan("bench", bundle, *quick, "--resume", "--sign-results", "their.pem")
    assert "signed:  results.jsonl.sig, by key " in again.stdout
    assert pocketgan(*page, "their.pub").returncode == 0


@pytest.mark.usefixtures("keys")
def test_a_wrong_key_file_is_found_before_anything_is_measured(
    tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    with pytest.raises(PocketganError, match="make one with: openssl genpkey"):
        api.bench(make_bundle(), out=tmp_path / "r.jsonl", sign_results=tmp_path / "our.pub")
    assert not (tmp_path / "r.jsonl").exists()
    with pytest.raises(PocketganError, match="is a private key, the public one is needed"):
        api.report(signed(tmp_path / "s.jsonl"), tmp_path / "r.html", public_keys=tmp_path / "our.pem")


@pytest.mark.usefixtures("keys")
def test_keys_of_results_are_not_for_bundles(tmp_path: Path, make_bundle: Callable[..., Path]) -> None:
    bundle = make_bundle()
    sign(bundle, tmp_path / "our.pem")
    with pytest.raises(ResultsError, match="pocketgan bundle verify BUNDLE --public-key KEY"):
        api.compare(bundle, bundle, public_keys=[tmp_path / "our.pub"])
