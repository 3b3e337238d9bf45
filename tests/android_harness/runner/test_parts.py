"""Parts of the native runner by themselves: conformance vectors, hashes, pictures, numbers, the state of a phone."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from native_runner import ROOT

from pocketgan.bench.runners.picture import to_picture, to_tensor
from pocketgan.bench.schema.result import Conditions
from pocketgan.bundle.manifest import TensorSpec

Check = Callable[..., bytes]


@pytest.fixture
def check(built: Path) -> Check:
    def run(*words: object) -> bytes:
        return subprocess.run([built / "runner-checks", *map(str, words)], check=True, capture_output=True).stdout

    return run


def test_the_conformance_vectors_hold(check, tmp_path):
    folder = ROOT / "bench" / "schema" / "conformance"
    names = ("warmup", "turns", "rounds", "patch", "concepts")
    cases = sum(len(json.loads((folder / f"{name}.json").read_text())["cases"]) for name in names)
    assert int(check("conformance", folder, tmp_path / "scratch")) == cases > 50


@pytest.mark.parametrize("size", [0, 1, 3, 55, 56, 63, 64, 65, 119, 128, 3_000_001])
def test_sha256(size, check, tmp_path):
    data = bytes(i * 7 % 251 for i in range(size))
    (tmp_path / "file").write_bytes(data)
    assert check("sha256", tmp_path / "file").decode().strip() == hashlib.sha256(data).hexdigest()


def spec(height: int, width: int, low: float, high: float) -> TensorSpec:
    shape, value_range = [1, 3, height, width], (low, high)
    return TensorSpec(
        name="x", shape=shape, layout="NCHW", dtype="float32", value_range=value_range, colour_space="RGB"
    )


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (0, 1), (0, 255), (-2.1179, 2.64)])
def test_pictures_become_the_tensors_of_the_python_runner_to_the_bit(low, high, check, tmp_path):
    picture = np.random.default_rng(3).integers(0, 256, (17, 24, 3)).astype("u1")
    (tmp_path / "picture").write_bytes(picture.tobytes())
    tensor = np.frombuffer(check("tensor", tmp_path / "picture", 17, 24, low, high), "<f4")
    assert (tensor == to_tensor(picture, spec(17, 24, low, high)).ravel()).all()
    (tmp_path / "tensor").write_bytes(tensor.tobytes())
    assert check("picture", tmp_path / "tensor", 17, 24, low, high) == picture.tobytes()


def test_tensors_become_the_pictures_of_the_python_runner_to_the_bit(check, tmp_path):
    tensor = np.random.default_rng(4).uniform(-1.5, 1.5, (1, 3, 64, 65)).astype("<f4")
    (tmp_path / "tensor").write_bytes(tensor.tobytes())
    picture = np.frombuffer(check("picture", tmp_path / "tensor", 64, 65, -1, 1), "u1")
    assert (picture == to_picture(tensor, spec(64, 65, -1, 1)).ravel()).all()
    assert {0, 255} <= set(picture.tolist())


def test_half_precision_is_that_of_numpy(check, tmp_path):
    halves = np.arange(1 << 16, dtype="<u2").view("<f2")
    halves = halves[np.isfinite(halves)]
    (tmp_path / "halves").write_bytes(halves.tobytes())
    assert check("convert", tmp_path / "halves", len(halves), "float16", "float32") == halves.astype("<f4").tobytes()
    between = np.concatenate([halves.astype("<f4") * np.float32(1.0003), [65519.9, 65520, 1e9, -1e-9, 2**-25]])
    between = between.astype("<f4")
    (tmp_path / "floats").write_bytes(between.tobytes())
    with np.errstate(over="ignore"):
        expected = between.astype("<f2")
    assert check("convert", tmp_path / "floats", len(between), "float32", "float16") == expected.tobytes()


def test_json_comes_back_with_numbers_as_they_were_written(check, tmp_path):
    text = '{"a":[1.50,-0,1e-05,9223372036854775807,null,true],"é\\u20ac\\ud83d\\ude00":"\\"\\\\\\n\\u0001/"}'
    (tmp_path / "file").write_text(f" {text} \n")
    written = check("json", tmp_path / "file").decode()
    assert json.loads(written) == json.loads(text)
    assert written.startswith('{"a":[1.50,-0,1e-05,9223372036854775807,null,true],"é€😀":')


@pytest.fixture
def phone(tmp_path: Path) -> Path:
    """The files of a phone that discharges: two clusters, sensors in thousandths and in degrees, one that is off."""
    files = {
        "sys/class/thermal/thermal_zone0/type": "cpu-0-0-usr",
        "sys/class/thermal/thermal_zone0/temp": "41200",
        "sys/class/thermal/thermal_zone1/type": "cpuss-1",
        "sys/class/thermal/thermal_zone1/temp": "47",
        "sys/class/thermal/thermal_zone2/type": "cpu-1-0-usr",
        "sys/class/thermal/thermal_zone2/temp": "-273000",
        "sys/class/thermal/thermal_zone3/type": "battery",
        "sys/class/thermal/thermal_zone3/temp": "88000",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1804800",
        "sys/devices/system/cpu/cpu7/cpufreq/scaling_cur_freq": "3187200",
        "sys/class/power_supply/usb/type": "USB",
        "sys/class/power_supply/battery/type": "Battery",
        "sys/class/power_supply/battery/status": "Discharging",
        "sys/class/power_supply/battery/capacity": "83",
        "sys/class/power_supply/battery/current_now": "-500000",
        "sys/class/power_supply/battery/voltage_now": "4000000",
        "proc/loadavg": "1.25 1.00 0.50 2/900 4321",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"{text}\n")
    return tmp_path


def test_the_state_of_a_phone_is_read(check, phone):
    assert Conditions.model_validate_json(check("conditions", phone)) == Conditions(
        at_ns=7,
        temperature_c=47,
        frequency_mhz=3187.2,
        load_average=1.25,
        battery_percent=83,
        charging=False,
        power_w=2.0,  # 0.5 A at 4 V
    )


def test_a_charged_battery_draws_less_than_nothing(check, phone):
    (phone / "sys/class/power_supply/battery/status").write_text("Charging\n")
    state = Conditions.model_validate_json(check("conditions", phone))
    assert (state.charging, state.power_w) == (True, pytest.approx(-2.0))


def test_what_a_system_does_not_tell_is_null(check, tmp_path):
    assert Conditions.model_validate_json(check("conditions", tmp_path)) == Conditions(at_ns=7)
