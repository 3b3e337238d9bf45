"""The doctor names what is missing and how to get it."""

import importlib.machinery
import json
import sys

import pytest
from fake_page import fake_runtime
from simulated_app import make_apk

from pocketgan import console, doctor, processor, targets
from pocketgan.bench.devices import phone_app
from pocketgan.cli import main
from pocketgan.errors import MissingExtraError, PocketganError, require


def fake_packages(monkeypatch, tmp_path, **versions):
    """Packages whose version file says so, beside those that are really installed."""
    real = doctor.importlib.util.find_spec

    def find(name):
        if name not in versions:
            return real(name)
        if versions[name] is None:
            return None
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "version.py").write_text(f"__version__ = '{versions[name]}'\ndebug = False\n")
        return importlib.machinery.ModuleSpec(name, None, origin=str(folder / "__init__.py"))

    monkeypatch.setattr(doctor.importlib.util, "find_spec", find)


@pytest.mark.parametrize(("torch", "vision"), [("2.13.0+cpu", "0.28.0+cu130"), ("2.13.0+cu130", "0.28.0+cpu")])
def test_a_mixed_pair_of_torch_and_torchvision_is_told_in_plain_words(monkeypatch, tmp_path, torch, vision):
    fake_packages(monkeypatch, tmp_path, torch=torch, torchvision=vision)
    with pytest.raises(PocketganError, match="Install both from one index"):
        doctor.check_torch_pair()
    assert not next(f for f in doctor.findings() if "torchvision" in f.what).ok


@pytest.mark.parametrize(
    ("torch", "vision"), [("2.13.0+cpu", "0.28.0+cpu"), ("2.13.0", "0.28.0"), ("2.13.0+cpu", None)]
)
def test_matching_and_missing_builds_pass(monkeypatch, tmp_path, torch, vision):
    fake_packages(monkeypatch, tmp_path, torch=torch, torchvision=vision)
    doctor.check_torch_pair()


@pytest.mark.parametrize(
    ("module", "what", "extra"),
    [
        ("executorch", "export to ExecuTorch", "export"),
        ("executorch", "measure ExecuTorch entries", "export"),
        ("coreai", "export to Core AI", "coreai"),
        ("cleanfid", "measure FID, KID, LPIPS and mIoU", "quality"),
        ("distributed", "spread trainings over workers (Dask)", "cluster"),
    ],
)
def test_a_missing_part_names_the_extra(monkeypatch, tmp_path, module, what, extra):
    fake_packages(monkeypatch, tmp_path, **{module: None})
    finding = next(f for f in doctor.findings() if f.what == what)
    assert not finding.ok
    assert f"pip install 'pocketgan[{extra}]'" in finding.detail
    with pytest.raises(MissingExtraError, match=rf"pocketgan\[{extra}\]"):
        require(extra, module)


@pytest.fixture
def told(monkeypatch, capsys):
    """`pocketgan doctor`: exit code and standard output."""

    def run(*options, columns=80):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "argv", ["pocketgan", "doctor", *options])
        with pytest.raises(SystemExit) as end:
            main()
        console.use_json(False)
        return end.value.code, capsys.readouterr().out

    return run


@pytest.mark.parametrize("columns", [40, 80])
def test_the_page_is_as_wide_as_the_terminal(columns, told, monkeypatch):
    monkeypatch.delenv("QNN_SDK_ROOT", raising=False)
    lines = told(columns=columns)[1].splitlines()
    # A word longer than the line is not cut: packages and commands are to be copied.
    assert all(len(line) <= columns or " " not in line.strip() for line in lines)
    assert any(line.startswith("no   export to Qualcomm") for line in lines)


def test_what_nobody_asked_for_is_no_fault(told, monkeypatch, tmp_path):
    monkeypatch.delenv("QNN_SDK_ROOT", raising=False)
    fake_packages(monkeypatch, tmp_path, cleanfid=None, coreai=None)
    code, out = told("--json")
    payload = json.loads(out)
    by_name = {finding["what"]: finding for finding in payload["findings"]}
    for what in ("export to Qualcomm's delegate", "export to Core AI", "measure FID, KID, LPIPS and mIoU"):
        assert (by_name[what]["ok"], by_name[what]["optional"]) == (False, True)
    assert payload["ok"]
    assert code == 0


