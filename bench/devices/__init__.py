"""The devices that run bundles, found by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pocketgan.errors import DeviceError

if TYPE_CHECKING:
    from pocketgan.bench.devices.device import Device

KNOWN = ("local", "android")


def find_device(name: str) -> Device:
    """The device of that name: `local`, or `android:` and a phone's serial, model or address (`android`: the only one).

    Raises:
        DeviceError: there is none, or it cannot be used; lists the kinds that there are.
    """
    if name == "local":
        from pocketgan.bench.devices.local import LocalDevice

        return LocalDevice()
    kind, _, which = name.partition(":")
    if kind == "android":
        from pocketgan.bench.devices.android_device import find_android

        return find_android(which or None)
    raise DeviceError(
        f"there is no device {name!r}; known devices: {', '.join(KNOWN)} (this computer, and android:SERIAL, a phone; "
        "pocketgan devices lists both)"
    )


def all_devices() -> list[Device]:
    """The devices that are always there: this computer. Phones come and go: `phones.seen_phones`."""
    return [find_device("local")]
