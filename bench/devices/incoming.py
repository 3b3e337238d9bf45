"""What comes back from a device that is elsewhere: its results.jsonl as it grows, no line of it believed unseen."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from pocketgan.bench.devices.fault import Asked, Fault
from pocketgan.bench.devices.soundness import faults
from pocketgan.bench.devices.stamps import turn_faults
from pocketgan.bench.schema.job import SCHEMA_VERSION, Job
from pocketgan.bench.schema.result import ChargerCheck, DeviceInfo, Result
from pocketgan.bench.schema.session import Beat, End
from pocketgan.errors import DeviceError

# Ten minutes of frames of a millisecond take 60 MB.
LONGEST_LINE = 256 << 20
_LONGEST_ERROR, _MOST_ERRORS = 500, 20
_LONGEST_NAME = 128


Look = Callable[[], Sequence[ChargerCheck]]


def _nothing_seen() -> Sequence[ChargerCheck]:
    return ()


class Incoming:
    """The answers to the groups of one session.

    Args:
        session: its name. groups: what was asked, in order. device: what the host knows of the device.
        look: what the host has seen of its charger, and sees now; called when the Result of an energy Job comes.
    Attributes:
        results: what came, by the number of its job (counted through all groups); what does not hold of one is in its
            errors, and its frames are left out.
        faults: kinds of what did not hold, by the same number. strays: of lines that belong to no job.
        offset: bytes that were taken in. lines: how many whole lines. ended: whether the last line came; `error` is
            what it says.
        beat: the latest one.
    """

    def __init__(
        self, session: str, groups: Sequence[Sequence[Asked]], device: DeviceInfo, look: Look = _nothing_seen
    ) -> None:
        self._session, self._look = session, look
        self._asked = [asked for group in groups for asked in group]
        self._group = [number for number, group in enumerate(groups) for _ in group]
        self._device = device
        self._half = b""
        self.results: dict[int, Result] = {}
        self.faults: dict[int, list[Fault]] = {}
        self.strays: list[Fault] = []
        self.offset = 0
        self.lines = 0
        self.ended = False
        self.error: str | None = None
        self.beat: Beat | None = None

    def feed(self, data: bytes, elapsed_ns: int | None = None) -> list[int]:
        """Take in what the file holds beyond `offset`; a last line that is not whole waits for its rest.

        Args:
            elapsed_ns: see `soundness.faults`.
        Returns:
            The numbers of the jobs whose results came.
        Raises:
            DeviceError: a line without an end.
        """
        self.offset += len(data)
        *whole, self._half = (self._half + data).split(b"\n")
        if len(self._half) > LONGEST_LINE:
            raise DeviceError(f"device {self._device.name} sent a line without an end; what came is no results.jsonl")
        came = []
        for line in whole:
            self.lines += 1
            number = self._take(line, elapsed_ns)
            if number is not None:
                came.append(number)
        return came

    def _take(self, line: bytes, elapsed_ns: int | None) -> int | None:
        value = _json(line)
        kind = value.get("record") if isinstance(value, dict) else None
        try:
            if kind == "result":
                return self._take_result(value, elapsed_ns)
            if kind == "beat":
                beat = Beat.model_validate(value, strict=True, extra="ignore")
                self.beat = beat.model_copy(update={"detail": plain(beat.detail)})
            elif kind == "end":
                error = End.model_validate(value, strict=True, extra="ignore").error
                self.error, self.ended = None if error is None else plain(error) or "no reason given", True
            elif not isinstance(kind, str):
                self._stray("line", "is no record")
        except ValidationError as problem:
            self._stray("line", f"is a broken {kind} record: {_first(problem)}")
        return None

    def _take_result(self, value: dict[str, Any], elapsed_ns: int | None) -> int | None:
        del value["record"]
        session, job = value.get("session"), _job(value.get("job"))
        if session != self._session:
            self._stray("session", "is of another session")
            return None
        # Several where a bundle is compared with itself: as many answers are awaited.
        numbers = [number for number, asked in enumerate(self._asked) if asked.job == job]
        if not numbers:
            self._stray("job", "is of a Job that was not asked")
            return None
        number = next((number for number in numbers if number not in self.results), None)
        if number is None:
            self._stray("repeated", "is of a Job that was answered before; the first answer counts")
            return None
        try:
            result = Result.model_validate(value, strict=True, extra="ignore" if _later(value) else "forbid")
        except ValidationError as problem:
            found = [Fault("line", f"what the device gave is no result: {_first(problem)}")]
            self._keep(number, empty_result(self._session, self._asked[number], self._device), found)
            return number
        seen = list(self._look()) if self._asked[number].job.energy else []
        result = result.model_copy(update={"charger_checks": seen})
        found = faults(result, self._asked[number], elapsed_ns)
        turned_with = [
            other
            for i, other in self.results.items()
            if self._group[i] == self._group[number] and other.process == self._process(result) and other.frames
        ]
        ours = self._ours(result, self._asked[number])
        self._keep(number, ours, found or (turn_faults(result, turned_with) if result.frames else []))
        return number

    def _keep(self, number: int, result: Result, found: list[Fault]) -> None:
        if found:
            errors = [*result.errors, *(fault.line for fault in found)]
            result = result.model_copy(update={"frames": [], "errors": list(dict.fromkeys(errors))})
        self.results[number], self.faults[number] = result, found

    def _ours(self, result: Result, asked: Asked) -> Result:
        """With what the host knows better: the device, and names of processes that no other session has."""
        device = self._device.model_copy(update={"simulated": self._device.simulated or result.device.simulated})
        errors = [told for error in result.errors[:_MOST_ERRORS] if (told := plain(error))]
        return result.model_copy(
            update={
                "schema_version": SCHEMA_VERSION,
                "device": device,
                "runtime_version": plain(result.runtime_version),
                "process": self._process(result),
                "parity": result.parity if asked.has_reference else None,
                "parity_after": result.parity_after if asked.has_reference else None,
                "delegation": result.delegation or asked.delegation,
                "errors": errors or (["the device gave an error without words"] if result.errors else []),
            }
        )

    def _process(self, result: Result) -> str:
        process = plain(result.process)
        return f"{self._session} {process}" if process else ""

    def _stray(self, kind: Any, line: str) -> None:
        self.strays.append(Fault(kind, f"line {self.lines} {line}"))


def empty_result(session: str, asked: Asked, device: DeviceInfo) -> Result:
    """The Result of a Job that gave nothing."""
    return Result(
        session=session,
        job=asked.job,
        bundle_name=asked.bundle_name,
        device=device,
        runtime=asked.runtime,
        runtime_version="",
        app_build="release",
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def session_of(lines: bytes, jobs: Sequence[Job]) -> str | None:
    """Name of the session in which one of these jobs was answered; None where none was."""
    for line in lines.split(b"\n")[:-1]:
        value = _json(line)
        if not isinstance(value, dict) or value.get("record") != "result" or _job(value.get("job")) not in jobs:
            continue
        name = value.get("session")
        if isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME and name.isprintable():
            return name
    return None


def senders(lines: bytes, session: str) -> list[tuple[DeviceInfo, str]]:
    """Who calls itself the sender of each result of that session, in printable characters, and its process."""
    found = []
    for line in lines.split(b"\n")[:-1]:
        value = _json(line)
        if not isinstance(value, dict) or value.get("record") != "result" or value.get("session") != session:
            continue
        try:
            extra: Any = "ignore" if _later(value) else "forbid"
            info = DeviceInfo.model_validate(value.get("device"), strict=True, extra=extra)
        except ValidationError:
            continue
        texts = {name: plain(text) for name, text in info if isinstance(text, str)}
        found.append((info.model_copy(update=texts), str(value.get("process"))))
    return found


def _job(value: Any) -> Job | None:
    try:
        return Job.model_validate(value, strict=True, extra="ignore" if _later(value) else "forbid")
    except ValidationError:
        return None


def _json(line: bytes) -> Any:
    """None where it is none; halves of letters, which nothing can write down, are none."""
    try:
        value = json.loads(line)
        if b"\\ud" in line.lower():
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError):
        return None


def _later(value: Any) -> bool:
    """Whether a later minor version of the schema wrote it, whose new fields are left out."""
    version = value.get("schema_version") if isinstance(value, dict) else None
    if not isinstance(version, str) or not re.fullmatch(r"1\.[0-9]{1,4}", version):
        return False  # validation says what is wrong with it
    return int(version[2:]) > int(SCHEMA_VERSION[2:])


def plain(text: str) -> str:
    """One line of printable characters, not endless: terminals obey others."""
    printable = "".join(character if character.isprintable() else " " for character in text[: 2 * _LONGEST_ERROR])
    return " ".join(printable.split())[:_LONGEST_ERROR]


def _first(problem: ValidationError) -> str:
    first = problem.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'the record'}: {first['msg']}"[:_LONGEST_ERROR]
