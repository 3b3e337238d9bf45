"""Every Android phone that adb sees, with what it is, how it is, and what is wrong with it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pocketgan.bench.devices.adb import Adb, Listed
from pocketgan.bench.devices.phone import Phone
from pocketgan.bench.devices.phone_facts import OLDEST_SDK, PhoneFacts, PhoneState, read_both
from pocketgan.errors import DeviceError


@dataclass(frozen=True)
class SeenPhone:
    """One phone.

    Attributes:
        facts, state: None where it could not be asked.
        problem: why it cannot be used, and what to do; None where it can.
    """

    listed: Listed
    facts: PhoneFacts | None = None
    state: PhoneState | None = None
    problem: str | None = None

    @property
    def name(self) -> str:
        """As a device is named."""
        return f"android:{self.listed.serial}"


def seen_phones(adb: Adb) -> list[SeenPhone]:
    """All of them, asked at the same time.

    Raises:
        DeviceError: adb does not run.
    """
    listed = adb.phones()
    if not listed:
        return []
    with ThreadPoolExecutor(max_workers=min(8, len(listed))) as pool:
        return list(pool.map(lambda phone: _seen(adb, phone), listed))


def _seen(adb: Adb, listed: Listed) -> SeenPhone:
    if listed.problem is not None:
        return SeenPhone(listed, problem=listed.problem)
    try:
        facts, state = read_both(Phone(adb, listed.serial))
    except DeviceError as trouble:
        return SeenPhone(listed, problem=str(trouble).removeprefix(f"phone {listed.serial}: "))
    too_old = (
        f"its Android ({facts.android}) is too old: 8.0 or newer is needed" if 0 < facts.sdk < OLDEST_SDK else None
    )
    return SeenPhone(listed, facts, state, too_old)
