"""What a phone is, and the state that it is in, asked in one question each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pocketgan.bench.devices import phone_dumps
from pocketgan.bench.devices.fixed_performance import MARK
from pocketgan.bench.devices.phone import Phone, quoted
from pocketgan.bench.devices.phone_dumps import Battery, Thermal
from pocketgan.bench.schema.result import Conditions, DeviceInfo

OLDEST_SDK = 26  # Android 8.0
LOW_BATTERY_PERCENT = 20.0
_MARK = "[pocketgan: next]"
_WHAT_IT_IS = {
    "properties": "getprop",
    "cores": "cat /sys/devices/system/cpu/possible",
    "memory": "cat /proc/meminfo",
}
_STATE = {
    "uptime": "cat /proc/uptime",
    "battery": "dumpsys battery",
    "thermal": "dumpsys thermalservice",
    "power": "dumpsys power | grep mWakefulness=",
    "power_save": "settings get global low_power",
    "held_clock": f"ls {MARK}",
    "frequencies": "cat /sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq",
}


@dataclass(frozen=True)
class PhoneFacts:
    """What does not change while a phone is on.

    Attributes:
        info: as results record it.
        sdk: Android's API level. abis: instruction sets, the best first.
    """

    info: DeviceInfo
    android: str
    sdk: int
    abis: tuple[str, ...]


@dataclass(frozen=True)
class PhoneState:
    """What does.

    Attributes:
        conditions: as results record them; `at_ns` is the phone's time since boot, sleep included. Its temperature is
            the skin's, by which phones throttle, else the battery's. Nothing that someone told the phone to say
            (`forged`) is in it.
        clock_held: whether a session holds its clock, or one that was cut off has left it held.
    """

    conditions: Conditions
    battery: Battery
    thermal: Thermal
    clock_held: bool = False

    @property
    def spoils(self) -> list[str]:
        """What makes a measurement worthless, whoever asks for it, and what to do."""
        found = []
        if self.battery.forged:
            found.append("what its battery says is simulated: adb shell dumpsys battery reset")
        if self.thermal.forged:
            found.append("its thermal status is simulated: adb shell cmd thermalservice reset")
        if self.conditions.power_save:
            found.append("its battery saver is on: turn it off before measuring")
        if self.conditions.screen_on is False:
            # Asleep, it slows its cores down, and on battery it stops.
            found.append("its screen is off: wake it, and let it stay awake (developer options) while it is measured")
        return found

    @property
    def warnings(self) -> list[str]:
        """What spoils a measurement, and what may, and what to do."""
        state, found = self.conditions, self.spoils
        if state.thermal_state not in (None, "nominal"):
            found.append(f"it is warm ({state.thermal_state}): let it cool before measuring")
        if state.battery_percent is not None and state.battery_percent < LOW_BATTERY_PERCENT and not state.charging:
            found.append(f"its battery is low ({state.battery_percent:.0f} %): charge it")
        if self.clock_held:
            found.append("its clock is held, by a session that measures now or was cut off: the next one takes it back")
        return found


def read_facts(phone: Phone) -> PhoneFacts:
    """What the phone is.

    Raises:
        OutOfReachError: it does not answer.
    """
    return _facts(phone.serial, _answers(phone, _WHAT_IT_IS))


def read_state(phone: Phone) -> PhoneState:
    """The state that it is in now.

    Raises:
        OutOfReachError: it does not answer.
    """
    return _state(_answers(phone, _STATE))


def read_both(phone: Phone) -> tuple[PhoneFacts, PhoneState]:
    """Both in one question.

    Raises:
        OutOfReachError: it does not answer.
    """
    told = _answers(phone, {**_WHAT_IT_IS, **_STATE})
    return _facts(phone.serial, told), _state(told)


def _answers(phone: Phone, questions: Mapping[str, str]) -> dict[str, str]:
    """What the phone says to each; nothing where it has no such service or file."""
    # Standard error is left out: services that an Android does not have say so there.
    script = "\n".join(f"{question} 2> /dev/null; echo {quoted(_MARK)}" for question in questions.values())
    parts = phone.script(script).text.split(f"{_MARK}\n")
    return dict(zip(questions, parts, strict=False))


def _facts(serial: str, told: Mapping[str, str]) -> PhoneFacts:
    properties = phone_dumps.properties(told["properties"])
    maker, model = properties.get("ro.product.manufacturer", ""), properties.get("ro.product.model", "")
    full_model = model if model.casefold().startswith(maker.casefold()) else f"{maker} {model}".strip()
    android = properties.get("ro.build.version.release", "")
    sdk = properties.get("ro.build.version.sdk", "")
    abis = properties.get("ro.product.cpu.abilist") or properties.get("ro.product.cpu.abi", "")
    info = DeviceInfo(
        name=f"android:{serial}",
        model=full_model or "unknown",
        kind="android",
        os=f"Android {android}".strip(),
        os_build=properties.get("ro.build.fingerprint") or properties.get("ro.build.id", "unknown"),
        cpu=_chip(properties),
        cores=phone_dumps.cores(told["cores"]) or 1,
        memory_bytes=phone_dumps.memory_bytes(told["memory"]) or 0,
        simulated="1" in (properties.get("ro.boot.qemu"), properties.get("ro.kernel.qemu")),
    )
    return PhoneFacts(info, android, int(sdk) if sdk.isdigit() else 0, tuple(filter(None, abis.split(","))))


def _chip(properties: Mapping[str, str]) -> str:
    """The chip by its maker's number (Android 12 and newer), else by what the board calls itself."""
    if model := properties.get("ro.soc.model"):
        return f"{properties.get('ro.soc.manufacturer', '')} {model}".strip()
    others = ("ro.hardware.chipname", "ro.chipname", "ro.board.platform", "ro.hardware")
    return next((properties[name] for name in others if properties.get(name)), "unknown")


def _state(told: Mapping[str, str]) -> PhoneState:
    battery, thermal = phone_dumps.battery(told["battery"]), phone_dumps.thermal(told["thermal"])
    real = Battery() if battery.forged else battery
    skin = thermal.skin_c
    conditions = Conditions(
        at_ns=phone_dumps.uptime_ns(told["uptime"]) or 0,
        thermal_state=None if thermal.forged else thermal.state,
        temperature_c=real.temperature_c if skin is None else skin,
        frequency_mhz=phone_dumps.highest_mhz(told["frequencies"]),
        battery_percent=real.percent,
        charging=real.charging,
        power_save=phone_dumps.setting(told["power_save"]),
        screen_on=phone_dumps.screen_on(told["power"]),
    )
    return PhoneState(conditions, battery, thermal, clock_held=MARK in told["held_clock"])
