"""Core AI assets: run by Core AI's own runtime, and quiet."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("coreai_torch", reason="needs the extra coreai")

from pocketgan.errors import MissingExtraError  # noqa: E402
from pocketgan.export.entry import export  # noqa: E402
from pocketgan.export.parity import run_file  # noqa: E402
from pocketgan.export.targets import find_target  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def asset(tmp_path_factory):
    """A whole export in a process of its own: the entry's folder, and what the process said."""
    folder = tmp_path_factory.mktemp("coreai") / "bundle"
    code = (
        "import sys, torch; from pathlib import Path; from pocketgan.export.entry import export\n"
        "torch.manual_seed(0)\n"
        "network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.InstanceNorm2d(4), torch.nn.Tanh())\n"
        "entry = export(network, 'coreai', 'fp32', folder=Path(sys.argv[1]), example=(torch.zeros(1, 3, 16, 16),),"
        " bound=True).entry\n"
        "print(entry.model_dump_json())"
    )
    done = subprocess.run([sys.executable, "-W", "error::UserWarning:pocketgan", "-c", code, str(folder)],
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "models/coreai-fp32/model.aimodel", done


def test_its_runtime_computes_the_source_and_says_nothing(asset):
    _, done = asset
    assert "ODIE" not in done.stdout + done.stderr
    (line,) = done.stdout.splitlines()
    entry = json.loads(line)
    assert entry["parity"]["runtime"] == "coreai"
    assert entry["parity"]["psnr_db"] > 100
    assert (entry["runtime"], entry["minimum_os"]) == ("coreai", "iOS 27")


def test_the_stored_hash_is_that_of_the_program_and_the_date_is_none(asset):
    path, _ = asset
    assert (path / "main.hash").read_bytes() == hashlib.sha256((path / "main.mlirb").read_bytes()).digest()
    assert json.loads((path / "metadata.json").read_text())["creationDate"] == "19700101T000000Z"


def test_a_changed_weight_is_seen(asset, tmp_path):
    """The file itself is run, not the program that it was made from."""
    path, _ = asset
    image = np.linspace(-1, 1, 3 * 16 * 16, dtype=np.float32).reshape(1, 3, 16, 16)
    right = run_file("coreai", path, [image])
    copy = tmp_path / path.name
    copy.mkdir()
    for file in path.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    torch.manual_seed(0)
    weight = torch.nn.Conv2d(3, 4, 3).weight.detach().numpy()  # that of the exported network
    data = (path / "main.mlirb").read_bytes()
    assert data.count(weight.tobytes()) == 1
    (copy / "main.mlirb").write_bytes(data.replace(weight.tobytes(), (-weight).tobytes()))
    assert np.abs(run_file("coreai", copy, [image]) - right).max() > 0.1


def test_float16_halves_the_file_and_keeps_float32_outside(network, example, tmp_path):
    whole = export(network, "coreai", "fp32", folder=tmp_path / "a", example=example).entry
    half = export(network, "coreai", "fp16", folder=tmp_path / "b", example=example).entry
    assert half.bytes < whole.bytes
    assert half.parity is not None
    assert half.parity.passed
    output = run_file("coreai", tmp_path / "b" / half.components[0].entry_point, [example[0].numpy()])
    assert output.dtype == np.float32


def test_without_its_packages_one_line_names_the_extra(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "coreai_torch" else real(name))
    with pytest.raises(MissingExtraError, match=r"coreai_torch, .*: pip install 'pocketgan\[coreai\]'"):
        find_target("coreai")[0].check_installed()
