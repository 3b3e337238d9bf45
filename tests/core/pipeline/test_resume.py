"""Stages: skipped, repeated, resumed, replaced, and never half there."""

import json

import pytest

from pocketgan.errors import PocketganError
from pocketgan.pipeline.processes import OneProcess
from pocketgan.pipeline.resume import run_stages
from pocketgan.pipeline.stage import Stage
from pocketgan.recipe.recipe import Recipe

RECIPE = Recipe.model_validate(
    {"name": "x", "data": {}, "teacher": {"steps": 1, "ngf": 24}, "compress": {"budget": "1G"}, "distill": {"steps": 1}}
)


class Counter:
    """Two stages that count how often they run; the second copies what the first wrote."""

    def __init__(self):
        self.ran = []
        self.text = "first"

    def data(self, context):
        self.ran.append("data")
        (context.folder / "data.txt").write_text(self.text)
        return {"length": len(self.text)}

    def teacher(self, context):
        self.ran.append("teacher")
        (context.folder / "copy.txt").write_text((context.run / "data" / "data.txt").read_text())
        return {}

    def stages(self, version=1, outside=None):
        return [
            Stage("data", version, self.data, outside=lambda recipe, run: outside),
            Stage("teacher", 1, self.teacher, inputs=("data",)),
        ]


def go(counter, tmp_path, recipe=RECIPE, **more):
    counter.ran.clear()
    return run_stages(recipe, counter.stages(**more), tmp_path, None, OneProcess())


def test_a_second_run_skips_everything(tmp_path):
    counter = Counter()
    assert [r.skipped for r in go(counter, tmp_path)] == [False, False]
    assert [r.skipped for r in go(counter, tmp_path)] == [True, True]
    assert counter.ran == []


def test_a_changed_stage_runs_again_and_so_does_what_reads_it_if_its_files_differ(tmp_path):
    counter = Counter()
    go(counter, tmp_path)
    go(counter, tmp_path, version=2)
    assert counter.ran == ["data"]  # the same bytes came out
    counter.text = "second"
    go(counter, tmp_path, version=3)
    assert counter.ran == ["data", "teacher"]
    assert (tmp_path / "teacher" / "copy.txt").read_text() == "second"


def test_content_from_outside_and_recipe_fields_count(tmp_path):
    counter = Counter()
    go(counter, tmp_path, outside="a")
    go(counter, tmp_path, outside="b")
    assert counter.ran == ["data"]
    longer = RECIPE.model_copy(update={"teacher": RECIPE.teacher.model_copy(update={"steps": 2})})
    go(counter, tmp_path, recipe=longer, outside="b")
    assert counter.ran == ["teacher"]


def test_a_file_that_the_user_replaced_is_noticed_by_the_next_stage(tmp_path):
    counter = Counter()
    go(counter, tmp_path)
    (tmp_path / "data" / "data.txt").write_text("mine")
    go(counter, tmp_path)
    assert counter.ran == ["teacher"]
    assert (tmp_path / "teacher" / "copy.txt").read_text() == "mine"


def test_a_stage_that_fails_leaves_the_earlier_result(tmp_path):
    counter = Counter()
    go(counter, tmp_path)
    broken = Stage("data", 2, lambda context: (_ for _ in ()).throw(PocketganError("no")))
    with pytest.raises(PocketganError, match="no"):
        run_stages(RECIPE, [broken], tmp_path, None, OneProcess())
    assert (tmp_path / "data" / "data.txt").read_text() == "first"
    go(counter, tmp_path)
    assert counter.ran == []


def test_a_killed_stage_finds_its_folder_again_unless_its_inputs_changed(tmp_path):
    seen = []

    def work(context):
        seen.append((context.folder / "progress").exists())
        (context.folder / "progress").write_text("half")
        raise KeyboardInterrupt

    for version in (1, 1, 2):
        with pytest.raises(KeyboardInterrupt):
            run_stages(RECIPE, [Stage("data", version, work)], tmp_path, None, OneProcess())
    assert seen == [False, True, False]
    assert not (tmp_path / "data").exists()


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path):
    counter = Counter()
    go(counter, tmp_path)
    (tmp_path / "data").rename(tmp_path / ".data.old")
    go(counter, tmp_path)
    assert counter.ran == []


def test_the_record_tells_digest_versions_seed_and_time(tmp_path):
    go(Counter(), tmp_path)
    record = json.loads((tmp_path / "data" / "stage.json").read_text())
    assert record["facts"] == {"length": 5}
    assert record["seed"] == 0
    assert "torch" in record["versions"]
    assert list(record["outputs"]) == ["data.txt"]
    assert record["seconds"] >= 0


def test_an_unknown_stage_to_stop_after_is_refused(tmp_path):
    with pytest.raises(PocketganError, match="no stage bench; it has data, teacher"):
        run_stages(RECIPE, Counter().stages(), tmp_path, "bench", OneProcess())


def test_the_check_comes_before_the_first_work_and_only_then(tmp_path):
    calls = []
    counter = Counter()
    for _ in range(2):
        run_stages(
            RECIPE, counter.stages(), tmp_path, None, OneProcess(), lambda recipe, done: calls.append((recipe, done))
        )
    assert calls == [(RECIPE, [])]
