"""`kill -9` in stage 1, in the evolution and in stage 2 of UGC: what is kept is gone on from, to the same files."""

import json
import subprocess
import sys
from pathlib import Path

import killed_run
import numpy as np
import pytest
from PIL import Image

from pocketgan.pipeline.processes import OneProcess
from pocketgan.pipeline.resume import run_stages
from pocketgan.pipeline.way import STAGES
from pocketgan.pipeline.workers import WorkersWanted
from pocketgan.recipe.reading import load_recipe

RECIPE = """
name: tiny
resolution: 32
data: {kind: paired, labels: 0.5, folder: IMAGES}
teacher:
  {program: ugc, generator: resnet6, norm: batch, ngf: 4, ndf: 4, steps: 5, batch_size: 2, checkpoint_every: 2,
   lambda_style: 0, lambda_content: 0, supernet_widths: [1, 2, 4], supernet_depths: [0, 1], supernet_blocks: 1}
compress:
  {method: evolve, budget: 400K, by: macs, fitness: l1, evaluations: 15, population: 5, teacher_times: 4}
distill:
  {program: ugc, steps: 5, batch_size: 2, checkpoint_every: 2, teachers_every: 2, lambda_style: 0, lambda_content: 0}
"""


@pytest.fixture
def recipe(tmp_path):
    for split, count in (("train", 16), ("val", 1)):
        for side, seed in (("A", 0), ("B", 100)):
            (tmp_path / "images" / split / side).mkdir(parents=True)
            for index in range(count):
                pixels = np.random.default_rng(seed + index).integers(0, 255, (32, 32, 3), np.uint8)
                Image.fromarray(pixels).save(tmp_path / "images" / split / side / f"{index}.png")
    (tmp_path / "r.yaml").write_text(RECIPE.replace("IMAGES", str(tmp_path / "images")))
    return tmp_path / "r.yaml"


def finished(recipe, folder):
    """What the stages leave, by name."""
    run_stages(load_recipe(str(recipe)), STAGES, folder, "distill", OneProcess(), workers=WorkersWanted(0))
    files = [path for stage in ("teacher", "compress", "distill") for path in (folder / stage).glob("*.safetensors")]
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in [*files, folder / "compress/search.json"]
    }


@pytest.mark.slow
def test_killed_in_every_stage_it_ends_in_the_same_files_and_judges_nothing_twice(recipe, tmp_path, capsys):
    digests = tmp_path / "digests.txt"
    arguments = [Path(killed_run.__file__), recipe, tmp_path / "killed", digests]
    killed = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True)
    assert killed.returncode == 0, killed.stderr
    assert "teacher: going on from step 2 of 5" in killed.stderr
    whole, resumed = finished(recipe, tmp_path / "whole"), finished(recipe, tmp_path / "killed")
    assert {"teacher/discriminator.safetensors", "compress/deep.safetensors", "distill/generator.safetensors"} < set(
        whole
    )
    assert "distill: going on from step 2 of 5" in capsys.readouterr().err
    assert [name for name in whole if whole[name] != resumed.get(name)] == []
    judged = digests.read_text().split()
    searches = json.loads(whole["compress/search.json"])["searches"].values()
    assert len(judged) == len(set(judged)) == sum(search["evaluations"] for search in searches)
