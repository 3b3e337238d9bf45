"""The bundles that a run makes: their roles, and their names."""

from __future__ import annotations

from pocketgan.bundle.manifest import Role
from pocketgan.pipeline.networks import unpruned_name
from pocketgan.recipe.recipe import Recipe


def roles(recipe: Recipe) -> list[Role]:
    """Whose bundles the run makes; the student's first, where there is one.

    A teacher that is given is what its owner would ship otherwise; beside one that is trained here stands the unpruned
    generator. A base and the concepts that it was adapted to are one bundle, a pack, in the student's place. A supernet
    is what students are found in: nobody would ship its largest network, which is twice the unpruned one.
    """
    if recipe.adapt is not None:
        return ["student", "unpruned"]
    if recipe.distill is not None and recipe.compress is not None and recipe.compress.method == "evolve":
        return ["student", "unpruned"]
    given = recipe.teacher is not None and recipe.teacher.is_given
    teachers: list[Role] = ["teacher"] if given else ["teacher", "unpruned"]
    return ["student", *teachers] if recipe.distill is not None else teachers


def bundle_name(recipe: Recipe, role: Role) -> str:
    """The bundle's name, in the file's and in reports."""
    called = {"unpruned": unpruned_name(recipe), **({} if recipe.adapt is None else {"student": "concepts"})}
    return f"{recipe.name}-{called.get(role, role)}"


def trained_in(recipe: Recipe, role: Role) -> str | None:
    """The stage that trained the network of that role; None for the unpruned one."""
    return {"student": "distill" if recipe.adapt is None else "adapt", "teacher": "teacher"}.get(role)
