"""Digests of stages: what changes them, and that finished work of earlier versions of pocketgan stays valid."""

import json
from typing import Any

import pytest
from pydantic import Field

from pocketgan.pipeline import teacher
from pocketgan.pipeline.digest import stage_digests
from pocketgan.pipeline.processes import OneProcess
from pocketgan.pipeline.resume import run_stages
from pocketgan.pipeline.stage import Stage
from pocketgan.recipe.recipe import Recipe
from pocketgan.recipe.sections import TeacherStage

VALUES: dict[str, Any] = {
    "name": "x",
    "data": {},
    "teacher": {"steps": 1, "ngf": 24},
    "compress": {"budget": "1G"},
    "distill": {"steps": 1},
}
# Of these two stages and VALUES, as pocketgan wrote them when digests held every field of the recipe.
EARLIER = {
    "data": "bc5ba980296efdb71b79163f3b1a787f2876c4426c53d77f5edd1fc2eb28f9ca",
    "teacher": "1731a9d2fcb59e9318c66adc269ee1e7bb427053a8993b3acfec24d716ec94c4",
}


def writes(name):
    def run(context):
        (context.folder / name).write_text("first")
        return {}

    return run


STAGES = (
    Stage("data", 1, writes("data.txt")),
    Stage("teacher", 1, writes("copy.txt"), inputs=("data",), slices=("data", "bundle")),
)


class LaterTeacher(TeacherStage):
    """What a teacher's section may be in a later version."""

    patience: int = Field(3)


class LaterRecipe(Recipe):
    teacher: LaterTeacher | None = None


def recipe(kind=Recipe, **of_teacher):
    return kind.model_validate({**VALUES, "teacher": {**VALUES["teacher"], **of_teacher}})


@pytest.fixture
def finished(tmp_path):
    """A run that an earlier version finished: its records hold the earlier digests."""
    run_stages(recipe(), STAGES, tmp_path, None, OneProcess())
    for stage, digest in EARLIER.items():
        path = tmp_path / stage / "stage.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "digest": digest}))
    return tmp_path


def skipped(of_recipe, run):
    return [report.skipped for report in run_stages(of_recipe, STAGES, run, None, OneProcess())]


def test_what_an_earlier_version_finished_is_not_done_again(finished):
    assert skipped(recipe(), finished) == [True, True]


def test_nor_when_a_field_was_added_that_the_recipe_leaves_at_its_default(finished):
    assert skipped(recipe(LaterRecipe), finished) == [True, True]


def test_a_field_that_was_added_and_is_used_counts(finished):
    assert skipped(recipe(LaterRecipe, patience=4), finished) == [True, False]


def test_an_earlier_digest_of_another_recipe_is_not_accepted(finished):
    assert skipped(recipe(ngf=16), finished) == [True, False]


def test_what_was_begun_by_an_earlier_version_goes_on(tmp_path):
    (tmp_path / "data.partial").mkdir()
    (tmp_path / "data.partial" / "digest").write_text(EARLIER["data"])
    (tmp_path / "data.partial" / "half").write_text("done")
    run_stages(recipe(), STAGES[:1], tmp_path, None, OneProcess())
    assert (tmp_path / "data" / "half").read_text() == "done"


def test_a_default_written_out_changes_nothing(tmp_path):
    run_stages(recipe(), STAGES[:1], tmp_path, None, OneProcess())
    plain, written = (stage_digests(one, STAGES[1], tmp_path) for one in (recipe(), recipe(ndf=64)))
    assert plain == written
    assert plain != stage_digests(recipe(ndf=32), STAGES[1], tmp_path)


def test_of_finished_teachers_only_those_of_incres_spade_are_trained_again():
    assert teacher.STAGE.version_for(recipe()) == 1
    assert teacher.STAGE.version_for(recipe(generator="incres-spade")) == 2


# Of recipe(checkpoint_every=3), as pocketgan wrote it when digests held fields that change nothing in the result.
HELD_ALL = "c2c408635ece8e5c03139efd14ffa94b00458e470c586eaa425aa520c3d7444f"


def test_what_changes_nothing_in_the_result_changes_no_digest(tmp_path):
    run_stages(recipe(), STAGES[:1], tmp_path, None, OneProcess())
    plain = stage_digests(recipe(), STAGES[1], tmp_path)[0]
    for field in ("checkpoint_every", "sample_every"):
        assert stage_digests(recipe(**{field: 7}), STAGES[1], tmp_path)[0] == plain
    assert stage_digests(recipe(flip=False), STAGES[1], tmp_path)[0] != plain


def test_work_of_a_version_whose_digests_held_such_fields_stays_valid(finished):
    path = finished / "teacher" / "stage.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "digest": HELD_ALL}))
    assert skipped(recipe(checkpoint_every=3), finished) == [True, True]


def test_the_number_of_workers_and_places_of_files_are_in_no_digest(tmp_path):
    def digests(**sections):
        given = Recipe.model_validate({**VALUES, "export": {}, "bundle": {}, **sections})
        stages = [Stage(name, 1, writes("x"), slices=("data",)) for name in ("data", "export", "bundle")]
        return [stage_digests(given, stage, tmp_path)[0] for stage in stages]

    plain = digests()
    assert digests(data={"folder": "elsewhere"}) == plain
    assert digests(export={"workers": 3}) == plain
    assert digests(bundle={"sign_with": "key.pem"}) == plain
    assert digests(data={"direction": "BtoA"}) != plain
