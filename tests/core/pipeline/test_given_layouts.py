"""From a trained file to a measured student in one recipe: every public layout, an ONNX file, a bundle, a function."""

import json

import numpy as np
import public_cat
import public_pix2pix
import pytest
import torch
from PIL import Image
from trained_weights import seeded

from pocketgan.bundle.reader import open_bundle
from pocketgan.pipeline.processes import OneProcess
from pocketgan.pipeline.resume import run_stages
from pocketgan.pipeline.stage import facts_of
from pocketgan.pipeline.way import STAGES, check_before
from pocketgan.recipe.reading import load_recipe
from pocketgan.training.generators.files import load_generator

DISTILL = """
distill: {steps: 1, batch_size: 2}
"""
REST = """
export: {targets: [onnx]}
bundle: {}
bench: {iterations: 2, rounds: 1, runs: 1, warmup_iterations: 1}
report: {}
"""
PHOTOS = """
resolution: SIZE
data: {kind: photos, folder: data/photo}
teacher: {generator: FAMILY, weights: net.pth, ndf: 4}
compress: {student: STUDENT, budget: BUDGET, by: macs, least_width: 4}
"""
# Five classes and one channel for unknown pixels.
LABELS = """
resolution: 64
data: {kind: label, folder: data, classes: CLASSES}
teacher: {PROGRAM, generator: FAMILY, weights: net.pth, lambda_vgg: 0, ndf: 4}
compress: {student: STUDENT, budget: BUDGET, by: macs, least_width: 4}
"""


def photos(family, student="incres9", size=32, budget="8M"):
    return (
        PHOTOS.replace("FAMILY", family)
        .replace("STUDENT", student)
        .replace("SIZE", str(size))
        .replace("BUDGET", budget)
    )


def labels(family, student, classes, budget, program="pix2pix"):
    text = LABELS.replace("FAMILY", family).replace("STUDENT", student).replace("BUDGET", budget)
    return text.replace("CLASSES", str(classes)).replace("PROGRAM", f"program: {program}")


PIX2PIX, CAT = public_pix2pix.SOURCES, public_cat.SOURCES
LAYOUTS = {
    "pix2pix and CycleGAN's ResNet": (PIX2PIX["resnet9"][1], photos("resnet9")),
    "pix2pix's U-Net": (PIX2PIX["unet128"][1], photos("unet128", "unet128", 128, "40M")),
    "GAN Compression and OMGD's ResNet": (CAT["GAN Compression's student"][1], photos("mobile-resnet9")),
    "CAT's": (CAT["CAT, batch norm"][1], photos("incres9")),
    "pix2pixHD's": (PIX2PIX["pix2pixhd"][1], labels("pix2pixhd", "incres9", 5, "40M")),
    "SPADE's": (PIX2PIX["gaugan"][1], labels("gaugan", "incres-spade", 6, "60M", "gaugan")),
    "CAT's SPADE": (CAT["CAT's SPADE"][1], labels("incres-spade", "incres-spade", 4, "60M", "gaugan")),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with scenes: photos, and label maps of equal names."""
    for split, count in (("train", 2), ("val", 1)):
        for index in range(count):
            random = np.random.default_rng(index)
            photo, label = random.integers(0, 256, (40, 40, 3), np.uint8), random.integers(0, 4, (40, 40), np.uint8)
            for side, pixels in (("photo", photo), ("label", label)):
                (tmp_path / "data" / side / split).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(tmp_path / "data" / side / split / f"{index}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(folder, text, name="run", rest=REST):
    (folder / "r.yaml").write_text(f"name: {name}\n{text}{DISTILL}{rest}")
    recipe = load_recipe(str(folder / "r.yaml"))
    run_stages(recipe, STAGES, folder / name, None, OneProcess(), check_before)
    return folder / name


def assert_the_student_was_measured(run, origin):
    with open_bundle(run / f"bundle/{run.name}-student.pgb") as bundle:
        assert bundle.manifest.teacher.file == origin
    records = [json.loads(line) for line in (run / "bench/results.jsonl").read_text().splitlines()]
    measured = {record["bundle_name"] for record in records if record["record"] == "result" and record["frames"]}
    assert {f"{run.name}-student", f"{run.name}-teacher"} <= measured
    assert origin in (run / "report/report.html").read_text()


def given(folder, layout):
    """Write a trained generator of that layout; the recipe that begins with it."""
    make, text = LAYOUTS[layout]
    torch.save(seeded(make()).state_dict(), folder / "net.pth")
    return text


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_trained_generator_of_every_layout_comes_to_a_student(layout, folder):
    done = run(folder, given(folder, layout), rest="")
    assert load_generator(done / "distill/generator.safetensors").trained
    assert facts_of(done, "distill")["to_teacher_l1"] > 0


# The way from there on does not know the layout: `make bench` goes it with all of them, `make test` with one.
@pytest.mark.parametrize(
    "layout",
    [
        pytest.param(layout, marks=pytest.mark.heavy if index else pytest.mark.slow)
        for index, layout in enumerate(LAYOUTS)
    ],
)
def test_a_trained_generator_of_every_layout_comes_to_a_measured_student(layout, folder):
    assert_the_student_was_measured(run(folder, given(folder, layout)), "net.pth")


@pytest.mark.slow
def test_an_onnx_file_and_then_its_bundle_come_to_measured_students(folder):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(4, 3, 1))
    network = torch.nn.Sequential(seeded(network), torch.nn.Tanh()).eval()
    torch.onnx.export(network, (torch.zeros(1, 3, 32, 32),), folder / "net.onnx", dynamo=True, verbose=False)
    text = photos("GIVEN").replace("generator: GIVEN, weights: net.pth", "weights: net.onnx")
    first = run(folder, text)
    assert_the_student_was_measured(first, "net.onnx")
    text = text.replace("net.onnx", str(first / "bundle/run-teacher.pgb"))
    assert_the_student_was_measured(run(folder, text, "again"), "run-teacher.pgb")


@pytest.mark.slow
def test_a_function_comes_to_a_measured_student(folder, monkeypatch):
    (folder / "given.py").write_text(
        "from torch import nn\n\ndef net():\n    return nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Tanh())\n"
    )
    monkeypatch.syspath_prepend(folder)
    text = photos("given:net").replace("generator: given:net, weights: net.pth", 'generator: "given:net"')
    assert_the_student_was_measured(run(folder, text), "given:net")
