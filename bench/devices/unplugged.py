"""Whether a phone runs on its battery alone, as the host sees it: what it draws then is the work's energy."""

from __future__ import annotations

from datetime import UTC, datetime

from pocketgan.bench.devices import phone_dumps
from pocketgan.bench.devices.adb import is_address
from pocketgan.bench.devices.phone import Phone
from pocketgan.bench.schema.result import ChargerCheck
from pocketgan.errors import DeviceError

# A phone that adb found by itself over Wi-Fi is called adb-SERIAL-XXXXXX._adb-tls-connect._tcp; some adb add a dot.
_BY_MDNS = "._tcp"


def look_for_charger(phone: Phone) -> ChargerCheck:
    """What the host sees of the phone's power now.

    Raises:
        OutOfReachError: the phone does not answer.
    """
    battery = phone_dumps.battery(phone.shell("dumpsys", "battery").text)
    return ChargerCheck(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        usb=not (is_address(phone.serial) or phone.serial.removesuffix(".").endswith(_BY_MDNS)),
        charger=battery.charging,
        simulated=battery.forged,
    )


def must_be_unplugged(serial: str, seen: ChargerCheck) -> None:
    """Refuse an energy Job where something charges the phone, or where that cannot be known.

    Raises:
        DeviceError: says what to do.
    """
    if seen.usb:
        why = (
            "is on USB, which charges it: reach it over Wi-Fi (pocketgan devices --connect HOST:PORT), unplug it, and "
            "measure with --device android:HOST:PORT"
        )
    elif seen.simulated:
        why = "says what it was told to say of its battery: adb shell dumpsys battery reset, and really unplug it"
    elif seen.charger:
        why = "has a charger on it: unplug it, energy per frame is the battery's alone"
    elif seen.charger is None:
        why = "does not tell whether a charger is on it: energy per frame cannot be measured; leave out --energy"
    else:
        return
    raise DeviceError(f"phone {serial} {why}")
