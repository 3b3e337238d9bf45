"""What is asked of a device that has it not: one line that says what to do, before anything is measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_phone import FakePhone, Phone, Time

from pocketgan.bench.compare import compare_bundles
from pocketgan.bench.devices.local import LocalDevice
from pocketgan.bench.jobs import JobOptions, options_on, runnable_entries
from pocketgan.bench.session import measure
from pocketgan.bundle.reader import open_bundle
from pocketgan.errors import DeviceError

CAMERA: dict[str, Any] = {"mode": "camera", "duration_s": 5.0}


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"via": "shell"}, "--via shell is a way on a phone: --device android:SERIAL"),
        (CAMERA, "--mode camera needs the camera and the screen of a phone: --device android:SERIAL"),
        ({"provider": "nnapi"}, "--provider nnapi asks a phone: --device android:SERIAL"),
        ({"clock": "pinned"}, "--clock pinned holds the clock of a phone: --device android:SERIAL"),
        ({"energy": True, "mode": "sustained"}, "--energy reads the battery of a phone: --device android:SERIAL"),
    ],
)
def test_this_computer_says_which_device_has_it(
    make_bundle: Callable[..., Path], tmp_path: Path, asked: dict[str, Any], says: str
) -> None:
    results = tmp_path / "results.jsonl"
    with pytest.raises(DeviceError, match=says):
        measure([make_bundle()], LocalDevice(), JobOptions(**asked), results)
    assert not results.exists()


def test_a_comparison_refuses_it_as_well(make_bundle: Callable[..., Path]) -> None:
    one, other = make_bundle("one"), make_bundle("other")
    with pytest.raises(DeviceError, match="--clock pinned holds the clock of a phone"):
        compare_bundles(one, other, LocalDevice(), JobOptions(clock="pinned"), {"p50": 0.03}, 10)


def phone(os: str = "Android 16") -> Phone:
    class OfThisAndroid(Phone):
        def describe(self) -> Any:
            return super().describe().model_copy(update={"os": os})

    return OfThisAndroid(FakePhone(Time()))


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (CAMERA, "needs the app, which has a camera and a screen; use --via app"),
        ({"energy": True, "mode": "sustained"}, "needs the app, which may read the battery's gauge; use --via app"),
    ],
)
def test_a_phones_shell_says_that_the_app_has_it(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(DeviceError, match=says):
        options_on(phone(), JobOptions(via="shell", **asked))
    assert options_on(phone(), JobOptions(**asked)).via == "app"


def test_a_phones_shell_holds_the_clock_and_asks_for_providers() -> None:
    asked = options_on(phone(), JobOptions(via="shell", provider="xnnpack", clock="pinned"))
    assert (asked.via, asked.provider, asked.clock) == ("shell", "xnnpack", "pinned")


@pytest.mark.parametrize("mode", ["latency", "throughput"])
def test_energy_takes_a_run_that_lasts(mode: Any) -> None:
    with pytest.raises(DeviceError, match="--energy needs --mode sustained or --mode camera"):
        options_on(phone(), JobOptions(mode=mode, energy=True))


@pytest.mark.parametrize(("os", "told"), [("Android 14", False), ("Android 15", True), ("Android 16", True)])
def test_nnapi_is_said_to_be_deprecated_since_android_15(os: str, told: bool, capsys: Any) -> None:
    options_on(phone(os), JobOptions(provider="nnapi"))
    assert ("NNAPI is deprecated since Android 15" in capsys.readouterr().err) is told


def test_entries_that_cannot_take_a_provider_are_left_out(make_bundle: Callable[..., Path]) -> None:
    with open_bundle(make_bundle()) as bundle:
        device = phone()
        for provider in ("default", "cpu", "xnnpack", "nnapi", "qnn"):
            assert [entry.id for entry in runnable_entries(bundle, device, None, provider)] == ["onnx-fp32"]
        with pytest.raises(
            DeviceError,
            match="provider vulkan cannot be asked of onnx-fp32: export for executorch-vulkan, or leave out --provider",
        ):
            runnable_entries(bundle, device, None, "vulkan")


def test_an_executorch_program_computes_with_what_it_was_exported_for(make_bundle: Callable[..., Path]) -> None:
    class OfBoth(Phone):
        def runs(self, entry: Any) -> bool:
            return True

    with open_bundle(make_bundle()) as bundle:
        (onnx,) = bundle.manifest.entries
        pte = onnx.model_copy(
            update={"id": "executorch-xnnpack-fp32", "target": "executorch-xnnpack", "runtime": "executorch"}
        )
        bundle.manifest.entries[:] = [pte]
        device = OfBoth(FakePhone(Time()))
        assert runnable_entries(bundle, device, None, "xnnpack") == [pte]
        with pytest.raises(
            DeviceError, match="provider nnapi cannot be asked of executorch-xnnpack-fp32: export for onnx"
        ):
            runnable_entries(bundle, device, None, "nnapi")
        bundle.manifest.entries[:] = [pte, onnx]
        assert runnable_entries(bundle, device, None, "nnapi") == [onnx]
