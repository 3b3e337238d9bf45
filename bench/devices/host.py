"""What this host is, and the state it is in."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

import psutil

from pocketgan.bench.schema.result import Conditions, DeviceInfo
from pocketgan.processor import cpu_name

PRODUCT_NAME = Path("/sys/devices/virtual/dmi/id/product_name")
CPU_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "acpitz")


def describe_host(name: str) -> DeviceInfo:
    """This host under the device name `name`."""
    return DeviceInfo(
        name=name,
        model=_product_name(),
        kind="local",
        os=_system(),
        os_build=platform.release(),
        cpu=cpu_name(),
        cores=psutil.cpu_count(logical=False) or os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
    )


def conditions() -> Conditions:
    """Temperature, clock, load, battery and charger now; None where the system does not tell.

    `at_ns` is on the clock of the frames' start stamps.
    """
    battery = _battery()
    return Conditions(
        at_ns=time.perf_counter_ns(),
        temperature_c=_temperature_c(),
        frequency_mhz=_frequency_mhz(),
        load_average=os.getloadavg()[0],
        battery_percent=None if battery is None else float(battery.percent),
        charging=None if battery is None else battery.power_plugged,
    )


def _product_name() -> str:
    try:
        return PRODUCT_NAME.read_text().strip() or platform.machine()
    except OSError:
        return platform.machine()


def _system() -> str:
    if platform.system() == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _temperature_c() -> float | None:
    try:
        sensors = psutil.sensors_temperatures()
    except (AttributeError, OSError):  # psutil has no such function on macOS
        return None
    readings = [reading.current for name in CPU_SENSORS for reading in sensors.get(name, [])]
    return max(readings, default=None)


def _frequency_mhz() -> float | None:
    try:
        frequency = psutil.cpu_freq()
    except (AttributeError, OSError, RuntimeError):
        return None
    return frequency.current if frequency is not None and frequency.current > 0 else None


def _battery() -> Any:
    try:
        return psutil.sensors_battery()
    except (AttributeError, OSError):
        return None
