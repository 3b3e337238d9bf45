"""Kotlin judges manifests, jobs, results and sessions as Python does, and says the same of them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import kotlin_harness
import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "bench" / "schema" / "examples").glob("*.json"))
VALID = [path for path in EXAMPLES if path.name.startswith("valid-")]
NUMBERS = (-1, 0, 1.5, 1.0, 1e300, 1 << 62)
WRONG = (*NUMBERS, None, True, "", "1.0", "9.9", "a" * 600, "onnx\n", "\x1b[2J é", [], [1], {}, {"a": 1})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_judged_as_python_judges_it(path: Path) -> None:
    kind = path.name.split("-")[1]
    kotlin_harness.must_agree_about_document(kind, path.read_text("utf-8"))
    refused = kotlin_harness.ask(kind, text=path.read_text("utf-8"))["refused"]
    # Readers of a manifest leave out what they do not know of another minor version; the example's is 1.0.
    assert refused is (path.name.startswith("invalid-") and path.stem != "invalid-manifest-unknown-field")


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_value_of_another_kind_anywhere_is_judged_as_python_judges_it(path: Path) -> None:
    """Every place of the example once, with a value drawn for it; one in three is removed or gets a neighbour."""
    rng = random.Random(path.stem)
    text = path.read_text("utf-8")
    for number in range(len(_places(json.loads(text)))):
        value = json.loads(text)
        holder, key = _places(value)[number]
        change = rng.choice(("replace", "replace", "remove", "add"))
        if change == "replace" or isinstance(holder, list):
            holder[key] = rng.choice(WRONG)
        elif change == "remove":
            del holder[key]
        else:
            holder["unheard of"] = rng.choice(WRONG)
        if _is_of_this_version(path, value):
            kotlin_harness.must_agree_about_document(path.name.split("-")[1], json.dumps(value))


@pytest.mark.parametrize("mode", ["latency", "throughput"])
def test_energy_of_a_run_that_is_too_short_for_it_is_refused_alike(mode: str) -> None:
    job = {"bundle": "a" * 64, "entry": "onnx-fp32", "mode": mode, "iterations": 30, "energy": True}
    kotlin_harness.must_agree_about_document("job", json.dumps(job))
    assert "energy needs mode sustained or camera" in kotlin_harness.ask("job", text=json.dumps(job))["problems"][0]


def test_a_later_minor_is_read_without_its_new_fields() -> None:
    for kind in ("job", "result", "session"):
        path = next(path for path in EXAMPLES if path.name.startswith(f"valid-{kind}"))
        value = json.loads(path.read_text("utf-8")) | {"mood": "sunny"}
        assert kotlin_harness.ask(kind, text=json.dumps(value | {"schema_version": "1.77"}))["problems"] == []
        assert "mood: Extra inputs are not permitted" in kotlin_harness.ask(kind, text=json.dumps(value))["problems"]


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Holder and key of every value in a JSON document."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [place for key, value in items for place in ((node, key), *_places(value))]


def _is_of_this_version(path: Path, value: Any) -> bool:
    """Python's models alone do not leave out what a later minor added."""
    earlier = ("1.0", "1.1", "1.2") if "session" in path.name else ("1.0", "1.1", "1.2", "1.3")
    return value.get("schema_version") in (None, *earlier)
