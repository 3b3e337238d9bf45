"""The devices that run bundles, found by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pocketgan.errors import DeviceError

if TYPE_CHECKING:
    from pathlib import Path

    from pocketgan.bench.devices.device import Device
    from pocketgan.bench.schema.job import Via

KNOWN = ("local", "android")


def find_device(name: str, via: Via | None = None, apk: Path | None = None) -> Device:
    """The device of that name: `local`, or `android:` and a phone's serial, model or address (`android`: the only one).

    Args:
        via: what measures on a phone, its `app` or its `shell`; the app where None.
        apk: the app for phones; the one that was built or came with this installation where None.
    Raises:
        DeviceError: there is none, or it cannot be used; lists the kinds that there are.
    """
    if name == "local":
        if via is not None or apk is not None:
            raise DeviceError("--via and --apk are for phones: --device local measures in processes of this computer")
        from pocketgan.bench.devices.local import LocalDevice

        return LocalDevice()
    kind, _, which = name.partition(":")
    if kind == "android":
        from pocketgan.bench.devices.android_device import find_android

        return find_android(which or None, via, apk)
    raise DeviceError(
        f"there is no device {name!r}; known devices: {', '.join(KNOWN)} (this computer, and android:SERIAL, a phone; "
        "pocketgan devices lists both)"
    )


def all_devices() -> list[Device]:
    """The devices that are always there: this computer. Phones come and go: `phones.seen_phones`."""
    return [find_device("local")]
