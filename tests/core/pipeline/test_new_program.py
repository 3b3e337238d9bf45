"""A new program takes a file of its own, fields in the recipe's section, and a row in the table; nothing else."""

import sys

import pytest

from pocketgan.errors import RecipeError
from pocketgan.pipeline.processes import OneProcess
from pocketgan.pipeline.resume import run_stages
from pocketgan.pipeline.stage import read_stage
from pocketgan.pipeline.way import STAGES, check_before
from pocketgan.recipe.programs import STUDENT_PROGRAMS, TEACHER_PROGRAMS, TeacherProgram
from pocketgan.recipe.reading import load_recipe

# Squared distances alone: the file of a program that nobody has heard of.
SQUARES = '''
from dataclasses import replace

from torch import nn

from pocketgan.training.programs.method import Task, TeacherMethod, optimiser_of


class Squares:
    """Trains `generator` on the squared distance to the target."""

    def __init__(self, generator, optimiser):
        self.generator, self.optimiser = generator, optimiser

    def networks(self):
        return {"generator": self.generator}

    def memories(self):
        return {}

    def optimisers(self):
        return {"generator": replace(self.optimiser, networks=("generator",))}

    def losses(self, batch):
        yield "generator", {"squares": (self.generator(batch["input"]) - batch["target"]).square().mean()}

    def output(self, images):
        return self.generator(images)


class _Method(TeacherMethod):
    def discriminator(self, setting, seed):
        return nn.Identity()

    def teacher(self, setting, generator):
        return Task(Squares(generator, optimiser_of(setting.stage)), generator, {})

    def student(self, setting, stage, student, judge):
        raise NotImplementedError


METHOD = _Method()
'''
RECIPE = """
name: toy
resolution: 32
data: {source: builtin, train_crops: 4, val_crops: 2}
teacher: {program: squares, generator: resnet6, ngf: 4, steps: 3}
"""


def test_a_program_of_its_own_file_and_one_row_trains(tmp_path, monkeypatch):
    (tmp_path / "squares_of_nobody.py").write_text(SQUARES)
    (tmp_path / "toy.yaml").write_text(RECIPE)
    monkeypatch.syspath_prepend(str(tmp_path))
    row = TeacherProgram("squares_of_nobody", data=("paired",), defaults={"teacher": {"learning_rate": 0.01}})
    monkeypatch.setitem(TEACHER_PROGRAMS, "squares", row)
    recipe = load_recipe(str(tmp_path / "toy.yaml"))
    assert recipe.teacher.learning_rate == 0.01
    run_stages(recipe, STAGES, tmp_path / "run", None, OneProcess(), check_before)
    assert read_stage(tmp_path / "run", "teacher")["facts"]["l1"] > 0
    with pytest.raises(RecipeError, match=r"teacher.program squares learns from data.kind paired, not unpaired"):
        load_recipe(str(tmp_path / "toy.yaml"), ["data={kind: unpaired}"])
    del sys.modules["squares_of_nobody"]


def test_a_program_without_a_row_is_refused(tmp_path):
    (tmp_path / "toy.yaml").write_text(RECIPE)
    with pytest.raises(RecipeError, match=r"toy.yaml:5: teacher.program: expected pix2pix or .*, got 'squares'"):
        load_recipe(str(tmp_path / "toy.yaml"))


def test_every_row_names_a_file_with_a_method():
    from importlib import import_module

    from pocketgan.training.programs.method import StudentMethod, TeacherMethod

    assert all(isinstance(import_module(row.module).METHOD, TeacherMethod) for row in TEACHER_PROGRAMS.values())
    assert all(isinstance(import_module(row.module).METHOD, StudentMethod) for row in STUDENT_PROGRAMS.values())
