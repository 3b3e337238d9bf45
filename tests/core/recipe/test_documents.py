"""YAML of the user's: where its fields stand."""

import pytest

from pocketgan.errors import RecipeError
from pocketgan.recipe.documents import parse_document


def test_fields_and_items_have_lines():
    document = parse_document("a:\n  - x\n  - b: 1\nc: 2\n", "f.yaml")
    assert document.line(("a",)) == 1
    assert document.line(("a", 1, "b")) == 3
    assert document.line(("a", 1, "missing")) == 3  # the innermost that is there
    assert document.line(("d",)) is None
    assert str(document.problem(("c",), "no")) == "f.yaml:4: c: no"


def test_a_list_as_a_whole_stands_for_a_field():
    document = parse_document("- x\n- y\n", "f.yaml", list_as="all")
    assert document.content == {"all": ["x", "y"]}
    assert document.line(("all", 1)) == 2


def test_aliases_that_repeat_or_hold_themselves_end():
    lines = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))
    assert parse_document(lines, "f.yaml").line(("a29",)) == 30
    assert parse_document("a: &a [*a]\n", "f.yaml").line(("a", 0)) == 1


def test_a_key_that_is_there_twice_is_told():
    with pytest.raises(RecipeError, match=r"^f.yaml:3: a.b: this key is in line 2 already; keep one of them$"):
        parse_document("a:\n  b: 1\n  b: 2\n", "f.yaml")
