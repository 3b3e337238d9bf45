"""What a phone's own tools write, as values: getprop, dumpsys, and files below /proc and /sys. No adb in here.

The forms are those of AOSP 8 to 15; what a phone does not say is None or empty, and what it does not have is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ThermalState = Literal["nominal", "fair", "serious", "critical"]

# PowerManager's THERMAL_STATUS_*: none, light, moderate, severe, critical, emergency, shutdown. In four, as Chromium
# groups them (base/power_monitor, PowerMonitorDeviceSource on Android).
_THERMAL_STATES: tuple[ThermalState, ...] = ("nominal", "fair", "fair", "serious", "critical", "critical", "critical")
# android.os.Temperature's TYPE_*.
_SKIN_SENSOR = 3
_CHARGING, _FULL = 2, 5  # BatteryManager's BATTERY_STATUS_*


@dataclass(frozen=True)
class Battery:
    """`dumpsys battery`.

    Attributes:
        forged: someone told the phone what to say (`dumpsys battery unplug`), so that nothing of it is the battery's.
        charging: whether a charger is on it, full or not.
    """

    percent: float | None = None
    charging: bool | None = None
    temperature_c: float | None = None
    voltage_v: float | None = None
    forged: bool = False


@dataclass(frozen=True)
class Thermal:
    """`dumpsys thermalservice` (Android 10 and newer).

    Attributes:
        forged: someone told the phone what to say (`cmd thermalservice override-status`).
        temperatures: of each sensor that has one, in degrees Celsius.
        skin_c: of the warmest sensor of the skin, by which phones throttle.
    """

    state: ThermalState | None = None
    forged: bool = False
    temperatures: Mapping[str, float] | None = None
    skin_c: float | None = None


def properties(told: str) -> dict[str, str]:
    """`getprop`: a value may have several lines."""
    return dict(re.findall(r"^\[([^\]\n]+)\]: \[(.*?)\]$", told, re.MULTILINE | re.DOTALL))


def battery(told: str) -> Battery:
    """`dumpsys battery`; makers add lines of their own, which are left alone."""
    values: dict[str, str] = {}
    for name, value in re.findall(r"^\s*([A-Za-z ]+): (\S+)$", told, re.MULTILINE):
        values.setdefault(name.strip(), value)
    level, scale = _number(values.get("level")), _number(values.get("scale")) or 100
    plugged = [values[name] == "true" for name in values if name.endswith(" powered")]
    status = _number(values.get("status"))
    temperature = _number(values.get("temperature"))
    return Battery(
        percent=None if level is None else 100 * level / scale,
        charging=any(plugged) if plugged else None if status is None else status in (_CHARGING, _FULL),
        temperature_c=None if temperature is None else temperature / 10,
        voltage_v=_volts(_number(values.get("voltage"))),
        forged="UPDATES STOPPED" in told,
    )


def thermal(told: str) -> Thermal:
    """`dumpsys thermalservice`."""
    status = re.search(r"^\s*Thermal Status: (\d+)", told, re.MULTILINE)
    # What the sensors say now, where it is there; what was kept may be from the last time that one changed.
    _, _, now = told.partition("Current temperatures from HAL:")
    now = re.split(r"^\S[^\n]*:", now, maxsplit=1, flags=re.MULTILINE)[0] or told
    read = [
        (name, int(kind), float(value))
        for value, kind, name in re.findall(r"Temperature\{mValue=([-\d.]+), mType=(-?\d+), mName=([^,]*),", now)
    ]
    return Thermal(
        state=_THERMAL_STATES[min(int(status[1]), len(_THERMAL_STATES) - 1)] if status else None,
        forged="IsStatusOverride: true" in told,
        temperatures={name: value for name, _, value in read},
        skin_c=max((value for _, kind, value in read if kind == _SKIN_SENSOR), default=None),
    )


def screen_on(told: str) -> bool | None:
    """`dumpsys power`: awake (or showing its screen saver), against asleep and dozing."""
    found = re.search(r"mWakefulness=(\w+)", told)
    return found[1] in ("Awake", "Dreaming") if found else None


def setting(told: str) -> bool | None:
    """`settings get`, of a setting that is 0 or 1: unset is off."""
    return {"1": True, "0": False, "null": False}.get(told.strip())


def cores(told: str) -> int | None:
    """`/sys/devices/system/cpu/possible`: ranges such as 0-3,6-7, those that are switched off included."""
    ranges = re.findall(r"(\d+)(?:-(\d+))?", told)
    return sum(int(last or first) - int(first) + 1 for first, last in ranges) or None


def memory_bytes(told: str) -> int | None:
    """`/proc/meminfo`: all that Android has."""
    found = re.search(r"^MemTotal:\s*(\d+) kB", told, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def uptime_ns(told: str) -> int | None:
    """`/proc/uptime`: since boot, sleep included."""
    found = re.match(r"\s*(\d+)\.(\d\d)", told)
    return (int(found[1]) * 100 + int(found[2])) * 10_000_000 if found else None


def highest_mhz(told: str) -> float | None:
    """`scaling_cur_freq` of the cores, in kHz, a line each."""
    return max((int(line) / 1000 for line in told.split() if line.isdigit() and int(line)), default=None)


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _volts(told: float | None) -> float | None:
    """In millivolts, as it should be; some phones say microvolts or whole volts, of which the last is too coarse."""
    if told is None or told < 1000:
        return None
    return told / (1e6 if told > 100_000 else 1e3)
