"""Recipes: what is read, and how a bad one is told to the user."""

import jsonschema
import pytest
import yaml

from pocketgan.errors import BudgetError, PocketganError, RecipeError
from pocketgan.pipeline.way import check_before
from pocketgan.recipe.reading import load_recipe, shipped
from pocketgan.recipe.recipe import Recipe
from pocketgan.recipe.units import parse_count

GOOD = """name: x
resolution: 64
data:
  source: builtin
teacher:
  steps: 3
  ngf: 24
"""


def write(tmp_path, text):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", ["demo", "facades", "pix2pix_cat", "cyclegan_cat", "gaugan_cat", "e2gan_base"])
def test_shipped_recipes_are_good_and_agree_with_the_schema(name):
    recipe = load_recipe(name, ["teacher.lambda_vgg=0"])  # VGG weights are a download
    check_before(recipe)
    learnt = ["adapt"] if name == "e2gan_base" else ["compress", "distill"]
    assert recipe.stages() == ["data", "teacher", *learnt, "export", "bundle", "bench", "report"]
    jsonschema.validate(yaml.safe_load(shipped()[name]), Recipe.model_json_schema())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("steps: 3", "stepz: 3"), r"r\.yaml:6: teacher\.stepz: unknown key; known here: steps, batch_size"),
        (("steps: 3", "steps: many"), r"r\.yaml:6: teacher\.steps: .*valid integer.*got 'many'"),
        (("steps: 3", "steps: -1"), r"r\.yaml:6: teacher\.steps: .*greater than or equal to 0"),
        (("steps: 3", "steps: 0"), r"r\.yaml:5: teacher: steps is missing, 1 at least; or name a teacher"),
        (("  steps: 3\n", ""), r"r\.yaml:5: teacher: steps is missing, 1 at least; or name a teacher"),
        (("builtin", "hub"), r"r\.yaml:4: data\.source: .*'builtin' or 'folder'"),
        (("builtin", "folder\n  fit: squash"), r"r\.yaml:5: data\.fit: .*'stretch' or 'crop', got 'squash'"),
        (("builtin", "builtin\n  fit: crop"), r"r\.yaml:3: data: .*fit: crop needs source: folder"),
        (("name: x", "nom: x"), r"r\.yaml:1: nom: unknown key; known here: name"),
        (("resolution: 64", "resolution: 63"), r"r\.yaml:2: resolution: .*multiple of 4"),
        (("data:\n  source: builtin\n", ""), "stage teacher needs the stage data"),
    ],
)
def test_a_bad_recipe_names_line_field_and_what_was_expected(tmp_path, change, message):
    assert change[0] in GOOD
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, GOOD.replace(*change)))


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "not valid YAML"), ("- 1", "expected a mapping"), ("", "expected a mapping")]
)
def test_text_that_is_no_recipe_is_refused(tmp_path, text, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, text))


@pytest.mark.parametrize("name", ["pix2pix_ugc", "pix2pixhd_ugc", "gaugan_ugc"])
def test_shipped_recipes_of_ugc_are_good_and_agree_with_the_schema(name):
    weights = [f"{stage}.{loss}=0" for stage in ("teacher", "distill") for loss in ("lambda_style", "lambda_content")]
    recipe = load_recipe(name, ["teacher.lambda_vgg=0", "compress.fitness=l1", *weights])
    check_before(recipe)
    assert (recipe.teacher.program, recipe.compress.method, recipe.distill.program) == ("ugc", "evolve", "ugc")
    assert recipe.data.labels == 0.25
    jsonschema.validate(yaml.safe_load(shipped()[name]), Recipe.model_json_schema())


@pytest.mark.parametrize(
    "name", ["pix2pix_cat", "cyclegan_cat", "gaugan_cat", "pix2pix_ugc", "pix2pixhd_ugc", "gaugan_ugc"]
)
def test_the_small_variant_that_a_recipe_documents_is_good(name):
    lines = shipped()[name].splitlines()
    words = " ".join(line.lstrip("# ") for line in lines[: lines.index(f"name: {name}")]).split()
    settings = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    assert len(settings) >= 8
    recipe = load_recipe(name, settings)
    check_before(recipe)
    assert (recipe.teacher.steps, recipe.distill.steps) == (30, 30)


