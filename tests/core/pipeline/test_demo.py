"""What the demo shows is learnt from a picture's lines, not from its colours: trained in full by `make bench`."""

import os
import subprocess
import sys

import pytest
import yaml

from pocketgan.pipeline.stage import read_stage
from pocketgan.recipe.reading import shipped

PIXELS_ALONE = """
from torch import nn

def network():
    return nn.Sequential(
        nn.Conv2d(3, 64, 1), nn.ReLU(), nn.Conv2d(64, 64, 1), nn.ReLU(), nn.Conv2d(64, 3, 1), nn.Tanh()
    )
"""


def trained_l1(folder, **teacher):
    """L1 on validation images of the demo's teacher, some of its settings changed."""
    recipe = yaml.safe_load(shipped()["demo"])
    short = {key: recipe[key] for key in ("name", "seed", "resolution", "data")}
    folder.mkdir()
    (folder / "pixels.py").write_text(PIXELS_ALONE)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(short | {"teacher": recipe["teacher"] | teacher}))
    command = [sys.executable, "-m", "pocketgan", "run", "recipe.yaml", "--out", "run"]
    subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, check=True, capture_output=True)
    return read_stage(folder / "run", "teacher")["facts"]


@pytest.mark.heavy
def test_a_network_that_sees_single_pixels_alone_is_far_from_the_teacher(tmp_path):
    teacher = trained_l1(tmp_path / "teacher")
    alone = trained_l1(tmp_path / "alone", generator="pixels:network")
    print(
        f"\ndemo, L1 to the target: input {teacher['identity_l1']:.3f}, teacher {teacher['l1']:.3f}, "
        f"three 1x1 layers {alone['l1']:.3f}"
    )
    assert teacher["l1"] <= 0.16 * teacher["identity_l1"]
    assert alone["l1"] >= 1.5 * teacher["l1"]
