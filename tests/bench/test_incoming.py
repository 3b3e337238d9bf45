"""What a hostile or broken device may send; what sound ones send is in the conformance vectors."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketgan.bench.devices.fault import Asked
from pocketgan.bench.devices.incoming import Incoming
from pocketgan.bench.journal import line_of
from pocketgan.bench.schema.job import Job
from pocketgan.bench.schema.result import DeviceInfo, Result
from pocketgan.errors import DeviceError

VECTORS = Path(__file__).resolve().parents[2] / "bench" / "schema" / "conformance" / "incoming.json"
SCRIPT: dict[str, Any] = json.loads(VECTORS.read_text("utf-8"))
PHONE = DeviceInfo.model_validate(SCRIPT["device"])
ONE = SCRIPT["groups"][0][0]


def asked(**changes: Any) -> Asked:
    fields = {"floor_db": ONE["floor_db"], "macs": ONE["macs"], **changes}
    return Asked(Job.model_validate(ONE["job"]), ONE["bundle_name"], ONE["runtime"], PHONE.kind, **fields)


def sound(**changes: Any) -> dict[str, Any]:
    return {"record": "result", **copy.deepcopy(ONE["sound"]), **changes}


def taken(*lines: bytes, **changes: Any) -> Incoming:
    incoming = Incoming(SCRIPT["session"], [[asked(**changes)]], PHONE)
    incoming.feed(b"".join(line + b"\n" for line in lines))
    return incoming


def result(record: dict[str, Any], **changes: Any) -> Result:
    return taken(json.dumps(record).encode(), **changes).results[0]


def test_the_device_is_what_the_host_says_and_simulated_what_either_says() -> None:
    theirs = {**SCRIPT["device"], "name": "me", "model": "a better phone", "simulated": True}
    assert result(sound(device=theirs)).device == PHONE.model_copy(update={"simulated": True})


def test_a_bundle_that_is_compared_with_itself_is_answered_twice_and_no_third_time() -> None:
    incoming = Incoming(SCRIPT["session"], [[asked(), asked()]], PHONE)
    first, later = sound(), sound(errors=["warm"])
    for frame in later["frames"]:
        frame["start_ns"] += 20_000_000
    for record in (first, later, sound()):
        incoming.feed(json.dumps(record).encode() + b"\n")
    assert [(len(one.frames), one.errors) for one in incoming.results.values()] == [(4, []), (4, ["warm"])]
    assert [fault.kind for fault in incoming.strays] == ["repeated"]


@pytest.mark.parametrize("answered", [None, "night"])
def test_a_result_must_name_the_concept_that_was_asked(answered: str | None) -> None:
    job = Job.model_validate({**ONE["job"], "schema_version": "1.3", "concept": "ink"})
    incoming = Incoming(SCRIPT["session"], [[replace(asked(), job=job)]], PHONE)
    for concept in (answered, "ink"):
        record = sound(job={**job.model_dump(mode="json"), "concept": concept}, schema_version="1.3")
        incoming.feed(json.dumps(record).encode() + b"\n")
    assert [fault.kind for fault in incoming.strays] == ["job"]
    assert [one.job.concept for one in incoming.results.values()] == ["ink"]


def test_processes_of_two_sessions_never_share_a_name() -> None:
    assert result(sound(process="1")).process == f"{SCRIPT['session']} 1"


def test_parity_says_nothing_where_nothing_independent_computed_the_reference() -> None:
    found = result(sound(), has_reference=False)
    assert (found.parity, found.parity_after) == (None, None)
    assert len(found.frames) == 4
    assert result(sound(parity=None), has_reference=False).frames == []


def test_the_schema_version_of_a_result_is_the_one_that_it_is_written_down_in() -> None:
    assert result(sound(schema_version="1.99", mood="good")).schema_version == "1.3"


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"record": "result", "session": ' + b"{" * 50_000,
        b'{"record": 5}',
        b'{"record": ["result"]}',
        b"null",
        b'"result"',
        b"9" * 5_000,
        json.dumps(sound(process="x")).replace('"x"', r'"\ud800"').encode(),
    ],
)
def test_lines_that_break_parsers_cost_only_themselves(line: bytes) -> None:
    incoming = taken(line, json.dumps(sound()).encode())
    assert [fault.kind for fault in incoming.strays] == ["line"]
    assert len(incoming.results[0].frames) == 4


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"psnr_db": 101.5', '"psnr_db": 1e999'),
        ('"psnr_db": 101.5', '"psnr_db": Infinity'),
        ('"psnr_db": 101.5', '"psnr_db": "101.5"'),
        ('"steady": true', '"steady": 1'),
    ],
)
def test_numbers_without_end_and_of_another_type_are_no_result(old: str, new: str) -> None:
    line = json.dumps(sound())
    assert old in line
    incoming = taken(line.replace(old, new).encode())
    assert [fault.kind for fault in incoming.faults[0]] == ["line"]
    assert incoming.results[0].frames == []


def test_a_line_without_an_end_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketgan.bench.devices.incoming.LONGEST_LINE", 1000)
    incoming = taken()
    incoming.feed(b"x" * 900)
    with pytest.raises(DeviceError, match=r"device phone:1 sent a line without an end; what came is no results\.jsonl"):
        incoming.feed(b"x" * 900)


def _places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [place for key, value in items for place in ((*path, key), *_places(value, (*path, key)))]


_PLACES = _places(sound())
_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 80), 1 << 80),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(_PLACES), _VALUES), min_size=1, max_size=3))
def test_whatever_a_result_says_it_can_be_written_down_and_has_frames_or_errors(changes: list[Any]) -> None:
    record = sound()
    for (*parents, key), value in changes:
        holder: Any = record
        for parent in parents:
            holder = holder[parent] if isinstance(holder, dict | list) and _has(holder, parent) else None
        if isinstance(holder, dict) or (isinstance(holder, list) and isinstance(key, int) and key < len(holder)):
            holder[key] = value
    incoming = taken(json.dumps(record).encode())
    if not incoming.results:
        assert record.get("record") != "result" or incoming.strays
        return
    found = incoming.results[0]
    assert found.frames or found.errors
    assert Result.model_validate(json.loads(line_of(found)), extra="ignore") == found


def _has(holder: Any, key: Any) -> bool:
    return key in holder if isinstance(holder, dict) else isinstance(key, int) and key < len(holder)
