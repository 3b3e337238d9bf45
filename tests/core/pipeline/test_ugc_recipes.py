"""The recipes of UGC at tiny size, from images to verified bundles; its ablations, and its parts beside CAT's."""

import re
import shutil
from importlib import resources

import numpy as np
import pytest
from PIL import Image

from pocketgan import api
from pocketgan.errors import RecipeError
from pocketgan.pipeline.labelled import unlabelled_inputs
from pocketgan.pipeline.networks import supernet_space
from pocketgan.pipeline.processes import OneProcess
from pocketgan.pipeline.resume import run_stages
from pocketgan.pipeline.stage import read_stage
from pocketgan.pipeline.way import STAGES, check_recipe, run_recipe
from pocketgan.pipeline.workers import WorkersWanted
from pocketgan.recipe.reading import load_recipe
from pocketgan.training.generators.files import load_generator


def batches(size):
    return [
        f"{stage}.{of}={size}" for stage in ("teacher", "distill") for of in ("batch_size", "unlabelled_batch_size")
    ]


# As the recipes' own small variants, and smaller: a few steps, a few candidates.
FEW = [
    "teacher.steps=2", "distill.steps=2", "teacher.evaluate_every=2", "distill.evaluate_every=2", "teacher.ndf=4",
    "distill.teachers_every=2", "teacher.supernet_blocks=1", "teacher.supernet_depths=[0,1]",
    "compress.evaluations=6", "compress.population=3", "compress.finalists=0", "compress.fitness=l1",
    "compress.calibration=2", "export.targets=[onnx]", "export.workers=1",
    *(f"{stage}.{weight}=0" for stage in ("teacher", "distill") for weight in ("lambda_style", "lambda_content")),
]  # fmt: skip
PAIRS = ["resolution=32", "teacher.generator=resnet6", "teacher.ngf=8", "compress.budget=800K"]
MAPS = [
    "resolution=64", "teacher.ngf=8", "data.classes=4", "data.unknown=channel", "data.instance=false",
    "teacher.lambda_vgg=0",
]  # fmt: skip
RECIPES = {
    "pix2pix_ugc": [*PAIRS, *batches(1)],
    "pix2pixhd_ugc": [*MAPS, *batches(1), "compress.budget=7M"],
    # Its smallest map has one pixel, of which batch norm needs several.
    "gaugan_ugc": [*MAPS, *batches(2), "compress.budget=70M"],
}


def picture(path, seed, channels=3, high=255):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (64, 64, 3) if channels == 3 else (64, 64)
    Image.fromarray(np.random.default_rng(seed).integers(0, high, shape, np.uint8)).save(path)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """By kind of data, a folder of 16 training and 2 validation images."""
    folder = tmp_path_factory.mktemp("images")
    for split, count in (("train", 16), ("val", 2)):
        for index in range(count):
            for side, seed in (("A", 0), ("B", 100)):
                picture(folder / "pairs" / split / side / f"{index}.png", seed + index)
            picture(folder / "maps" / split / "photo" / f"{index}.png", index)
            picture(folder / "maps" / split / "label" / f"{index}.png", index, channels=1, high=4)
    return folder


@pytest.fixture(scope="module")
def searched(images, tmp_path_factory):
    """A run of pix2pix_ugc up to its student and the two teachers."""
    folder = tmp_path_factory.mktemp("searched")
    run_stages(load("pix2pix_ugc", images), STAGES, folder, "compress", OneProcess(), workers=WorkersWanted(0))
    return folder


def load(name, images, *settings):
    kind = "pairs" if name == "pix2pix_ugc" else "maps"
    return load_recipe(name, [f"data.folder={images / kind}", *FEW, *RECIPES[name], *settings])


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_ends_in_bundles_that_hold_what_they_say(name, images, searched, tmp_path):
    recipe = load(name, images)
    if name == "pix2pix_ugc":
        shutil.copytree(searched, tmp_path, dirs_exist_ok=True)
    summary = run_recipe(recipe, tmp_path, until="bundle", workers=WorkersWanted(0))
    unpruned = {"pix2pix_ugc": "resnet9", "pix2pixhd_ugc": "pix2pixhd", "gaugan_ugc": "gaugan"}[name]
    assert {path.name for path in summary.bundles} == {f"{name}-student.pgb", f"{name}-{unpruned}.pgb"}
    assert all(api.verify(bundle).ok for bundle in summary.bundles)
    labels = read_stage(tmp_path, "data")["facts"]["labels"]
    assert labels == {"share": 0.25, "labelled": 4, "of": 16}
    student = load_generator(tmp_path / "distill" / "generator.safetensors")
    assert student.trained
    assert student.spec == load_generator(tmp_path / "compress" / "student.safetensors").spec
    assert api.cost(student.spec).macs_by_output <= recipe.compress.budget
    # Its teachers were trained on; what choosing looked at is not what either stage trained on.
    kept = read_stage(tmp_path, "compress")["facts"]["kept_images"]
    assert kept == read_stage(tmp_path, "teacher")["facts"]["evaluations"]["kept_images"]


