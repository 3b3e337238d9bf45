"""The vectors that every language's harness runs, run by Python's."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from pocketgan.bench.devices.fault import Asked
from pocketgan.bench.devices.incoming import Incoming
from pocketgan.bench.runners.protocol import WarmupPlan
from pocketgan.bench.runners.timing import frames_of_rounds, turns, until_warm
from pocketgan.bench.schema.job import Job
from pocketgan.bench.schema.result import ChargerCheck, DeviceInfo

FOLDER = Path(__file__).resolve().parents[2] / "bench" / "schema" / "conformance"


def cases(name: str) -> list[dict[str, Any]]:
    return list(json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["cases"])


class ScriptedClock:
    """Moved by the frames of a script alone; the last frame goes on."""

    def __init__(self, frames_ns: list[int]) -> None:
        self._frames_ns = frames_ns
        self._number = 0
        self.now_ns = 1_000

    def frame(self) -> int:
        time_ns = self._frames_ns[min(self._number, len(self._frames_ns) - 1)]
        self._number += 1
        self.now_ns += time_ns
        return time_ns


@pytest.mark.parametrize("case", cases("warmup"), ids=lambda case: case["name"])
def test_warm_up_ends_where_the_vector_says(case: dict[str, Any]) -> None:
    clock = ScriptedClock(case["frames_ns"])
    warmed = until_warm(WarmupPlan(**case["warmup"]), clock.frame, lambda: clock.now_ns)
    assert warmed == (case["iterations"], case["duration_ns"], case["steady"])


def test_models_take_turns_in_the_order_of_the_vectors() -> None:
    for case in cases("turns"):
        assert turns(case["models"], case["rounds"]) == case["turns"], case


def test_the_turns_of_the_vectors_are_fair() -> None:
    """Over two rounds for each model, each stands equally often at each place."""
    for case in cases("turns"):
        models, orders = case["models"], case["turns"]
        assert [sorted(order) for order in orders] == [list(range(models))] * case["rounds"]
        if len(orders) == 2 * models:
            for place in range(models):
                assert sorted(order[place] for order in orders) == sorted([*range(models)] * 2)


def test_iterations_are_split_into_rounds_as_the_vectors_say() -> None:
    for case in cases("rounds"):
        assert frames_of_rounds(case["iterations"], case["rounds"]) == case["frames"], case


INCOMING = json.loads((FOLDER / "incoming.json").read_text("utf-8"))


def asked_groups() -> list[list[Asked]]:
    return [
        [
            Asked(
                Job.model_validate(one["job"]),
                one["bundle_name"],
                one["runtime"],
                INCOMING["device"]["kind"],
                floor_db=one["floor_db"],
                macs=one["macs"],
                output_bytes=one["output_bytes"],
            )
            for one in group
        ]
        for group in INCOMING["groups"]
    ]


def line_of_vector(line: dict[str, Any]) -> bytes:
    if "line" in line:
        return str(line["line"]).encode()
    sound = [one["sound"] for group in INCOMING["groups"] for one in group][line["sound"]]
    record = {"record": "result", **copy.deepcopy(sound)}
    for path, value in line.get("set", []):
        holder = record
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = float("nan") if value == {"raw": "NaN"} else value
    for path in line.get("remove", []):
        del record[path[0]]
    return json.dumps(record).encode()


def content(case: dict[str, Any]) -> bytes:
    lines = [line_of_vector(line) + b"\n" for line in case["lines"]]
    if not case["whole"]:
        lines[-1] = lines[-1][: len(lines[-1]) // 2]
    return b"".join(lines)


@pytest.mark.parametrize("case", INCOMING["cases"], ids=lambda case: case["name"])
def test_what_comes_back_is_believed_where_the_vector_says(case: dict[str, Any]) -> None:
    seen = [ChargerCheck.model_validate(one) for one in case.get("charger_checks", INCOMING["charger_checks"])]
    device = DeviceInfo.model_validate(INCOMING["device"])
    incoming = Incoming(INCOMING["session"], asked_groups(), device, lambda: seen)
    came = incoming.feed(content(case), case["elapsed_ns"])
    assert [{"job": number, "faults": [fault.kind for fault in incoming.faults[number]]} for number in came] == case[
        "answers"
    ]
    assert [fault.kind for fault in incoming.strays] == case["strays"]
    assert (incoming.ended, incoming.error) == (case["ended"], case["error"])
    for number, found in incoming.faults.items():
        result = incoming.results[number]
        if found:
            assert not result.frames
            assert [fault.line for fault in found] == result.errors


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_lines_may_come_in_pieces_of_any_size(size: int) -> None:
    lines = content(INCOMING["cases"][0])
    incoming = Incoming(INCOMING["session"], asked_groups(), DeviceInfo.model_validate(INCOMING["device"]))
    came = [number for start in range(0, len(lines), size) for number in incoming.feed(lines[start : start + size])]
    assert came == [0, 1, 2, 3, 4, 5]
    assert incoming.offset == len(lines)
    assert incoming.ended
