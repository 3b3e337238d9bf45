"""What a command ends with: nothing measured for an output that cannot be written, and 70 for a fault of our own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pocketgan import faults
from pocketgan.cli import main
from pocketgan.cli.options import parse_duration
from pocketgan.errors import ResultsError, StorageError
from pocketgan.files import file_to_write, folder_to_write


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["pocketgan", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


# A bundle, recipe or folder that is not there: had the command begun, it would say that.
WRITING_FILES = (
    ("compare", "gone.pgb", "gone.pgb", "--markdown"),
    ("compare", "gone.pgb", "gone.pgb", "--junit"),
    ("compare", "gone.pgb", "gone.pgb", "--out"),
    ("bench", "gone.pgb", "--out"),
    ("report", "gone.jsonl", "--out"),
    ("report", "gone.jsonl", "--markdown"),
    ("report", "gone.jsonl", "--junit"),
    ("store", "export", "--store", "gone.db", "--out"),
    ("search", "gone.safetensors", "--budget", "1M", "--out"),
    ("import-checkpoint", "gone.pth", "--family", "resnet9", "--out"),
    ("adapt", "gone.safetensors", "--data", "gone", "--text", "ink", "--steps", "1", "--out"),
    ("merge", "gone.safetensors", "gone.safetensors", "--out"),
    ("baseline", "unpruned", "--out"),
    ("bundle", "pack", "gone", "--out"),
    ("coreset", "gone", "--out"),
    ("text", "comic ink", "--encoder", "gone", "--out"),
)
WRITING_FOLDERS = (
    ("run", "gone.yaml", "--out"),
    ("apply", "gone.pgb", "gone", "--out"),
    ("pairs", "make", "gone", "--concept", "pencil", "--out"),
    ("adapt", "gone.safetensors", "--concepts", "gone.yaml", "--steps", "1", "--out"),
    ("bundle", "unpack", "gone.pgb", "--out"),
    ("export", "gone.safetensors", "--target", "onnx", "--out"),
)


@pytest.mark.parametrize("command", WRITING_FILES, ids=" ".join)
@pytest.mark.parametrize(("name", "said"), [("folder", "is a folder"), ("", "is empty"), ("file/x", "is a file")])
def test_a_file_that_cannot_be_written_is_found_first(
    command: tuple[str, ...],
    name: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert run(monkeypatch, *command, name) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"pocketgan: {command[-1]}")
    assert said in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("command", WRITING_FOLDERS, ids=" ".join)
@pytest.mark.parametrize(("name", "said"), [("file", "is a file"), ("", "is empty"), ("file/x", "is a file")])
def test_a_folder_that_cannot_be_written_is_found_first(
    command: tuple[str, ...],
    name: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert run(monkeypatch, *command, name) == 2
    told = capsys.readouterr().err
    assert told.startswith("pocketgan: --out")
    assert said in told
    assert told.count("\n") == 1


def test_paths_that_can_be_written_are_taken_as_they_are(tmp_path: Path) -> None:
    for name in ("new", "deep/er/new"):
        assert file_to_write(tmp_path / name, "--out") == tmp_path / name
        assert folder_to_write(tmp_path / name, "--out") == tmp_path / name
    (tmp_path / "old").touch()
    assert file_to_write(tmp_path / "old", "--out") == tmp_path / "old"
    assert file_to_write("/dev/null", "--markdown") == Path("/dev/null")
    assert folder_to_write(tmp_path, "--out") == tmp_path
    with pytest.raises(StorageError, match=r"--out: .* cannot be written: File name too long"):
        file_to_write(tmp_path / ("x" * 300), "--out")


def test_a_fault_of_our_own_ends_with_70_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("no\nsuch number")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("pocketgan.bench.devices.all_devices", broken)
    assert run(monkeypatch, "devices") == 70
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "ZeroDivisionError: no such number" in told.err
    (kept,) = (tmp_path / "pocketgan" / "faults").iterdir()
    assert str(kept) in told.err
    assert "in broken" in kept.read_text()

    assert run(monkeypatch, "devices", "--json") == 70
    told = capsys.readouterr()
    assert "ZeroDivisionError" in json.loads(told.out)["error"]
    assert told.err == ""


def test_a_traceback_that_cannot_be_kept_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(faults, "cache_folder", lambda: tmp_path / "file")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "file"))
    line = faults.record(ValueError("odd"))
    assert line.endswith("stands above")
    assert "ValueError: odd" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text, "--wait") == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1m", "10 minutes"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ResultsError, match="--wait is a time such as 90s, 10m or 1h"):
        parse_duration(text, "--wait")