def test_a_missing_part_of_every_installation_is_a_fault(told, monkeypatch, tmp_path):
    fake_packages(monkeypatch, tmp_path, onnxruntime=None)
    code, out = told("--json")
    assert not json.loads(out)["ok"]
    assert code == 1


def test_a_missing_sdk_names_the_variable_to_set(monkeypatch):
    monkeypatch.setattr(targets.sys, "platform", "linux")
    monkeypatch.setattr(targets.platform, "machine", lambda: "x86_64")
    monkeypatch.delenv("QNN_SDK_ROOT", raising=False)
    finding = next(f for f in doctor.findings() if f.what == "export to Qualcomm's delegate")
    assert not finding.ok
    assert "set QNN_SDK_ROOT to its folder" in finding.detail


@pytest.mark.parametrize(("system", "detail"), [("linux", "needs an iPhone or a Mac"), ("darwin", "coremltools")])
def test_core_ml_is_measured_on_a_mac_alone(monkeypatch, system, detail):
    pytest.importorskip("coremltools")
    monkeypatch.setattr(targets.sys, "platform", system)
    finding = next(f for f in doctor.findings() if f.what == "measure Core ML entries")
    assert finding.ok == (system == "darwin")
    assert detail in finding.detail


def adb_that_says(monkeypatch, folder, version):
    """The only adb of this computer."""
    (folder / "adb").write_text(f"#!/bin/sh\necho 'Android Debug Bridge version 1.0.41'\necho 'Version {version}'\n")
    (folder / "adb").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize(("version", "pairs"), [("29.0.6-debian", False), ("36.0.0-13206524", True)])
def test_it_says_which_adb_is_there(monkeypatch, tmp_path, version, pairs):
    adb_that_says(monkeypatch, tmp_path, version)
    found = doctor.phones()
    assert (found.ok, found.optional) == (True, True)
    assert f"adb {version} ({tmp_path / 'adb'})" in found.detail
    assert ("cannot pair over Wi-Fi" in found.detail) != pairs


def test_it_says_how_to_get_adb(monkeypatch, tmp_path):
    fake_packages(monkeypatch, tmp_path, adbutils=None)
    for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = next(f for f in doctor.findings() if f.what == "see Android phones")
    assert (found.ok, found.optional) == (False, True)
    assert "pip install 'pocketgan[android]'" in found.detail


def elf(machine):
    """The first bytes of a program for that machine, by the number of the ELF specification."""
    return b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little") + bytes(44)


def test_it_says_whether_there_is_a_runner_for_phones(monkeypatch, tmp_path):
    monkeypatch.delenv("POCKETGAN_RUNNER", raising=False)
    found = doctor.phone_runner()
    assert (found.ok, found.optional) == (False, True)
    assert "name the folder that holds pocketgan-runner and libonnxruntime.so in POCKETGAN_RUNNER" in found.detail
    monkeypatch.setenv("POCKETGAN_RUNNER", str(tmp_path))
    (tmp_path / "pocketgan-runner").write_bytes(elf(183))
    assert "has no libonnxruntime.so" in doctor.phone_runner().detail
    (tmp_path / "libonnxruntime.so").write_bytes(elf(62))
    assert "was built for arm64-v8a, and" in doctor.phone_runner().detail
    (tmp_path / "libonnxruntime.so").write_bytes(elf(183))
    assert doctor.phone_runner().ok
    assert "the native runner for arm64-v8a" in doctor.phone_runner().detail
    (tmp_path / "pocketgan-runner").write_text("#!/bin/sh\n")
    assert "is no program or library for Android phones" in doctor.phone_runner().detail


