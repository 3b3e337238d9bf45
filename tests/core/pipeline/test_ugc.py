"""UGC's supernet in a recipe: trained on few labels and other inputs, written as a plain teacher."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from pocketgan.errors import ModelError, RecipeError
from pocketgan.pipeline import data, teacher
from pocketgan.pipeline.digest import settings_of
from pocketgan.pipeline.networks import supernet_space, teacher_spec
from pocketgan.pipeline.processes import OneProcess
from pocketgan.pipeline.resume import run_stages
from pocketgan.pipeline.stage import read_stage
from pocketgan.pipeline.way import check_recipe
from pocketgan.recipe.reading import load_recipe
from pocketgan.training.generators import build
from pocketgan.training.generators.files import load_generator, save_generator
from pocketgan.training.supernet import Supernet

RECIPE = """
name: tiny
resolution: 32
data: {kind: paired, labels: 0.5}
teacher:
  {program: ugc, generator: resnet6, norm: batch, ngf: 4, ndf: 4, steps: 2, batch_size: 2,
   supernet_widths: [1, 2, 4], supernet_depths: [0, 1], supernet_blocks: 1}
"""


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (32, 32, 3), np.uint8)).save(path)


@pytest.fixture
def recipe(tmp_path):
    def load(*settings, text=RECIPE):
        (tmp_path / "r.yaml").write_text(text)
        return load_recipe(str(tmp_path / "r.yaml"), [f"data.folder={tmp_path / 'images'}", *settings])

    return load


@pytest.fixture
def trained(recipe, tmp_path):
    """The run of a recipe up to its teacher."""

    def run(*settings):
        found = recipe(*settings)
        run_stages(found, (data.STAGE, teacher.STAGE), tmp_path / "run", None, OneProcess(), lambda recipe, done: None)
        return found, tmp_path / "run"

    return run


def vgg16(path):
    tensors, place, channels = {}, 0, 3
    for count, width in zip((2, 2, 3, 3), (64, 128, 256, 512), strict=True):
        for _ in range(count):
            tensors[f"features.{place}.weight"] = torch.randn(width, channels, 3, 3) * (2 / 9 / channels) ** 0.5
            tensors[f"features.{place}.bias"] = torch.zeros(width)
            place, channels = place + 2, width
        place += 1
    save_file(tensors, path)
    return path


def test_a_supernet_is_trained_on_half_of_the_labels_and_written_as_a_plain_teacher(tmp_path, trained):
    for split, count in (("train", 6), ("val", 2)):
        for index in range(count):
            picture(tmp_path / "images" / split / "A" / f"{index}.png", index)
            picture(tmp_path / "images" / split / "B" / f"{index}.png", 10 + index)
    found, run = trained(f"teacher.vgg16_weights={vgg16(tmp_path / 'vgg16.safetensors')}")
    assert read_stage(run, "data")["facts"]["labels"] == {"share": 0.5, "labelled": 3, "of": 6}
    network = load_generator(run / "teacher" / "generator.safetensors")
    assert network.trained
    assert network.spec == teacher_spec(found)
    assert network.spec.widths["up2.extra1"] == 4
    assert (run / "teacher" / "discriminator.safetensors").is_file()
    space = supernet_space(found)
    student, spec = Supernet(space, network.module).extract(space.smallest)
    assert spec.widths["stem"] == 1
    assert student(torch.zeros(1, 3, 32, 32)).shape == (1, 3, 32, 32)


def test_defaults_are_those_of_the_program_that_trains_the_largest(recipe):
    settings = ("data={kind: label, classes: 4}", "teacher.generator=pix2pixhd", "teacher.norm=null")
    found = {name: recipe(*settings, f"teacher.supervised={name}").teacher for name in ("gaugan", "pix2pixhd")}
    told = {name: (one.learning_rate, one.gan_mode, one.scales) for name, one in found.items()}
    assert told == {"gaugan": (1e-4, "hinge", 2), "pix2pixhd": (2e-4, "lsgan", 3)}


def test_the_file_of_vgg16_is_known_by_its_content_alone(tmp_path, recipe):
    file = vgg16(tmp_path / "a.safetensors")
    plain, named = recipe(), recipe(f"teacher.vgg16_weights={file}")
    assert settings_of(plain, teacher.STAGE) == settings_of(named, teacher.STAGE)
    assert teacher.outside_training(plain, tmp_path) is None
    assert len(teacher.outside_training(named, tmp_path)) == 1
    for weights in (["lambda_style"], ["lambda_style", "lambda_content"]):
        off = recipe(f"teacher.vgg16_weights={file}", *(f"teacher.{name}=0" for name in weights))
        assert bool(teacher.outside_training(off, tmp_path)) == (len(weights) == 1)


def test_a_trained_supernet_is_taken_as_it_is_and_another_is_refused(tmp_path, recipe):
    found, file = recipe(), tmp_path / "supernet.safetensors"
    save_generator(file, build(teacher_spec(found)), teacher_spec(found), {"trained": "yes"})
    given = RECIPE.replace("steps: 2, ", f"weights: {file}, ").replace("generator: resnet6, norm: batch, ngf: 4, ", "")
    assert supernet_space(recipe(text=given)) == supernet_space(found)
    with pytest.raises(ModelError, match="is of another supernet, not the largest of"):
        supernet_space(recipe("teacher.supernet_expansion=2", text=given))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["teacher.supervised=gaugan"], "teacher.supervised gaugan learns from data.kind label, not paired"),
        (["teacher.generator=mine:net"], "a supernet is made of a generator whose layers pocketgan knows, not of mine"),
        (
            ["teacher.supervised=cyclegan"],
            r"supervised: input should be 'pix2pix', 'pix2pixhd' or 'gaugan', got 'cyclegan'",
        ),
    ],
)
def test_what_makes_no_supernet_is_told_when_the_recipe_is_read(recipe, settings, message):
    with pytest.raises(RecipeError, match=message):
        recipe(*settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["teacher.generator=incres9"], "there is no supernet of incres"),
        (["teacher.ngf=6"], r"6 channels of stem cannot be divided into shares of 1, 2, 4 out of 4: choose an ngf"),
        (["teacher.supernet_depths=[0,2]"], "2 extra blocks cannot be searched where 1 are inserted"),
    ],
)
def test_what_makes_no_supernet_is_told_before_hours_are_spent(recipe, settings, message):
    with pytest.raises(ModelError, match=message):
        check_recipe(recipe("teacher.lambda_style=0", "teacher.lambda_content=0", *settings))
