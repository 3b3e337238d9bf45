"""Recipes of CAT's three tasks and of own generators, at tiny size; mistakes told before hours are spent."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from pocketgan.errors import ModelError, PocketganError, RecipeError
from pocketgan.pipeline.processes import OneProcess
from pocketgan.pipeline.resume import run_stages
from pocketgan.pipeline.stage import read_stage
from pocketgan.pipeline.way import STAGES, check_before, check_recipe
from pocketgan.recipe.reading import load_recipe
from pocketgan.training.generators.files import load_generator

COMMON = """
name: tiny
compress: {budget: BUDGET, by: macs, least_width: 2}
distill: {steps: 2, batch_size: 2, similarity: mse}
"""
CYCLEGAN = """
resolution: 32
data: {kind: unpaired}
teacher: {program: cyclegan, generator: resnet6, norm: instance-affine, ngf: 4, ndf: 4, steps: 2}
""" + COMMON.replace("BUDGET", "1M")
GAUGAN = """
resolution: [64, 128]
data: {kind: label, classes: 4, instance: true}
teacher: {program: gaugan, generator: gaugan, norm: batch, ngf: 2, ndf: 4, steps: 2, batch_size: 2, lambda_vgg: 0}
""" + COMMON.replace("BUDGET", "60M")
PIX2PIXHD = """
resolution: 64
data: {kind: label, classes: 4, instance: true}
teacher:
  {program: pix2pixhd, generator: pix2pixhd, norm: instance-affine, ngf: 4, ndf: 4, steps: 2, batch_size: 2,
   lambda_vgg: 0}
""" + COMMON.replace("BUDGET", "10M")
OWN = """
name: own
resolution: 32
data: {source: builtin, train_crops: 4, val_crops: 2}
teacher: {generator: "mine:generator", ndf: 4, steps: 2}
"""
PHOTO_PAIRS = "{source: builtin, train_crops: 4, val_crops: 2}"
LINES = """
resolution: 64
data: {source: builtin, effect: ink, train_crops: 4, val_crops: 2}
teacher: {generator: resnet6, norm: instance-affine, ngf: 4, steps: 2, lambda_gan: 0, crop: 32}
""" + COMMON.replace("BUDGET", "4M")
MINE = """
from torch import nn

def generator():
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.ConvTranspose2d(4, 3, 2, 2), nn.Tanh())

def number():
    return 3

def narrow():
    return nn.Conv2d(3, 1, 1)
