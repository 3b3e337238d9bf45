"""The devices that run bundles, found by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pocketgan.errors import DeviceError

if TYPE_CHECKING:
    from pocketgan.bench.devices.device import Device

KNOWN = ("local",)


def find_device(name: str) -> Device:
    """The device of that name.

    Raises:
        DeviceError: there is none; lists those that there are.
    """
    if name == "local":
        from pocketgan.bench.devices.local import LocalDevice

        return LocalDevice()
    raise DeviceError(
        f"there is no device {name!r}; known devices: {', '.join(KNOWN)} (this computer; phones are not there yet)"
    )


def all_devices() -> list[Device]:
    """Every device that can be used now."""
    return [find_device(name) for name in KNOWN]
