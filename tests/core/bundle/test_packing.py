"""Packing, reading and unpacking sound bundles."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pocketgan.bundle.check import check
from pocketgan.bundle.manifest_file import read_manifest
from pocketgan.bundle.packing import pack_folder, record_file, unpack, write_manifest
from pocketgan.bundle.reader import open_bundle
from pocketgan.errors import BundleError, StorageError


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_pack_then_unpack_gives_the_same_files(folder: Path, pgb: Path, tmp_path: Path) -> None:
    unpack(pgb, tmp_path / "again")
    assert _tree(tmp_path / "again") == _tree(folder)


def test_the_same_files_give_the_same_bytes(folder: Path, pgb: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    for path in copy.rglob("*"):
        os.utime(path, (1e9, 1e9))
        path.chmod(0o700)
    pack_folder(copy, tmp_path / "copy.pgb")
    assert (tmp_path / "copy.pgb").read_bytes() == pgb.read_bytes()


def test_the_zip_holds_the_manifest_first_then_sorted_names_stored(pgb: Path) -> None:
    with zipfile.ZipFile(pgb) as archive:
        names = archive.namelist()
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    assert names[0] == "manifest.json"
    assert names[1:] == sorted(names[1:])


def test_the_digest_is_that_of_the_manifest(folder: Path, tmp_path: Path) -> None:
    digest = pack_folder(folder, tmp_path / "x.pgb")
    assert digest == hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    for path in (folder, tmp_path / "x.pgb"):
        with open_bundle(path) as bundle:
            assert bundle.digest == digest


def test_a_folder_reads_like_its_zip(folder: Path, pgb: Path, files: dict[str, bytes]) -> None:
    with open_bundle(folder) as unpacked, open_bundle(pgb) as packed:
        assert unpacked.manifest == packed.manifest
        for name, data in files.items():
            assert unpacked.read(name) == packed.read(name) == data


def test_golden_gives_tensors_by_name(pgb: Path) -> None:
    with open_bundle(pgb) as bundle:
        inputs, outputs = bundle.golden("rgb")
    np.testing.assert_array_equal(inputs["x"], np.linspace(-1, 1, 12, dtype="f4").reshape(1, 3, 2, 2))
    np.testing.assert_array_equal(outputs["y"], np.arange(12, dtype="f2").reshape(1, 3, 2, 2))


def test_an_unknown_golden_set_file_or_entry_is_named(pgb: Path, tmp_path: Path) -> None:
    with open_bundle(pgb) as bundle:
        with pytest.raises(BundleError, match="no golden set 'cmyk'; it has: rgb"):
            bundle.golden("cmyk")
        with pytest.raises(BundleError, match="lists no file 'models/none'"):
            bundle.read("models/none")
        with pytest.raises(BundleError, match="no entry tflite-int8; it has: onnx-fp32, coreml-fp16"):
            bundle.extract(tmp_path / "out", "tflite-int8")
    assert not (tmp_path / "out").exists()


def test_one_entry_unpacks_with_golden_licences_and_identity(folder: Path, pgb: Path, tmp_path: Path) -> None:
    unpack(pgb, tmp_path / "one", "onnx-fp32")
    whole = _tree(folder)
    assert _tree(tmp_path / "one") == {name: data for name, data in whole.items() if "coreml" not in name}


def test_a_folder_of_one_entry_is_not_a_whole_bundle(pgb: Path, tmp_path: Path) -> None:
    unpack(pgb, tmp_path / "one", "onnx-fp32")
    with pytest.raises(BundleError, match=r"misses models/coreml-fp16/.*not a whole bundle"):
        open_bundle(tmp_path / "one")


def test_unpack_never_replaces_a_folder_that_holds_something(pgb: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    with pytest.raises(BundleError, match="not an empty folder"):
        unpack(pgb, tmp_path / "home")
    assert _tree(tmp_path / "home") == {"letter.txt": b"dear"}


def test_unpack_takes_an_empty_folder(folder: Path, pgb: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    unpack(pgb, tmp_path / "empty")
    assert _tree(tmp_path / "empty") == _tree(folder)


def test_archives_above_4_gib_have_wide_headers_that_are_read(
    folder: Path, tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 20)
    pack_folder(folder, tmp_path / "wide.pgb")
    assert b"PK\x06\x06" in (tmp_path / "wide.pgb").read_bytes()
    assert check(tmp_path / "wide.pgb") == []
    with open_bundle(tmp_path / "wide.pgb") as bundle:
        assert {name: bundle.read(name) for name in files} == files


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "golden/rgb/input.bin").unlink(), "misses golden/rgb/input.bin"),
        (lambda root: (root / "golden/rgb/input.bin").write_bytes(b"short"), "has 5 bytes, the manifest says 48"),
        (lambda root: (root / "LICENSES/Apache-2.0.txt").write_bytes(b"A licence"), "SHA-256 is not the one"),
        (lambda root: (root / "models/more.onnx").write_bytes(b""), "models/more.onnx, which the manifest does not"),
        (lambda root: (root / "manifest.json").unlink(), "no manifest.json"),
        (lambda root: (root / "models/link").symlink_to("/etc/passwd"), "models/link is a link"),
        (lambda root: (root / "models/loop").symlink_to(root), "models/loop is a link"),
        (lambda root: os.mkfifo(root / "models/pipe"), "models/pipe is a device"),
        (lambda root: (root / ".DS_Store").write_bytes(b""), "DS_Store, which the manifest does not list"),
    ],
)
def test_a_folder_that_is_not_what_its_manifest_says_is_not_packed(
    folder: Path, tmp_path: Path, change, message
) -> None:
    change(folder)
    (tmp_path / "x.pgb").write_bytes(b"earlier")
    with pytest.raises(BundleError, match=message):
        pack_folder(folder, tmp_path / "x.pgb")
    assert (tmp_path / "x.pgb").read_bytes() == b"earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["unpacked", "x.pgb"]


def test_a_listed_file_that_is_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    licence = folder / "LICENSES/Apache-2.0.txt"
    shutil.move(licence, tmp_path / "elsewhere")
    licence.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="is a link"):
        pack_folder(folder, tmp_path / "x.pgb")


def test_a_bundle_is_not_packed_into_its_own_folder(folder: Path) -> None:
    with pytest.raises(BundleError, match="lies in the folder that is to be packed"):
        pack_folder(folder, folder / "x.pgb")


def test_record_file_refuses_what_a_bundle_cannot_hold(folder: Path) -> None:
    for name in ("models/none", "../unpacked/manifest.json", "models/a\\b", "/etc/passwd", "manifest.json"):
        with pytest.raises(BundleError):
            record_file(folder, name)


def test_check_finds_every_problem(folder: Path) -> None:
    (folder / "LICENSES/Apache-2.0.txt").write_bytes(b"A licence")
    (folder / "golden/rgb/input.bin").unlink()
    (folder / "models/more.onnx").write_bytes(b"")
    (folder / "models/onnx-fp32/model.onnx").write_bytes(b"cut")
    problems = check(folder)
    for name in ("Apache-2.0.txt", "input.bin", "more.onnx", "model.onnx has 3 bytes"):
        assert any(name in problem for problem in problems), name


def test_check_finds_nothing_in_a_sound_bundle(folder: Path, pgb: Path) -> None:
    assert check(folder) == check(pgb) == []


def test_what_cannot_be_written_is_a_storage_error(pgb: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        pack_folder(folder, tmp_path / "file" / "x.pgb")
    with pytest.raises(StorageError):
        unpack(pgb, tmp_path / "file" / "out")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if os.name != "posix" or os.geteuid() != 0 or mount is None:
        pytest.skip("mounting a small disk needs root and mount")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _large_bundle(folder: Path) -> None:
    """Add a licence of 200 kB."""
    manifest = read_manifest((folder / "manifest.json").read_bytes())
    (folder / "LICENSES/large.txt").write_bytes(bytes(200_000))
    licenses = [*manifest.licenses, record_file(folder, "LICENSES/large.txt")]
    write_manifest(folder, manifest.model_copy(update={"licenses": licenses}))


def test_a_full_disk_leaves_the_earlier_file_and_nothing_else(folder: Path, small_disk: Path) -> None:
    _large_bundle(folder)
    (small_disk / "x.pgb").write_bytes(b"earlier")
    with pytest.raises(StorageError, match="disk is full"):
        pack_folder(folder, small_disk / "x.pgb")
    assert _tree(small_disk) == {"x.pgb": b"earlier"}


def test_a_full_disk_leaves_no_part_of_an_unpacked_bundle(folder: Path, small_disk: Path, tmp_path: Path) -> None:
    _large_bundle(folder)
    pack_folder(folder, tmp_path / "large.pgb")
    with pytest.raises(StorageError, match="disk is full"):
        unpack(tmp_path / "large.pgb", small_disk / "out")
    assert list(small_disk.iterdir()) == []