def test_a_missing_recipe_names_the_shipped_ones():
    with pytest.raises(RecipeError, match="shipped: cyclegan_cat, demo, e2gan_base, facades"):
        load_recipe("dmeo")


def test_settings_override_fields(tmp_path):
    recipe = load_recipe(write(tmp_path, GOOD), ["teacher.steps=50", "compress.budget=2.6G", "distill.steps=1"])
    assert recipe.teacher.steps == 50
    assert recipe.compress.budget == 2_600_000_000


@pytest.mark.parametrize("setting", ["teacher.steps", "=3", "name.x=3", "teacher.steps=[", "teacher.wrong=1"])
def test_a_bad_setting_is_refused(tmp_path, setting):
    with pytest.raises(RecipeError):
        load_recipe(write(tmp_path, GOOD), [setting])


@pytest.mark.parametrize(
    ("text", "value"), [("2.6G", 2_600_000_000), ("110M", 110_000_000), ("17", 17), (5, 5), (" 1.5 K ", 1500)]
)
def test_counts_are_read(text, value):
    assert parse_count(text) == value


@pytest.mark.parametrize("text", ["G", "-1G", "1.2.3", "2.6 Gigs", "1e9"])
def test_other_texts_are_no_counts(text):
    with pytest.raises(ValueError, match=r"2\.6G"):
        parse_count(text)


@pytest.mark.parametrize(
    ("budget", "message"), [("900G", "not below the teacher"), ("1M", "cannot be reached.*smallest cost is")]
)
def test_an_impossible_budget_is_found_before_the_training(tmp_path, budget, message):
    recipe = load_recipe(write(tmp_path, GOOD), [f"compress.budget={budget}"])
    with pytest.raises(BudgetError, match=message):
        check_before(recipe)


def test_an_unknown_effect_and_generator_are_found_before_the_training(tmp_path):
    for setting in ("data.effect=hologram", "teacher.generator=resnet8"):
        recipe = load_recipe(write(tmp_path, GOOD), [setting, "compress.budget=20M"])
        with pytest.raises(PocketganError, match="there are"):
            check_before(recipe)


def test_a_student_may_be_searched_for_a_device(tmp_path):
    changes = ["compress.by=latency", "compress.budget=12ms", "compress.target=onnx"]
    stage = load_recipe(write(tmp_path, GOOD), changes).compress
    assert (stage.budget, stage.by, stage.target, stage.widths) == (12.0, "latency", "onnx", None)
    assert load_recipe(write(tmp_path, GOOD), ["compress.budget=2.6G", "compress.widths=8"]).compress.widths == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["compress.budget=1G", "compress.by=latency", "compress.target=onnx"],
            "budget is a time such as 12ms where by is latency",
        ),
        (["compress.budget=12ms"], "budget is a number such as 2.6G where by is"),
        (["compress.by=latency", "compress.budget=12ms"], "target is missing"),
        (["compress.budget=1G", "compress.widths=auto"], "target is missing"),
        (["compress.budget=1G", "compress.widths=7"], r"compress\.widths"),
    ],
)
def test_parts_of_a_search_that_do_not_go_together_are_refused(tmp_path, changes, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, GOOD), changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "  steps: 4\n", r"r\.yaml:8: teacher\.steps: this key is in line 6 already"),
        (GOOD + "name: y\n", r"r\.yaml:8: name: this key is in line 1 already"),
        (GOOD + "export: {targets: [onnx], targets: [coreml]}\n", r"r\.yaml:8: export\.targets: .*in line 8"),
    ],
)
def test_a_key_that_stands_there_twice_is_told_with_both_lines(tmp_path, text, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, text))


def test_a_setting_with_a_key_twice_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"--set distill=.*steps is there twice"):
        load_recipe(write(tmp_path, GOOD), ["distill={steps: 1, steps: 2}"])


@pytest.mark.parametrize("betas", ["[0.5, 1.0]", "[-0.1, 0.9]"])
def test_momenta_that_adam_cannot_have_are_refused(tmp_path, betas):
    with pytest.raises(RecipeError, match=r"r\.yaml:5: teacher\.adam_betas\.[01]: .*(less|greater) than"):
        load_recipe(write(tmp_path, GOOD), [f"teacher.adam_betas={betas}"])