@pytest.mark.parametrize("name", RECIPES)
def test_the_small_variant_that_a_recipe_documents_is_one(name):
    text = resources.files("pocketgan.recipes").joinpath(f"{name}.yaml").read_text()
    settings = re.findall(r"--set (\S+)", text)
    assert {"teacher.steps=30", "distill.steps=30", "teacher.lambda_style=0", "compress.fitness=l1"} < {*settings}
    small, whole = load_recipe(name, settings), load_recipe(name)
    check_recipe(small)
    assert api.cost(supernet_space(small).whole).macs < api.cost(supernet_space(whole).whole).macs / 50


def run_to_the_student(recipe, folder):
    run_stages(recipe, STAGES, folder, "distill", OneProcess(), workers=WorkersWanted(0))
    return load_generator(folder / "distill" / "generator.safetensors")


def test_the_papers_tables_have_their_arms(images, tmp_path):
    """No unlabelled images in stage 1, none in stage 2, no search, no filter: one recipe with all four off runs."""
    off = ["compress.evaluations=0", "distill.filter_probability=1", "distill.teachers_every=1"]
    for stage in ("teacher", "distill"):
        off += [f"{stage}.semi_supervised=false", f"{stage}.unlabelled_batch_size=null"]
    recipe = load("pix2pix_ugc", images, *off)
    assert run_to_the_student(recipe, tmp_path).trained
    assert unlabelled_inputs(recipe, tmp_path, recipe.teacher) is None
    assert unlabelled_inputs(recipe, tmp_path, recipe.distill) is None
    on = load("pix2pix_ugc", images)
    others = unlabelled_inputs(on, tmp_path, on.distill)
    assert others is not None
    assert len(others) == 12


CAT_THEN_UGC = """
name: both
resolution: 32
data: {kind: paired, labels: 0.25}
teacher: {program: pix2pix, generator: incres9, norm: batch, ngf: 8, ndf: 4, steps: 2, batch_size: 2}
compress: {budget: 1M, by: macs, least_width: 2}
distill: {program: ugc, steps: 2, batch_size: 2, teachers_every: 2, lambda_style: 0, lambda_content: 0}
"""


def test_cats_teacher_and_search_go_before_ugcs_second_stage(images, tmp_path):
    (tmp_path / "r.yaml").write_text(CAT_THEN_UGC)
    recipe = load_recipe(str(tmp_path / "r.yaml"), [f"data.folder={images / 'pairs'}"])
    student = run_to_the_student(recipe, tmp_path / "run")
    assert student.spec.family == "incres"
    assert student.trained


def test_ugcs_supernet_and_search_go_before_cats_distillation(images, searched, tmp_path):
    settings = ["distill.program=distill", "distill.similarity=gka", "distill.unlabelled_batch_size=null"]
    for stage in ("data", "teacher", "compress"):
        shutil.copytree(searched / stage, tmp_path / stage)
    student = run_to_the_student(load("pix2pix_ugc", images, *settings), tmp_path)
    assert read_stage(tmp_path, "teacher") == read_stage(searched, "teacher")
    assert student.spec == load_generator(searched / "compress" / "student.safetensors").spec
    assert student.trained


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["distill.lambda_gan=0"], "whose scores choose what it learns: lambda_gan is not 0"),
        (["distill.target=teacher"], "distill.target is of program distill"),
        (["distill.semi_supervised=false"], "learns from pairs alone where semi_supervised is false"),
    ],
)
def test_what_stage_2_cannot_do_is_told_when_the_recipe_is_read(images, settings, message):
    with pytest.raises(RecipeError, match=message):
        load("pix2pix_ugc", images, *settings)


def test_a_cyclegan_has_no_targets_for_teachers(images, tmp_path):
    text = CAT_THEN_UGC.replace("pix2pix", "cyclegan").replace("kind: paired, labels: 0.25", "kind: unpaired")
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(RecipeError, match=r"on targets: cyclegan has none; take distill\.program: distill"):
        load_recipe(str(tmp_path / "r.yaml"))
