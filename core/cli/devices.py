"""`pocketgan devices`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketgan import console
from pocketgan.cli.options import Json
from pocketgan.errors import DeviceError

if TYPE_CHECKING:
    from pocketgan.bench.devices.adb import Adb
    from pocketgan.bench.devices.phones import SeenPhone

_CONDITIONS = {
    "thermal_state",
    "temperature_c",
    "frequency_mhz",
    "battery_percent",
    "charging",
    "power_save",
    "screen_on",
}


def devices(
    connect: Annotated[
        str | None,
        typer.Option("--connect", metavar="HOST:PORT", help="Reach a phone over Wi-Fi first."),
    ] = None,
    pair: Annotated[
        str | None,
        typer.Option(
            "--pair",
            metavar="HOST:PORT",
            help="Make this computer known to a phone over Wi-Fi first: the address beside its pairing code.",
        ),
    ] = None,
    code: Annotated[str | None, typer.Option("--code", help="The six digits of --pair.")] = None,
    json: Json = False,
) -> None:
    """List what can measure: this computer, and phones.

    Android phones are seen through adb; `pocketgan bench --device android:SERIAL` measures in their app.
    """
    from pocketgan.bench.devices import all_devices
    from pocketgan.bench.devices.adb import find_adb

    if json:
        console.use_json()
    if (pair is None) != (code is None):
        raise DeviceError("--pair HOST:PORT and --code DIGITS go together: the phone shows both")
    if pair is not None and code is not None:
        find_adb().pair(pair, code)
    if connect is not None:
        find_adb().connect(connect)
    described = [(device.describe(), list(device.runtimes)) for device in all_devices()]
    adb, phones, problem = _phones()
    payload = {
        "devices": [{**info.model_dump(mode="json"), "runtimes": runtimes} for info, runtimes in described],
        "adb": None if adb is None else {"path": str(adb.path), "version": _version(adb)},
        "phones": [_payload(phone) for phone in phones],
        "problem": problem,
    }
    table = console.table(
        ("device", "model", "system", "processor", "cores", "runtimes"),
        [
            (info.name, info.model, info.os, info.cpu, info.cores, ", ".join(runtimes) or "none")
            for info, runtimes in described
        ],
    )
    console.result(payload, f"{table}\n\n{_text(phones, problem)}")


def _phones() -> tuple[Adb | None, list[SeenPhone], str | None]:
    """adb, the phones, and why there are none to be seen; that no phone is there is no mistake."""
    from pocketgan.bench.devices.adb import find_adb
    from pocketgan.bench.devices.phones import seen_phones

    adb = None
    try:
        adb = find_adb()
        return adb, seen_phones(adb), None
    except DeviceError as problem:
        return adb, [], str(problem)


def _version(adb: Adb) -> str | None:
    """None where it does not run, which is told as the problem."""
    try:
        return adb.version
    except DeviceError:
        return None


def _payload(phone: SeenPhone) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": phone.name,
        "serial": phone.listed.serial,
        "adb_state": phone.listed.state,
        "problem": phone.problem,
        "warnings": [] if phone.state is None else phone.state.warnings,
    }
    if phone.facts is not None and phone.state is not None:
        info, state = phone.facts.info, phone.state
        told |= {
            **info.model_dump(mode="json", exclude={"name"}),
            "android": phone.facts.android,
            "sdk": phone.facts.sdk,
            "abis": list(phone.facts.abis),
            **state.conditions.model_dump(mode="json", include=_CONDITIONS),
            "temperatures_c": dict(state.thermal.temperatures or {}),
            "battery_temperature_c": state.battery.temperature_c,
            "battery_voltage_v": state.battery.voltage_v,
        }
    return told


def _text(phones: list[SeenPhone], problem: str | None) -> str:
    if problem is not None:
        return f"phones: {problem}"
    if not phones:
        return (
            "no phone: turn on USB debugging in its developer options and plug it in, or over Wi-Fi: "
            "pocketgan devices --connect HOST:PORT; in any phone's browser without: pocketgan bench BUNDLE --device web"
        )
    columns = ("phone", "model", "chip", "system", "ABI", "thermal", "battery")
    trouble = [f"{phone.name}: {text}" for phone in phones for text in _trouble(phone)]
    return "\n".join(
        [
            console.table(columns, [_row(phone) for phone in phones]),
            "",
            *trouble,
            "measure in a phone's app: pocketgan bench BUNDLE --device android:SERIAL; local is this computer",
        ]
    )


def _trouble(phone: SeenPhone) -> list[str]:
    return [phone.problem] if phone.problem else phone.state.warnings if phone.state else []


def _row(phone: SeenPhone) -> tuple[str, ...]:
    if phone.facts is None or phone.state is None:
        model = phone.listed.model.replace("_", " ") or "-"
        return (phone.name, model, "-", phone.listed.state, "-", "-", "-")
    info, now, battery = phone.facts.info, phone.state.conditions, phone.state.battery
    thermal = [now.thermal_state, None if now.temperature_c is None else f"{now.temperature_c:.0f} °C"]
    charger = {True: "charging", False: "on battery", None: None}[now.charging]
    power = [None if now.battery_percent is None else f"{now.battery_percent:.0f} %", charger]
    if not battery.forged and battery.temperature_c is not None:
        power.append(f"{battery.temperature_c:.0f} °C")
    simulated = " (simulated)" if info.simulated else ""
    abi = phone.facts.abis[0] if phone.facts.abis else "-"
    return (phone.name, info.model + simulated, info.cpu, info.os, abi, _words(thermal), _words(power))


def _words(parts: list[str | None]) -> str:
    return ", ".join(part for part in parts if part) or "-"
