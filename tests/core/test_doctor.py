"""The doctor names what is missing and how to get it."""

import importlib.machinery

import pytest

from pocketgan import doctor, targets
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
    ],
)
def test_a_missing_part_names_the_extra(monkeypatch, tmp_path, module, what, extra):
    fake_packages(monkeypatch, tmp_path, **{module: None})
    finding = next(f for f in doctor.findings() if f.what == what)
    assert not finding.ok
    assert f"pip install 'pocketgan[{extra}]'" in finding.detail
    with pytest.raises(MissingExtraError, match=rf"pocketgan\[{extra}\]"):
        require(extra, module)


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