"""


def write(folder, text, *settings):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "r.yaml").write_text(text)
    return load_recipe(str(folder / "r.yaml"), settings)


def images(folder, count, pixels):
    folder.mkdir(parents=True)
    for index in range(count):
        Image.fromarray(pixels(np.random.default_rng(index))).save(folder / f"{index}.png")


def colours(random):
    return random.integers(0, 255, (40, 40, 3), np.uint8)


@pytest.fixture
def train(tmp_path):
    """Run a recipe up to the student on a folder of images; returns the run directory."""

    def run(text, data=None):
        recipe = write(tmp_path, text, *([f"data.folder={data}"] if data else []))
        run_stages(recipe, STAGES, tmp_path / "run", None, OneProcess(), check_before)
        return tmp_path / "run"

    return run


def test_a_cyclegan_is_compressed_and_its_student_starts_from_its_discriminator(tmp_path, train):
    for name, count in (("trainA", 3), ("trainB", 4), ("testA", 2), ("testB", 2)):
        images(tmp_path / "data" / name, count, colours)
    run = train(CYCLEGAN, tmp_path / "data")
    assert load_generator(run / "distill" / "generator.safetensors").trained
    assert {path.stem for path in (run / "teacher").glob("*.safetensors")} == {
        "generator", "generator_back", "discriminator",
    }  # fmt: skip
    assert set(read_stage(run, "teacher")["facts"]) == {"cycle_l1"}
    assert set(read_stage(run, "distill")["facts"]) == {"to_teacher_l1"}
    assert {path.stem for path in (run / "distill" / "rows" / "0").iterdir()} == {"input", "teacher", "output"}
    with safe_open(run / "teacher" / "discriminator.safetensors", "pt") as file:
        assert file.get_tensor("body.0.weight").shape[1] == 3  # unconditional


@pytest.mark.parametrize("weight", [0, 1])
def test_pictures_are_learnt_from_parts_of_them_and_without_a_discriminator(train, weight):
    text = LINES.replace("steps: 2, batch_size", f"lambda_gan: {weight}, crop: 48, steps: 2, batch_size")
    run = train(text)
    assert load_generator(run / "distill" / "generator.safetensors").trained
    assert not (run / "teacher" / "discriminator.safetensors").exists()
    assert (run / "distill" / "discriminator.safetensors").exists() == bool(weight)
    sizes = [Image.open(path).size for path in sorted((run / "distill" / "rows").glob("*/output.png"))]
    assert sizes == [(384, 384), (336, 224), (64, 64), (64, 64)]  # two whole photos, two crops


def label_maps(root):
    for split in ("train", "val"):
        images(root / split / "photo", 3, colours)
        images(root / split / "label", 3, lambda random: random.integers(0, 5, (40, 40), np.uint8))
        images(root / split / "instance", 3, lambda random: random.integers(0, 9, (40, 40), np.uint16))
    return root


def test_a_pix2pixhd_is_compressed_and_its_student_starts_from_its_discriminator(tmp_path, train):
    run = train(PIX2PIXHD, label_maps(tmp_path / "data"))
    student = load_generator(run / "distill" / "generator.safetensors")
    assert (student.trained, student.spec.family, student.spec.input_channels) == (True, "resnet", 6)
    assert set(read_stage(run, "distill")["facts"]) == {"l1", "teacher_l1"}
    judges = [load_file(run / stage / "discriminator.safetensors") for stage in ("teacher", "distill")]
    assert judges[0].keys() == judges[1].keys()
    assert {name.split(".")[1] for name in judges[0]} == {"0", "1", "2"}  # three scales
    # Two steps of Adam at 2e-4 took the student's away from where the teacher's ended.
    assert max((judges[0][name] - judges[1][name]).abs().max().item() for name in judges[0]) < 1e-3


def test_a_pix2pixhd_learns_from_pairs_too(train):
    text = PIX2PIXHD.split("compress:")[0].replace("{kind: label, classes: 4, instance: true}", PHOTO_PAIRS)
    assert read_stage(train(text), "teacher")["facts"]["l1"] > 0


def test_a_gaugan_is_compressed_at_a_size_that_is_not_square(tmp_path, train):
    run = train(GAUGAN, label_maps(tmp_path / "data"))
    student = load_generator(run / "distill" / "generator.safetensors")
    assert (student.spec.input_channels, student.spec.height, student.spec.width) == (6, 64, 128)
    facts = read_stage(run, "distill")["facts"]
    assert set(facts) == {"l1", "teacher_l1"}
    with Image.open(run / "distill" / "rows" / "0" / "input.png") as view:
        assert (view.mode, view.size) == ("RGB", (128, 64))


def test_an_own_generator_trains_and_its_file_calls_nothing(tmp_path, train, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    run = train(OWN)
    path = run / "teacher" / "generator.safetensors"
    with pytest.raises(ModelError, match=r"weights of mine:generator.*calls no function that a file names"):
        load_generator(path)
    from pocketgan.export.source import from_function, load_source

    exported = load_source(from_function("mine:generator", (3, 32, 32), path)).module
    with safe_open(path, "pt") as file:
        assert torch.equal(exported[0].weight, file.get_tensor("0.weight"))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("mine:number", "returns int; a torch.nn.Module was expected"),
        ("mine:missing", "gives no module: AttributeError"),
        ("nowhere:f", "there is no module nowhere in the working folder"),
        ("mine:narrow", "makes 1x1x32x32 of an input of 1x3x32x32; one picture, 1x3x32x32, was expected"),
    ],
)
def test_a_function_that_gives_no_generator_is_told_before_training(tmp_path, monkeypatch, function, message):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    recipe = write(tmp_path, OWN, f"teacher.generator={function!r}")
    with pytest.raises(ModelError, match=message):
        check_before(recipe)


def test_a_check_imports_nothing_that_the_recipe_names_and_a_run_says_what_it_calls(tmp_path, monkeypatch, capsys):
    package = tmp_path / "boxed"
    package.mkdir()
    trace = f"open({str(tmp_path / 'imported')!r}, 'a').close()\n"
    (package / "__init__.py").write_text(trace)
    (package / "mine.py").write_text(trace + MINE)
    monkeypatch.chdir(tmp_path)
    recipe = write(tmp_path, OWN, "teacher.generator='boxed.mine:generator'")
    check_recipe(recipe)
    assert not (tmp_path / "imported").exists()
    check_before(recipe)
    assert (tmp_path / "imported").exists()
    said = f"calling boxed.mine:generator, a function of {package / 'mine.py'}"
    assert said in capsys.readouterr().err
    with pytest.raises(ModelError, match=r"boxed\.other:generator: there is no module boxed\.other"):
        check_recipe(write(tmp_path, OWN, "teacher.generator='boxed.other:generator'"))


PIX2PIX = """
name: own_configuration
resolution: 256
data: {kind: paired}
teacher: {generator: unet256, dropout: true, steps: 1, batch_size: 1}
"""


def test_pix2pixs_own_configuration_is_taken(tmp_path):
    check_recipe(write(tmp_path, PIX2PIX))
    with pytest.raises(ModelError, match=r"teacher\.dropout is of unet128 and unet256; incres9 has none"):
        check_recipe(write(tmp_path, PIX2PIX, "teacher.generator=incres9"))


def test_a_unet_trains_with_dropout_and_its_file_knows_nothing_of_it(train):
    text = LINES.replace("resolution: 64", "resolution: 128").replace("crop: 32", "dropout: true")
    text = text.replace("resnet6, norm: instance-affine, ngf: 4", "unet128, ngf: 2").replace("4M", "2M")
    text = text.replace("distill: {", "distill: {dropout: true, ").replace("least_width: 2", "least_width: 1")
    run = train(text)
    for stage in ("teacher", "distill"):
        module = load_generator(run / stage / "generator.safetensors").module
        assert not [part for part in module.modules() if isinstance(part, torch.nn.Dropout)]


def test_an_own_generator_is_costed_and_never_pruned(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    command = [sys.executable, "-m", "pocketgan", "cost", "mine:generator", "--input", "3x64x64", "--json"]
    found = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    # conv 3->4 k3 on 32x32 outputs; transposed 4->3 k2 on 32x32 inputs, 64x64 outputs
    assert found["params"] == 3 * 4 * 9 + 4 + 4 * 3 * 4 + 3
    assert found["macs"] == 32 * 32 * (3 * 4 * 9 + 4 * 3 * 4)
    assert found["macs_by_output"] == 32 * 32 * 3 * 4 * 9 + 64 * 64 * 4 * 3 * 4
    with pytest.raises(RecipeError, match="compress cannot prune mine:generator"):
        write(tmp_path, OWN, "compress.budget=1M")


def test_measured_cost_equals_the_count_from_shapes():
    from pocketgan.training.cost import cost
    from pocketgan.training.generators import build, spec_by_name
    from pocketgan.training.generators.own import measured_cost

    for name in ("resnet6", "incres9", "unet128"):
        spec = spec_by_name(name, ngf=8, height=128, width=128)
        assert measured_cost(build(spec), (3, 128, 128)) == cost(spec)


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (CYCLEGAN, ["data.kind=paired"], "teacher.program cyclegan learns from data.kind unpaired, not paired"),
        (GAUGAN, ["data={kind: label}"], "classes, the number of classes, go together"),
        (CYCLEGAN, ["data.classes=3"], "classes, the number of classes, go together"),
        (CYCLEGAN, ["data.source=builtin"], "kind: unpaired needs source: folder"),
        (GAUGAN, ["resolution=[64]"], r"resolution: expected pixels, a multiple of 4 from 32 to 4096, or \[height"),
        (GAUGAN, ["resolution=[64,130]"], "resolution: expected pixels"),
        (GAUGAN, ["distill.similarity=cosine"], "'gka', 'cka', 'ka' or 'mse'"),
        (LINES, ["teacher.crop=96"], "teacher.crop 96 is larger than the resolution 64"),
        (LINES, ["distill.crop=42"], "distill.crop: .*multiple of 4"),
        (CYCLEGAN, ["distill.lambda_gan=0"], "distill.lambda_gan is of pix2pix; cyclegan needs its discriminator"),
    ],
)
def test_recipes_whose_parts_do_not_fit_are_refused(tmp_path, text, settings, message):
    with pytest.raises(RecipeError, match=message):
        write(tmp_path, text, *settings)


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (CYCLEGAN, ["distill.similarity=ka", "distill.batch_size=1"], "at least 2 images"),
        (CYCLEGAN, ["teacher.norm=instance"], "cannot be pruned"),
        (GAUGAN, ["resolution=[64,96]"], "multiples of 64"),
        (GAUGAN, ["resolution=128", "distill.crop=96"], "multiples of 64"),
        (GAUGAN, ["resolution=64", "teacher.batch_size=1"], "smallest map of gaugan has one pixel"),
        (GAUGAN, ["teacher.lambda_vgg=1", "teacher.vgg_weights=nowhere.pth"], "there is no file nowhere.pth"),
        (PIX2PIXHD, ["teacher.lambda_vgg=1", "teacher.vgg_weights=nowhere.pth"], "there is no file nowhere.pth"),
        (PIX2PIXHD, ["resolution=68"], "multiples of 16"),
    ],
)
def test_what_would_fail_after_hours_is_told_before(tmp_path, text, settings, message):
    recipe = write(tmp_path, text, *settings)
    with pytest.raises(PocketganError, match=message):
        check_before(recipe)


@pytest.mark.parametrize(
    ("text", "teacher", "distill"),
    [
        (CYCLEGAN, {"gan_mode": "lsgan", "learning_rate": 2e-4}, {"lambda_distill": 1.0, "lambda_recon": 5.0}),
        (
            GAUGAN,
            {"learning_rate": 1e-4, "discriminator_learning_rate": 4e-4, "adam_betas": (0.0, 0.9), "gan_mode": "hinge"},
            {"lambda_distill": 0.5, "adam_betas": (0.0, 0.9)},
        ),
        (
            PIX2PIXHD,
            {"gan_mode": "lsgan", "learning_rate": 2e-4, "adam_betas": (0.5, 0.999), "scales": 3, "lambda_feature": 10},
            {"gan_mode": "lsgan", "learning_rate": 2e-4, "lambda_distill": 0.5},
        ),
        (OWN + "compress: {budget: 1M}\ndistill: {steps: 1}", {}, {}),
    ],
)
def test_every_program_has_its_papers_defaults_and_the_user_has_the_last_word(tmp_path, text, teacher, distill):
    if not teacher:
        text = text.replace('"mine:generator"', "incres9")
        teacher, distill = {"gan_mode": "hinge", "lambda_l1": 100}, {"lambda_distill": 0.5, "lambda_recon": 100}
    recipe = write(tmp_path, text)
    assert {key: getattr(recipe.teacher, key) for key in teacher} == teacher
    assert {key: getattr(recipe.distill, key) for key in distill} == distill
    changed = write(tmp_path, text, "distill.lambda_distill=7", "teacher.gan_mode=vanilla")
    assert (changed.distill.lambda_distill, changed.teacher.gan_mode) == (7, "vanilla")
