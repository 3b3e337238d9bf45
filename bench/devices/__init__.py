"""The devices that run bundles, found by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pocketgan.errors import DeviceError

if TYPE_CHECKING:
    from pathlib import Path

    from pocketgan.bench.devices.device import Device
    from pocketgan.bench.devices.web.options import WebOptions
    from pocketgan.bench.schema.job import Via

KNOWN = ("local", "android", "web", "farm")


def find_device(name: str, via: Via | None = None, apk: Path | None = None, web: WebOptions | None = None) -> Device:
    """The device of that name: `local`; `android:` and a phone's serial, model or address (`android`: the only one);
    `web`, whoever opens its page; or `farm:` and a folder, a phone that this computer does not reach.

    Args:
        via: what measures on a phone, its `app` or its `shell`; the app where None.
        apk: the app for phones; the one that was built or came with this installation where None.
        web: how the page is served; for `web` alone.
    Raises:
        DeviceError: there is none, or it cannot be used; lists the kinds that there are.
    """
    if web is not None and name != "web":
        raise DeviceError(
            f"--phones, --time-limit, --port, --address, --plain-http and --ort-web go with --device web, "
            f"not with {name}"
        )
    if name == "web":
        if via not in (None, "page") or apk is not None:
            raise DeviceError("--via and --apk are for phones behind adb: a browser's page measures without an app")
        from pocketgan.bench.devices.web.gathering import WebDevices
        from pocketgan.bench.devices.web.options import WebOptions

        return WebDevices(web or WebOptions())
    if name == "local":
        if via is not None or apk is not None:
            raise DeviceError("--via and --apk are for phones: --device local measures in processes of this computer")
        from pocketgan.bench.devices.local import LocalDevice

        return LocalDevice()
    kind, _, which = name.partition(":")
    if kind == "android":
        from pocketgan.bench.devices.android_device import find_android

        return find_android(which or None, via, apk)
    if kind == "farm":
        from pathlib import Path

        from pocketgan.bench.devices.farm import FarmDevice
        from pocketgan.bench.devices.phone_app import find_app

        if not which:
            raise DeviceError("name a folder for the session that the farm is given: --device farm:DIR")
        if via not in (None, "app"):
            raise DeviceError(f"a farm's phone measures in its app: leave out --via {via}")
        return FarmDevice(Path(which), find_app(apk))
    raise DeviceError(
        f"there is no device {name!r}; known devices: {', '.join(KNOWN)} (this computer; android:SERIAL, a phone; "
        "web, any phone's browser; and farm:DIR, a phone that is elsewhere; pocketgan devices lists the first two)"
    )


def all_devices() -> list[Device]:
    """The devices that are always there: this computer. Phones come and go: `phones.seen_phones`."""
    return [find_device("local")]
