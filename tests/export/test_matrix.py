"""Every family in every form: one bundle each, which verifies. `make bench` runs all and prints the tables of
docs/export.md; `make test` runs one family in the forms that are quick."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("executorch")
pytest.importorskip("coremltools")

import torch

from pocketgan.bench.check import verify_bundle
from pocketgan.bench.devices.local import LocalDevice
from pocketgan.bundle.check import check
from pocketgan.errors import PocketganError
from pocketgan.export.bundles import BundleRequest, export_bundle
from pocketgan.export.golden import MOST_PICTURE_CHANNELS, label_maps, natural_images
from pocketgan.export.source import from_file
from pocketgan.export.targets import TARGETS
from pocketgan.training.generators import build, spec_by_name
from pocketgan.training.generators.files import save_generator

# Sides in pixels: small, and what the family takes.
FAMILIES = {
    "resnet9": 64,
    "unet256": 256,
    "mobile-resnet9": 64,
    "pix2pixhd": 64,
    "gaugan": 64,
    "incres9": 64,
    "incres-spade": 64,
    "e2gan": 64,
}
# The least that int4 takes.
NGF = 8
QUICK = [("onnx", "fp32"), ("onnx", "int8"), ("coreml", "fp16"), ("coreml", "8bit")]


def _missing(target):
    """Why this host cannot write the target's files."""
    try:
        target.check_installed()
    except PocketganError as error:
        return str(error)
    return None


def _bundle(name, forms, folder, liven):
    side = FAMILIES[name]
    spec = spec_by_name(name, ngf=NGF, height=side, width=side)
    shape = (spec.input_channels, side, side)
    pictures = shape[0] <= MOST_PICTURE_CHANNELS
    images = natural_images(*shape, count=8) if pictures else _moved(label_maps(*shape))
    model = folder.with_suffix(".safetensors")
    save_generator(model, liven(build(spec), torch.from_numpy(images)), spec, {})
    request = BundleRequest(
        model=from_file(model),
        folder=folder,
        name=name,
        role="unpruned",
        targets=forms,
        calibration=images,
        golden_inputs=images[:1],
        trained=False,
    )
    manifest = export_bundle(request)
    assert check(folder) == []
    assert verify_bundle(folder, LocalDevice()) == []
    assert {(entry.target, entry.precision) for entry in manifest.entries} == set(forms)
    return manifest


def _moved(maps):
    """Eight label maps of one, which lie apart enough for the statistics of norms at a pixel or two."""
    return np.concatenate([np.roll(maps, (8 * number, 12 * number), (2, 3)) for number in range(8)])


def _row(entry):
    parity = "on the phone"
    if entry.parity is not None:
        parity = "exact" if entry.parity.psnr_db is None else f"{entry.parity.psnr_db:.1f}"
    taken = entry.delegation
    delegated = f"{taken.delegated_fraction:.0%} in {taken.subgraphs}" if taken is not None else ""
    return f"| {entry.id} | {entry.bytes / 1e3:,.0f} | {parity} | {delegated} |"


@pytest.mark.slow
def test_one_family_in_the_quick_forms(liven, tmp_path):
    _bundle("e2gan", QUICK, tmp_path / "bundle", liven)


@pytest.mark.heavy
@pytest.mark.parametrize("name", FAMILIES)
def test_every_form_of_every_family(name, liven, tmp_path):
    missing = {target.name: _missing(target) for target in TARGETS.values()}
    forms = [
        (target.name, precision)
        for target in TARGETS.values()
        for precision in target.precisions
        if not missing[target.name]
    ]
    manifest = _bundle(name, forms, tmp_path / "bundle", liven)
    side = FAMILIES[name]
    print(f"\n{name}, ngf {NGF}, {side}x{side}\n\n| entry | kB | dB | delegated |\n|---|---:|---:|---|")
    for entry in manifest.entries:
        print(_row(entry))
    for target, why in missing.items():
        if why:
            print(f"left out: {target}: {why}")
    for entry in manifest.entries:
        # How well fewer bits hold depends on the weights, which are random here.
        assert entry.parity is None or entry.parity.passed or entry.precision not in ("fp32", "mixed"), entry.id
        if entry.id in ("coreml-fp32", "executorch-coreml-fp32"):
            assert entry.parity.max_abs_error <= 1e-5
