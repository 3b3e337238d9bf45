from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketgan.bench.journal import Journal, SampleRow, read_results
from pocketgan.bench.schema.job import SCHEMA_VERSION, Job
from pocketgan.bench.schema.result import DeviceInfo, Frame, Result
from pocketgan.bundle.manifest import Manifest
from pocketgan.bundle.reader import open_bundle
from pocketgan.errors import ResultsError, StorageError

DEVICE = DeviceInfo(
    name="local", model="m", kind="local", os="Linux", os_build="6", cpu="c", cores=2, memory_bytes=1 << 30
)


def result_of(number: int) -> Result:
    return Result(
        session="s",
        job=Job(bundle="0" * 64, entry=f"onnx-{number}"),
        bundle_name="tiny",
        device=DEVICE,
        runtime="onnxruntime",
        runtime_version="1",
        app_build="release",
        started_at="2026-01-01T00:00:00+00:00",
        frames=[Frame(start_ns=number, pre_ns=1, inference_ns=2, post_ns=3, round=0)],
    )


def write(path: Path, *numbers: int) -> None:
    with Journal(path) as journal:
        for number in numbers:
            journal.append_result(result_of(number))


@pytest.fixture
def manifest(make_bundle: Callable[..., Path]) -> Manifest:
    with open_bundle(make_bundle()) as bundle:
        return bundle.manifest


def test_what_is_written_is_read(tmp_path: Path, manifest: Manifest) -> None:
    path = tmp_path / "results.jsonl"
    row = SampleRow(input="aQ==", output="bw==")
    with Journal(path) as journal:
        journal.append_bundle("1" * 64, manifest, [row])
        journal.append_result(result_of(1))
    results = read_results([path])
    assert results.bundles["1" * 64].manifest == manifest
    assert results.bundles["1" * 64].samples == [row]
    assert results.results == [result_of(1)]
    assert [json.loads(line)["record"] for line in path.read_text().splitlines()] == ["bundle", "result"]


def test_a_bundle_is_recorded_once(tmp_path: Path, manifest: Manifest) -> None:
    path = tmp_path / "results.jsonl"
    for samples in ([], [], [SampleRow(input="aQ==")], []):
        with Journal(path) as journal:
            journal.append_bundle("1" * 64, manifest, samples)
    assert len(path.read_text().splitlines()) == 2  # without samples, then with
    assert read_results([path]).bundles["1" * 64].samples == [SampleRow(input="aQ==")]


def test_several_files_read_as_one(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", 1, 2)
    write(tmp_path / "b.jsonl", 3)
    results = read_results([tmp_path / "a.jsonl", tmp_path / "b.jsonl"]).results
    assert [result.job.entry for result in results] == ["onnx-1", "onnx-2", "onnx-3"]


@given(cut=st.integers(min_value=1))
@settings(max_examples=25, deadline=None)
def test_a_crash_while_appending_loses_one_record_at_most(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("crash") / "results.jsonl"
    write(path, 1)
    whole = path.read_bytes()
    write(path, 2)
    both = path.read_bytes()
    path.write_bytes(both[: len(whole) + cut % (len(both) - len(whole))])
    assert read_results([path]).results == [result_of(1)]
    write(path, 3)
    assert read_results([path]).results == [result_of(1), result_of(3)]


def test_half_a_line_is_mentioned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "results.jsonl"
    write(path, 1)
    with path.open("ab") as file:
        file.write(b'{"record":"res')
    read_results([path])
    assert f"{path}: line 2 is incomplete" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("no json", "line 2 is not JSON"),
        ('{"record":"weather"}', "line 2 is neither a bundle nor a result"),
        ("[]", "line 2 is neither"),
        ("", "line 2 is not JSON"),
        ('{"record":"result","schema_version":"1.0"}', "line 2 is a broken result record: session"),
        ('{"record":"result","schema_version":"9.0"}', "line 2 has schema version 9.0"),
        ('{"record":"bundle","digest":"zz"}', "line 2 is a broken bundle record: digest"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "results.jsonl"
    write(path, 1)
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ResultsError, match=said) as caught:
        read_results([path])
    assert str(path) in str(caught.value)


def test_fields_of_a_later_minor_version_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    write(path, 1)
    record = json.loads(path.read_text())
    record["moon"] = record["device"]["moon"] = record["frames"][0]["moon"] = "full"
    path.write_text(json.dumps({**record, "schema_version": "1.7"}) + "\n")
    (result,) = read_results([path]).results
    assert result.model_copy(update={"schema_version": SCHEMA_VERSION}) == result_of(1)
    path.write_text(json.dumps(record) + "\n")  # of our own version they are a mistake
    with pytest.raises(ResultsError, match=r"line 1 is a broken result record"):
        read_results([path])
    path.write_text(json.dumps({**record, "schema_version": "2.0"}) + "\n")
    with pytest.raises(ResultsError, match=r"newer than this pocketgan reads \(1.x\); upgrade pocketgan"):
        read_results([path])


@pytest.mark.parametrize("content", [b"my notes", b"my notes\nmore", b"PK\x03\x04\x00\x00", b'{"other": 1}'])
def test_a_foreign_file_is_never_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "precious.txt"
    path.write_bytes(content)
    with pytest.raises(ResultsError, match=r"precious\.txt: line 1"):
        Journal(path)
    assert path.read_bytes() == content


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"none\.jsonl: cannot read results"):
        read_results([tmp_path / "none.jsonl"])
    with pytest.raises(StorageError, match="a folder is in the place of a file; choose another name"):
        Journal(tmp_path)


def test_a_full_disk_leaves_the_file_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.jsonl"
    write(path, 1)
    before = path.read_bytes()
    real_write = os.write

    def full(descriptor: int, data: memoryview) -> int:
        if len(data) <= 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(descriptor, bytes(data[: len(data) - 40]))

    with Journal(path) as journal:
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(StorageError, match="the results before it are intact"):
            journal.append_result(result_of(2))
        monkeypatch.undo()
        assert path.read_bytes() == before
        journal.append_result(result_of(3))
    assert read_results([path]).results == [result_of(1), result_of(3)]


def test_two_writers_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with Journal(path), pytest.raises(ResultsError, match="another pocketgan is appending"):
        Journal(path)
    write(path, 1)