def test_it_says_whether_a_phones_browser_can_measure(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("pocketgan.bench.devices.web.runtime.folder", lambda: tmp_path / "page")
    found = doctor.browsers()
    assert (found.ok, found.optional) == (False, True)
    assert "install npm, or fetch npm's onnxruntime-web" in found.detail
    (tmp_path / "npm").touch(mode=0o755)
    assert f"fetched once, by {tmp_path / 'npm'}" in doctor.browsers().detail
    there = fake_runtime(tmp_path / "page" / "runtime")
    assert doctor.browsers().ok
    assert str(there) in doctor.browsers().detail


def test_it_says_whether_there_is_the_app_for_phones(monkeypatch, tmp_path):
    monkeypatch.setattr(phone_app, "_places", lambda: [tmp_path / "app.apk"])
    found = doctor.phone_app()
    assert (found.ok, found.optional) == (False, True)
    assert "make apk in a clone of pocketgan, or name one with --apk FILE" in found.detail
    make_apk(tmp_path / "app.apk", libraries=["lib/arm64-v8a/libonnxruntime.so", "lib/arm64-v8a/libexecutorch.so"])
    assert doctor.phone_app().ok
    assert doctor.phone_app().detail == (
        f"app 0.1.0 with ONNX Runtime and ExecuTorch for arm64-v8a ({tmp_path / 'app.apk'})"
    )
    make_apk(tmp_path / "app.apk", package="dev.other")
    assert "is the app dev.other, not org.pocketgan.harness" in doctor.phone_app().detail


AVX512 = "avx2 avx512f avx512bw avx512vl avx512dq"


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine whose processor has those features, and with what its nvidia-smi prints, if it has one."""

    def make(features, gpu=None, torch="2.13.0+cu130"):
        cpuinfo = tmp_path / "cpuinfo"
        cpuinfo.write_text(f"processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: {features}\n" if features else "")
        monkeypatch.setattr(processor, "CPUINFO", cpuinfo)
        fake_packages(monkeypatch, tmp_path, torch=torch)
        monkeypatch.setenv("PATH", str(tmp_path))
        if gpu is not None:
            (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\necho '{gpu}'\n")
            (tmp_path / "nvidia-smi").chmod(0o755)

    return make


@pytest.mark.parametrize(
    ("features", "pays", "words"),
    [
        (f"{AVX512} avx512_bf16 amx_tile amx_bf16", True, "pays on this processor (Some CPU), which has AMX"),
        (f"{AVX512} avx512_bf16", False, "may not pay on this processor (Some CPU), which has AVX-512 BF16 and no AMX"),
        (AVX512, False, "does not pay on this processor (Some CPU), which has neither AMX nor AVX-512 BF16"),
        ("avx2 fma", False, "does not pay on this processor (Some CPU)"),
        ("", False, "unknown: this system does not tell"),
    ],
)
def test_it_says_whether_bf16_pays_on_this_processor(machine, features, pays, words):
    machine(features)
    found = doctor.bf16_training()
    assert (found.ok, found.optional) == (pays, True)
    assert found.detail.startswith(words)


def test_whether_bf16_pays_stands_in_the_page_and_in_json(machine, told):
    machine("avx2 fma")
    by_name = {finding["what"]: finding for finding in json.loads(told("--json")[1])["findings"]}
    assert not by_name["train faster with precision: bf16"]["ok"]
    assert "no   train faster with precision: bf16: does not pay" in told(columns=120)[1]


@pytest.mark.parametrize(
    ("gpu", "torch", "pays", "words"),
    [
        ("NVIDIA H100 80GB HBM3, 9.0", "2.13.0+cu130", True, "pays on this GPU (NVIDIA H100 80GB HBM3)"),
        ("Tesla T4, 7.5", "2.13.0+cu130", False, "does not pay on this GPU (Tesla T4)"),
        ("Tesla T4, 7.5", "2.13.0+cpu", True, "pays on this processor"),
        ("No devices were found", "2.13.0+cu130", True, "pays on this processor"),
    ],
)
def test_it_says_whether_bf16_pays_on_the_gpu_that_torch_would_train_on(machine, gpu, torch, pays, words):
    machine(f"{AVX512} avx512_bf16 amx_tile amx_bf16", gpu, torch)
    found = doctor.bf16_training()
    assert found.ok == pays
    assert found.detail.startswith(words)
