"""`pocketgan quality` from the shell."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("cleanfid")

from pocketgan import cli, console
from pocketgan.files import sha256_file

pytestmark = pytest.mark.usefixtures("no_network")


@pytest.fixture
def run(monkeypatch, capsys):
    """Exit code, standard output and standard error of a command line, run in this process."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["pocketgan", "quality", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        console.use_json(False)
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return call


def test_json_says_what_was_measured_and_with_what(pictures, extractor):
    generated, reference = pictures("generated", 12, seed=1), pictures("reference", 10, seed=2)
    command = [sys.executable, "-m", "pocketgan", "quality", str(generated), str(reference)]
    done = subprocess.run(
        [*command, "--inception", str(extractor), "--device", "cpu", "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    payload = json.loads(done.stdout)
    assert set(payload["metrics"]) == {"fid", "kid"}
    assert payload["device"] == "cpu"
    assert payload["warnings"] == []
    for metric in payload["metrics"].values():
        assert metric["value"] != 0
        assert (metric["generated_images"], metric["reference_images"]) == (12, 10)
        assert metric["weights"] == {"origin": "file", "file": extractor.name, "sha256": sha256_file(extractor)}
        assert "bicubic" in metric["resize"]
        assert "299x299" in metric["resize"]
        assert metric["seconds"] > 0


def test_the_table_names_every_metric_and_the_bias_of_few_images(pictures, extractor, run):
    folder = pictures("generated", 4)
    code, out, err = run(folder, folder, "--inception", extractor)
    assert code == 0
    assert re.search(r"^fid +-?0\.\d+ +lower +4 +4 ", out, re.MULTILINE)
    assert re.search(r"^kid +-?0\.\d+ +lower +4 +4 ", out, re.MULTILINE)
    assert sha256_file(extractor)[:12] in out
    assert "FID of 4 images is biased upwards" in err


def test_miou_needs_no_reference(tmp_path, run):
    for name in ("pictures", "labels"):
        (tmp_path / name).mkdir()
    labels = np.random.default_rng(0).integers(0, 3, (8, 9))
    Image.fromarray((np.eye(3)[labels] * 255).astype(np.uint8)).save(tmp_path / "pictures" / "a.jpg", quality=100)
    Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "labels" / "a.png")
    torch.jit.script(torch.nn.Identity()).save(str(tmp_path / "net.pt"))
    arguments = (tmp_path / "pictures", "--segmentation", tmp_path / "net.pt", "--labels", tmp_path / "labels")
    code, out, _ = run(*arguments, "--json")
    assert code == 0
    payload = json.loads(out)
    assert payload["reference"] is None
    assert list(payload["metrics"]) == ["miou"]
    found = payload["metrics"]["miou"]
    assert found["classes"] == len(found["per_class"]) == 3
    assert "more" not in found
    assert found["value"] == pytest.approx(np.mean(found["per_class"]))
    assert (found["scale"], found["ignore_index"]) == ("imagenet", 255)
    code, out, _ = run(*arguments)
    assert code == 0
    assert re.search(r"^class +IoU$", out, re.MULTILINE)
    assert len(re.findall(r"^ *[012] +\d\.\d+$", out, re.MULTILINE)) == 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("G", "name a folder of reference images, or a network"),
        ("G --metric fid", "need a folder of reference images"),
        ("G G --metric fid,psnr", "no metric is called 'psnr'"),
        ("G G --metric miou", "--segmentation MODEL"),
        ("G --segmentation X", "--labels DIR"),
        ("G --segmentation X --labels G", "cannot read the weights"),
        ("G --segmentation X --labels G --segmentation-size 5", "takes height x width such as 256x512"),
        ("G --segmentation E --labels G --segmentation-scale grey", "takes imagenet, unit, signed, bytes"),
        ("absent G --inception E", "there is no folder absent"),
        ("G G --inception absent.pt", "cannot read the weights absent.pt"),
        ("G G --inception download", "could not be downloaded"),
        ("G G --metric lpips", "--lpips-weights FILE"),
        ("G G --metric lpips --lpips-net squeeze", "takes alex or vgg"),
        ("G G --device tpu", "takes auto, cpu or cuda"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, expected, pictures, extractor, run):
    names = {"G": pictures("generated", 3), "E": extractor, "X": extractor.with_name("x.pt")}
    code, out, err = run(*(names.get(word, word) for word in arguments.split()))
    assert code == 2
    assert out == ""
    lines = [line for line in err.splitlines() if not line.startswith("downloading")]
    assert len(lines) == 1
    assert expected in lines[0]
