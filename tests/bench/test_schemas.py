"""The JSON Schemas say what the pydantic models say, so that phones and host judge the same files alike."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError, validators
from pydantic import ValidationError as ModelError

from pocketgan.bench.schema.generate import MODELS, schema, schema_text

FOLDER = Path(__file__).resolve().parents[2] / "bench" / "schema"
EXAMPLES = sorted((FOLDER / "examples").glob("*.json"))
VALID = [path for path in EXAMPLES if path.name.startswith("valid-")]


def _pattern(validator: Any, pattern: str, value: Any, _schema: Any) -> Iterator[ValidationError]:
    """As ECMA 262 and Rust have it: $ is the very end, not the place before a last line break as in Python."""
    if isinstance(value, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


_Validator = validators.extend(Draft202012Validator, {"pattern": _pattern})
_JUDGES = {name: _Validator(schema(name)) for name in MODELS}


def _kind(path: Path) -> str:
    return path.name.split("-")[1]


def _model_accepts(kind: str, value: Any) -> bool:
    """Cross-field rules aside, which JSON Schema cannot express: they are what a model_validator raises."""
    try:
        MODELS[kind].model_validate_json(json.dumps(value), strict=True)
    except ModelError as error:
        return all(problem["type"] == "value_error" for problem in error.errors())
    return True


@pytest.mark.parametrize("name", MODELS)
def test_schema_files_are_up_to_date(name: str) -> None:
    assert (FOLDER / f"{name}.schema.json").read_text("utf-8") == schema_text(name), (
        "run: python -m pocketgan.bench.schema.generate"
    )


def _objects(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _objects(value)
    elif isinstance(node, list):
        for value in node:
            yield from _objects(value)


@pytest.mark.parametrize("name", MODELS)
def test_schemas_are_sound_and_strict(name: str) -> None:
    made = schema(name)
    Draft202012Validator.check_schema(made)
    assert made["$id"].startswith("urn:pocketgan:schema:")
    records = [node for node in _objects(made) if "properties" in node and "type" in node]
    assert records
    assert all(node["additionalProperties"] is False for node in records)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_both_judge_an_example_as_its_name_says(path: Path) -> None:
    value = json.loads(path.read_text("utf-8"))
    expected = path in VALID
    assert _JUDGES[_kind(path)].is_valid(value) is expected
    try:
        MODELS[_kind(path)].model_validate_json(path.read_bytes(), strict=True)
        accepted = True
    except ModelError:
        accepted = False
    assert accepted is expected


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_has_sound_and_broken_examples(name: str) -> None:
    assert sum(_kind(path) == name for path in VALID) >= 2
    assert sum(_kind(path) == name for path in EXAMPLES if path not in VALID) >= 5


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_example_survives_the_model_unchanged(path: Path) -> None:
    model = MODELS[_kind(path)].model_validate_json(path.read_bytes(), strict=True)
    assert json.loads(model.model_dump_json(exclude_unset=True)) == json.loads(path.read_text("utf-8"))


def _places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a JSON document."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from _places(value, (*path, key))


# JSON Schema takes 1.0 for an integer and pydantic does not; every JSON writer here writes integers without a point.
_FLOATS = st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer())
_TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(["1.0", "1.7", "2.0", "1.0\n", "1.\u0663", "a" * 64, "a" * 64 + "\n", "A" * 129, "name", "null"]),
    st.sampled_from(["models/a", "models/a/b.", "golden/../x", "LICENSES/ x", "models/a\n", "models/" + "a" * 600]),
)
_INTEGERS = st.one_of(st.integers(-2, 3), st.sampled_from([1 << 20, (1 << 20) + 1, (1 << 63) - 1, 1 << 63, -(1 << 70)]))
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), _INTEGERS, _FLOATS, _TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_TEXTS, inner, max_size=2)),
    max_leaves=4,
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_both_judge_a_mutated_example_alike(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(VALID))
    value = copy.deepcopy(json.loads(path.read_text("utf-8")))
    for _ in range(data.draw(st.integers(1, 2))):
        *parents, key = data.draw(st.sampled_from(list(_places(value))))
        holder = value
        for parent in parents:
            holder = holder[parent]
        change = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if change == "replace":
            holder[key] = data.draw(_VALUES)
        elif change == "remove":
            del holder[key]
        elif isinstance(holder, dict):
            holder[data.draw(_TEXTS)] = data.draw(_VALUES)
        else:
            holder.append(data.draw(_VALUES))
        if not list(_places(value)):
            break
    assert _JUDGES[_kind(path)].is_valid(value) is _model_accepts(_kind(path), value)
