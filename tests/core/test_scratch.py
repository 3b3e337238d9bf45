"""Temporary folders go, whatever ends their process."""

from __future__ import annotations

import subprocess
import sys

from pocketgan import scratch


def test_a_folder_is_gone_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr(scratch.tempfile, "tempdir", str(tmp_path))
    try:
        with scratch.scratch_folder() as folder:
            (folder / "file").write_text("x")
            assert folder.parent == tmp_path
            raise ValueError
    except ValueError:
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_next_start_sweeps_what_a_killed_process_left_and_nothing_that_lives(tmp_path, monkeypatch):
    code = "import os; from pocketgan.scratch import scratch_folder\nwith scratch_folder(): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], env={"TMPDIR": str(tmp_path)}, check=False)
    (left,) = tmp_path.iterdir()
    monkeypatch.setattr(scratch.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(scratch, "_swept", set())
    with scratch.scratch_folder() as folder:
        scratch.sweep(tmp_path)
        assert list(tmp_path.iterdir()) == [folder]
        assert not left.exists()
