from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from pocketgan.bench.devices.session_folder import files_of, worth_keeping, write_session
from pocketgan.bench.schema.job import Job
from pocketgan.bench.schema.session import Group, Session
from pocketgan.bundle.reader import Bundle, open_bundle
from pocketgan.errors import BundleError

MakeBundle = Callable[..., Path]


@pytest.fixture
def opened() -> Iterator[Callable[[Path], Bundle]]:
    with ExitStack() as stack:
        yield lambda path: stack.enter_context(open_bundle(path))


def session(*jobs: Job) -> Session:
    return Session(name="s", groups=[Group(jobs=list(jobs))])


def job(bundle: Bundle, entry: str = "onnx-fp32") -> Job:
    return Job(bundle=bundle.digest, entry=entry, via="app")


def test_it_holds_the_session_and_what_the_asked_entry_needs(
    make_bundle: MakeBundle, tmp_path: Path, opened: Callable[[Path], Bundle]
) -> None:
    bundle = opened(make_bundle())
    asked = session(job(bundle))
    sent = write_session(tmp_path / "s", asked, [(bundle, asked.groups[0].jobs[0])], there={})
    root = f"bundles/{bundle.digest}"
    assert [file.path for file in sent] == [
        f"{root}/models/onnx-fp32/model.bin",
        f"{root}/golden/rgb/x.bin",
        f"{root}/golden/rgb/y.bin",
        f"{root}/manifest.json",
        "session.json",
    ]
    there = {str(path.relative_to(tmp_path / "s")) for path in (tmp_path / "s").rglob("*") if path.is_file()}
    assert there == {file.path for file in sent}
    for file in sent:
        content = (tmp_path / "s" / file.path).read_bytes()
        assert file.source == tmp_path / "s" / file.path
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.bytes, file.sha256)
    assert Session.model_validate_json((tmp_path / "s" / "session.json").read_bytes(), strict=True) == asked
    assert hashlib.sha256((tmp_path / "s" / root / "manifest.json").read_bytes()).hexdigest() == bundle.digest


def test_a_bundle_that_is_asked_twice_is_there_once(
    make_bundle: MakeBundle, tmp_path: Path, opened: Callable[[Path], Bundle]
) -> None:
    bundle = opened(make_bundle())
    jobs = [job(bundle).model_copy(update={"run": run}) for run in range(2)]
    sent = write_session(tmp_path / "s", session(*jobs), [(bundle, one) for one in jobs], there={})
    assert len(sent) == len({file.path for file in sent}) == 5
    assert files_of([(bundle, one) for one in jobs]) == {file.path: file.sha256 for file in sent[:-1]}


def test_what_the_device_has_is_neither_written_nor_sent(
    make_bundle: MakeBundle, tmp_path: Path, opened: Callable[[Path], Bundle]
) -> None:
    bundle = opened(make_bundle())
    work = [(bundle, job(bundle))]
    there = files_of(work)
    changed = f"bundles/{bundle.digest}/golden/rgb/y.bin"
    there[changed] = "0" * 64
    there["bundles/other/manifest.json"] = "1" * 64
    sent = write_session(tmp_path / "s", session(work[0][1]), work, there)
    assert [file.path for file in sent] == [changed, "session.json"]
    assert len([path for path in (tmp_path / "s").rglob("*") if path.is_file()]) == 2
    assert set(worth_keeping(there, files_of(work))) == files_of(work).keys() - {changed}


def test_what_lies_in_the_folder_with_the_right_hash_is_not_written_again(
    make_bundle: MakeBundle, tmp_path: Path, opened: Callable[[Path], Bundle]
) -> None:
    bundle = opened(make_bundle())
    work = [(bundle, job(bundle))]
    first = write_session(tmp_path / "s", session(work[0][1]), work, there={})
    model, golden = first[0].source, first[1].source
    before = model.stat().st_ino
    golden.write_bytes(b"damaged")
    second = write_session(tmp_path / "s", session(work[0][1]), work, there={})
    assert second == first
    assert model.stat().st_ino == before
    assert hashlib.sha256(golden.read_bytes()).hexdigest() == first[1].sha256


def test_a_damaged_bundle_is_found_before_anything_is_sent(
    make_bundle: MakeBundle, tmp_path: Path, opened: Callable[[Path], Bundle]
) -> None:
    with open_bundle(make_bundle()) as whole:
        whole.extract(tmp_path / "unpacked")
    (tmp_path / "unpacked/golden/rgb/x.bin").write_bytes(np.ones((1, 3, 16, 16), "<f4").tobytes())
    bundle = opened(tmp_path / "unpacked")
    with pytest.raises(BundleError, match=r"golden/rgb/x\.bin is damaged"):
        write_session(tmp_path / "s", session(job(bundle)), [(bundle, job(bundle))], there={})
    assert not (tmp_path / "s" / "session.json").exists()


def test_a_session_is_plain_json_for_other_languages(
    make_bundle: MakeBundle, tmp_path: Path, opened: Callable[[Path], Bundle]
) -> None:
    bundle = opened(make_bundle())
    write_session(tmp_path / "s", session(job(bundle)), [(bundle, job(bundle))], there={})
    told = json.loads((tmp_path / "s" / "session.json").read_bytes())
    assert told["groups"][0]["jobs"][0]["bundle"] == bundle.digest
    assert (told["schema_version"], told["groups"][0]["jobs"][0]["schema_version"]) == ("1.2", "1.3")
