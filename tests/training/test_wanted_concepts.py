"""Lists of concepts: what they may say, and what is wrong with them, with file, line and field."""

from pathlib import Path

import pytest
from concept_folders import make_concepts

from pocketgan.errors import RecipeError
from pocketgan.training.adapter import Ranks
from pocketgan.training.wanted_concepts import Defaults, wanted_concepts

INK = "{name: ink, text: ink, data: mine}"


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """The concepts of a list, in a folder with the pairs of two concepts that `pairs make` made, and of another."""
    monkeypatch.chdir(tmp_path)
    make_concepts(tmp_path / "made", {"negative": "the negative", "dark": "make it dark"})
    (tmp_path / "mine").mkdir()

    def read(text, **defaults):
        (tmp_path / "concepts.yaml").write_text(text)
        return wanted_concepts(Path("concepts.yaml"), Defaults(**{"steps": 10, **defaults}))

    return read


def test_a_list_of_name_text_and_data(listed):
    (one,) = listed("- name: ink\n  text: '  a comic\n    in ink '\n  data: mine\n")
    assert (one.name, one.text, one.data, one.options.steps) == ("ink", "a comic in ink", Path("mine"), 10)


def test_all_concepts_of_a_folder_have_their_own_texts_and_pairs(listed):
    found = listed("pairs: made\n")
    assert {one.name: one.text for one in found} == {"negative": "the negative", "dark": "make it dark"}
    assert all((one.data / "train" / "A").is_dir() for one in found)


def test_named_concepts_of_a_folder_come_in_the_lists_order_beside_others(listed):
    found = listed("pairs: made\nconcepts: [negative, {name: ink, text: ink, data: mine}, {name: dark, text: night}]")
    assert [(one.name, one.text) for one in found] == [("negative", "the negative"), ("ink", "ink"), ("dark", "night")]


def test_what_a_concept_says_goes_before_what_holds_for_all(listed):
    ink = "{name: ink, text: ink, data: mine, steps: 7, ranks: [1, 2, 1, 4, 16], batch_size: 2, direction: BtoA}"
    own, other = listed(f"pairs: made\nconcepts: [{ink}, dark]", batch_size=8, ndf=16, ranks=Ranks(1, 1, 1, 1, 1))
    assert (own.options.steps, own.options.ranks, own.options.batch_size) == (7, Ranks(1, 2, 1, 4, 16), 2)
    assert (other.options.steps, other.options.ranks, other.options.batch_size) == (10, Ranks(1, 1, 1, 1, 1), 8)
    assert (own.direction, other.direction) == ("BtoA", "AtoB")
    assert own.options.ndf == other.options.ndf == 16


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"- {INK}\n- name: INK\n  text: y\n  data: mine\n", "2: concepts.1.name: INK and ink (line 1) differ by "),
        (f"- {INK}\n- {{name: ink, text: y, data: mine}}\n", "2: concepts.1.name: ink is there twice (line 1)"),
        (
            f"- {INK}\n- name: b\n  text: Ink\n  data: mine\n",
            "3: concepts.1.text: b and ink (line 1) have one text, 'Ink'",
        ),
        ("- name: a\n  text: ' '\n  data: mine\n", "2: concepts.0.text: the text is empty; say what the effect is"),
        ("- name: a\n  data: mine\n", "1: concepts.0.text: what is the effect of a?"),
        ("- name: a\n  text: x\n", "1: concepts.0.data: name a folder of pairs"),
        ("- name: a\n  text: x\n  data: gone\n", "3: concepts.0.data: there is no data folder gone"),
        ("- name: a/b\n  text: x\n  data: mine\n", "1: concepts.0.name: a name is of letters, digits"),
        ("- name: a\n  txt: x\n", "2: concepts.0.txt: unknown key; known here: name, text, data, direction, steps, "),
        ("- text: x\n  data: mine\n", "1: concepts.0.name: this field is required"),
        ("- name: a\n  steps: '9'\n", "2: concepts.0.steps: input should be a valid integer, got '9'"),
        ("- name: a\n  ranks: 1,4,1,8\n", "2: concepts.0.ranks: ranks are five whole numbers, such as [1, 4, 1, 8, 8]"),
        ("- name: a\n  ranks: 8\n", "2: concepts.0.ranks: ranks are five whole numbers, such as [1, 4, 1, 8, 8]"),
        ("- {name: a, text: x, data: mine,\n   ranks: [1, 4, 1, 8, 999]}\n", "2: concepts.0.ranks: the rank of up"),
        ("pairs: gone\n", "1: pairs: gone was not made by `pocketgan pairs make`"),
        ("pairs: made\nconcepts: [negatif]\n", "2: concepts.0.data: made has no concept negatif"),
        ("concepts: []\n", "1: concepts: list should have at least 1 item"),
        ("pairs: made\npairs: made\n", "2: pairs: this key is in line 1 already"),
        ("{}", " the list of concepts: expected `concepts`"),
        ("3", " expected a list of concepts, each with name, text and data"),
        ("a: [", "1: not valid YAML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_with_file_line_and_field(listed, text, line):
    with pytest.raises(RecipeError) as told:
        listed(text)
    first = str(told.value).splitlines()[0]
    assert first.startswith(f"concepts.yaml:{line}")


def test_a_concept_without_steps_is_told_where_it_stands(listed):
    with pytest.raises(RecipeError, match=r"^concepts.yaml:2: concepts.1.steps: for how many steps\?"):
        listed("- {name: a, text: x, data: mine, steps: 3}\n- {name: b, text: y, data: mine}\n", steps=None)


def test_a_list_that_is_not_there_is_told(tmp_path):
    with pytest.raises(RecipeError, match=r"there is no list of concepts gone\.yaml"):
        wanted_concepts(Path("gone.yaml"), Defaults(10))
