"""Recipes that begin with a trained teacher of every kind, at tiny size; nothing is trained that is there."""

import hashlib
import importlib
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pocketgan.errors import ModelError, PocketganError, RecipeError
from pocketgan.pipeline.processes import OneProcess
from pocketgan.pipeline.resume import run_stages
from pocketgan.pipeline.stage import read_stage
from pocketgan.pipeline.way import STAGES, check_before, check_recipe
from pocketgan.recipe.reading import load_recipe
from pocketgan.training.generators import build, spec_by_name
from pocketgan.training.generators.files import load_generator, save_generator

SIZE = 32
RECIPE = """
name: given
resolution: 32
data: {kind: photos, folder: photos}
teacher: {TEACHER}
compress: {student: incres9, budget: 4M, by: macs, least_width: 4}
distill: {steps: 2, batch_size: 2, lambda_gan: 0}
"""
OWN = """
import torch
from torch import nn

def net():
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1), nn.Tanh())

class Tapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = net()
    def forward(self, x):
        return self.net(x)
    def forward_with_features(self, x):
        return self.net(x), [self.net[0](x)]

def tapped():
    return Tapped()

class Turned(nn.Module):
    def forward(self, x):
        return -x

def turned():
    return Turned()

class Halved(nn.Module):
    def forward(self, x):
        return (x + 1) / 2

def halved():
    return Halved()

def grey():
    network = net().requires_grad_(False)
    network[2].weight.zero_()
    return network
"""


class Negative(nn.Module):
    """Turns a picture's colours round, in values of 0 to 255."""

    def forward(self, x):
        return 255 - x


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with ten photos and a module of the user's own."""
    (tmp_path / "photos").mkdir()
    for index in range(10):
        pixels = np.random.default_rng(index).integers(0, 256, (5, 6, 3), np.uint8)
        Image.fromarray(pixels).resize((48, 40), Image.Resampling.BICUBIC).save(tmp_path / f"photos/{index}.jpg")
    (tmp_path / "ours.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def write(folder, teacher, *settings):
    (folder / "r.yaml").write_text(RECIPE.replace("TEACHER", teacher))
    return load_recipe(str(folder / "r.yaml"), settings)


def run(recipe, folder, name="run"):
    run_stages(recipe, STAGES, folder / name, None, OneProcess(), check_before)
    return folder / name


def facts(run, stage):
    return read_stage(run, stage)["facts"]


def onnx_file(module, path, size=SIZE):
    torch.onnx.export(module.eval(), (torch.zeros(1, 3, size, size),), path, dynamo=True, verbose=False)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save_model(path, name="incres9", ngf=6, **more):
    spec = spec_by_name(name, ngf=ngf, height=SIZE, width=SIZE, **more)
    save_generator(path, build(spec, 4), spec, {"trained": "yes"})
    return spec


def test_a_model_file_teaches_the_student_that_is_pruned_from_it(folder):
    spec = save_model(folder / "teacher.safetensors", norm="instance-affine")
    done = run(write(folder, "weights: teacher.safetensors", "compress.student=null", "compress.budget=1.5M"), folder)
    taken = load_generator(done / "teacher/generator.safetensors")
    assert taken.spec == spec
    expected = build(spec, 4).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in taken.module.state_dict().items())
    assert load_generator(done / "distill/generator.safetensors").spec.norm == "instance-affine"
    assert facts(done, "teacher")["origin"] == {
        "kind": "weights",
        "file": "teacher.safetensors",
        "sha256": hashlib.sha256((folder / "teacher.safetensors").read_bytes()).hexdigest(),
    }
    assert set(facts(done, "distill")) == {"to_teacher_l1", "identity_to_teacher_l1"}
    assert {path.stem for path in (done / "distill/rows/0").iterdir()} == {"input", "teacher", "output"}


def test_a_teacher_that_cannot_be_pruned_teaches_a_member_of_a_family(folder, capsys):
    save_model(folder / "teacher.safetensors", "resnet9", ngf=4)
    done = run(write(folder, "weights: teacher.safetensors"), folder)
    student = load_generator(done / "distill/generator.safetensors")
    assert student.spec.family == "incres"
    widths = {student.spec.widths[f"block{index}.plain3"] for index in range(1, 10)}
    assert max(widths) - min(widths) <= 1  # even, but for what fills the budget
    assert "by its pictures alone" not in capsys.readouterr().err  # both have taps where the other has


def test_the_families_features_lie_elsewhere_and_the_pictures_teach_alone(folder, capsys):
    save_model(folder / "teacher.safetensors", "resnet9", ngf=4)
    recipe = write(folder, "weights: teacher.safetensors", "compress.student=unet128", "resolution=128")
    run(recipe.model_copy(update={"compress": recipe.compress.model_copy(update={"budget": 40e6})}), folder)
    assert "features lie elsewhere than the student's; it teaches by its pictures alone" in capsys.readouterr().err


@pytest.mark.parametrize("function", ["net", "tapped"])
def test_an_own_function_that_brings_its_weights_teaches(folder, function):
    done = run(write(folder, f'generator: "ours:{function}"'), folder)
    assert facts(done, "teacher")["origin"]["file"] == f"ours:{function}"
    assert facts(done, "compress")["teacher_macs"] == SIZE * SIZE * (3 * 4 * 9 + 4 * 3)
    assert load_generator(done / "distill/generator.safetensors").trained


def test_an_own_function_without_weights_teaches_too(folder):
    done = run(write(folder, 'generator: "ours:turned"'), folder)
    assert facts(done, "compress")["teacher_macs"] == 0
    both = [np.asarray(Image.open(done / f"teacher/rows/0/{name}.png"), np.int16) for name in ("input", "output")]
    assert np.abs(both[0] + both[1] - 255).max() <= 1


def test_an_own_function_of_another_range_is_refused_and_a_grey_one_noted(folder, capsys):
    with pytest.raises(ModelError, match=r"ours:halved gives values from 0.* to .* where -1 .* let it scale them"):
        run(write(folder, 'generator: "ours:halved"'), folder)
    run(write(folder, 'generator: "ours:grey"', "distill=null", "compress=null"), folder, "grey")
    assert "ours:grey gives one colour, or nearly, for every picture" in capsys.readouterr().err


@pytest.mark.parametrize("prefix", ["", "module.", "net_G."])
def test_an_own_function_takes_the_weights_of_a_file(folder, prefix):
    ours = importlib.import_module("ours")
    state = ours.net().state_dict()
    weights = {f"{prefix}{name}": torch.full_like(value, -0.25) for name, value in state.items()}
    discriminator = {"net_D.0.weight": torch.zeros(3)} if prefix == "net_G." else {}
    torch.save({"state_dict": {**weights, **discriminator}, "epoch": 3}, folder / "net.pth")
    done = run(write(folder, 'generator: "ours:net", weights: net.pth'), folder)
    from safetensors.torch import load_file

    taken = load_file(done / "teacher/generator.safetensors")
    assert all(bool((value == -0.25).all()) for value in taken.values())
    assert facts(done, "teacher")["origin"]["file"] == "ours:net, net.pth"


def test_an_onnx_file_teaches_by_the_pictures_that_it_drew(folder):
    digest = onnx_file(Negative(), folder / "negative.onnx")
    recipe = write(folder, "weights: negative.onnx, range: [0, 255]", "distill.lambda_gan=1", "teacher.ndf=4")
    done = run(recipe, folder)
    drawn = sorted((done / "teacher/pictures").rglob("*.png"))
    assert len(drawn) == 10
    both = np.asarray(Image.open(drawn[0]), np.int16)
    assert both.shape == (SIZE, 2 * SIZE, 3)
    assert np.abs(both[:, :SIZE] + both[:, SIZE:] - 255).max() <= 1
    assert facts(done, "teacher")["origin"] == {"kind": "onnx", "file": "negative.onnx", "sha256": digest}
    assert {path.stem for path in (done / "distill/rows/0").iterdir()} == {"input", "teacher", "output"}
    assert (done / "distill/discriminator.safetensors").is_file()
    drawn[0].unlink()  # a stage that is not whole is done again, and draws what is missing alone
    again = run(recipe, folder)
    assert len(sorted((again / "teacher/pictures").rglob("*.png"))) == 10


def test_pairs_say_how_far_an_onnx_teacher_and_its_student_are_from_their_targets(folder):
    onnx_file(Negative(), folder / "negative.onnx")
    recipe = write(
        folder, "weights: negative.onnx, range: [0, 255]", "data={source: builtin, train_crops: 4, val_crops: 2}"
    )
    done = run(recipe, folder)
    assert set(facts(done, "teacher")) == {"origin", "l1"}
    known = {"l1", "teacher_l1", "identity_l1", "to_teacher_l1", "identity_to_teacher_l1"}
    assert set(facts(done, "distill")) == known
    assert facts(done, "distill")["teacher_l1"] == facts(done, "teacher")["l1"]


def test_another_file_of_the_same_name_is_another_teacher_and_asks_for_no_restart(folder):
    save_model(folder / "teacher.safetensors")
    recipe = write(folder, "weights: teacher.safetensors", "distill=null", "compress=null")
    run(recipe, folder)
    save_model(folder / "teacher.safetensors", ngf=8)
    done = run(recipe, folder)
    assert load_generator(done / "teacher/generator.safetensors").spec.widths["stem"] == 8


@pytest.mark.parametrize("teacher", ["weights: negative.onnx, range: [0, 255]", "generator: 'ours:turned'"])
def test_the_best_student_is_chosen_on_images_that_it_never_learns(folder, teacher):
    onnx_file(Negative(), folder / "negative.onnx")
    chosen = ["distill.evaluate_every=1", "distill.ship=best", "distill.best_by=l1"]
    done = run(write(folder, teacher, *chosen), folder)
    evaluations = facts(done, "distill")["evaluations"]
    assert [row["step"] for row in evaluations["values"]] == [1, 2]
    assert evaluations["images"] == 1  # 15 % of nine photos
    best = min(evaluations["values"], key=lambda row: row["l1"])
    assert evaluations["shipped_step"] == best["step"]


@pytest.mark.parametrize(
    ("teacher", "settings", "message"),
    [
        ("weights: t.safetensors, steps: 3", [], "not trained again: remove steps"),
        ("ngf: 4", [], "steps is missing, 1 at least; or name a teacher that is trained"),
        ("steps: 3, ngf: 4", [], "data.kind photos has no targets"),
        ("weights: t.safetensors, range: [0, 1]", [], "range is of an .onnx teacher"),
        ("weights: t.onnx, range: [1, 0]", [], r"expected \[low, high\]"),
        ("weights: t.onnx", ["compress.student=null"], "cannot prune t.onnx: .* compress.student: incres9"),
        ("weights: t.onnx", ["distill.target=data"], "t.onnx teaches by its pictures"),
        ("weights: t.pth, generator: resnet9", ["distill.target=data"], "photos have none"),
        ("weights: t.onnx, program: gaugan", ["data={kind: label, classes: 3}"], "teacher.program pix2pix"),
        ("weights: t.onnx", ["data={kind: label, classes: 3}"], "learns from data.kind paired or photos or unpaired"),
        ("weights: t.onnx", ["compress.inherit=true"], "one of a family starts fresh"),
        ("weights: t.onnx, evaluate_every: 2", [], "teacher.evaluate_every measures a training"),
    ],
)
def test_recipes_whose_teacher_does_not_fit_are_refused(folder, teacher, settings, message):
    with pytest.raises(RecipeError, match=message):
        write(folder, teacher, *settings)


@pytest.mark.parametrize(
    ("teacher", "settings", "message"),
    [
        ("weights: none.onnx", [], "teacher.weights: there is no file none.onnx"),
        ("weights: resnet.safetensors, generator: incres9", [], "family resnet with 9 blocks, no incres9; leave"),
        ("weights: state.pth", [], "does not say which network it is for: name it, such as teacher.generator"),
        (
            "weights: state.pth, generator: resnet9",
            [],
            "does not hold a resnet9: missing model.1.weight.*; unexpected 0.bias",
        ),
        ("weights: labels.safetensors", [], "takes 5 channels, and the recipe's data give 3"),
        ("weights: resnet.safetensors", ["compress.student=null"], "cannot be pruned: its norms .* compress.student"),
        ("weights: resnet.safetensors", ["compress.student=resnet9"], "the norms of resnet9 .* choose incres9"),
        ("weights: resnet.safetensors", ["compress.student=net"], "no generator is called 'net'"),
        ("weights: resnet.safetensors", ["compress.student=unet256"], "multiples of 256"),
    ],
)
def test_a_teacher_that_cannot_be_used_is_told_before_anything_is_done(folder, teacher, settings, message):
    ours = importlib.import_module("ours")
    save_model(folder / "resnet.safetensors", "resnet9", ngf=4)
    save_model(folder / "labels.safetensors", input_channels=5)
    torch.save(ours.net().state_dict(), folder / "state.pth")
    with pytest.raises(PocketganError, match=message):
        check_recipe(write(folder, teacher, *settings))


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ('generator: "ours:net", weights: script.pt', "script.pt is a TorchScript program, not weights"),
        ('generator: "ours:net", weights: wrong.pth', r"missing: 0.weight; unexpected: first; of other shapes: 2.bias"),
        ("weights: small.onnx", "small.onnx takes pictures of 16x16 pixels alone, not 32x32"),
    ],
)
def test_what_only_a_call_can_tell_is_told_before_the_data_are_read(folder, teacher, message):
    ours = importlib.import_module("ours")
    state = ours.net().state_dict()
    torch.save({"first": state.pop("0.weight"), **state, "2.bias": torch.zeros(5)}, folder / "wrong.pth")
    torch.jit.script(ours.net()).save(folder / "script.pt")
    onnx_file(Negative(), folder / "small.onnx", size=16)
    with pytest.raises(ModelError, match=message):
        run(write(folder, teacher), folder)
    assert not (folder / "run/data").exists()


def test_a_recipe_s_range_is_doubted_by_the_pictures_themselves(folder):
    onnx_file(Negative(), folder / "negative.onnx")
    with pytest.raises(ModelError, match=r"teacher.range: \[0, 255\]"):
        run(write(folder, "weights: negative.onnx"), folder)
    assert json.loads((folder / "run/data/stage.json").read_text())["facts"] == {"train": 9, "val": 1}


@pytest.mark.heavy
def test_an_onnx_file_teaches_nearly_as_well_as_its_network_with_features(folder):
    """Some ten minutes on one core."""
    settings = ["compress=null", "distill=null", "export=null", "bundle=null", "bench=null", "report=null"]
    trained = run(load_recipe("demo", settings), folder, "trained") / "teacher/generator.safetensors"
    torch.onnx.export(
        load_generator(trained).module, (torch.zeros(1, 3, 128, 128),), folder / "t.onnx", dynamo=True, verbose=False
    )
    found = {}
    for name, weights, features in (("network", trained, "target: teacher, "), ("file", folder / "t.onnx", "")):
        (folder / "r.yaml").write_text(f"""
name: {name}
resolution: 128
data: {{source: builtin, effect: ink, train_crops: 360, val_crops: 24}}
teacher: {{weights: {weights}}}
compress: {{student: incres9, budget: 110M, by: macs, widths: 8}}
distill: {{{features}lambda_gan: 0, crop: 64, steps: 600, batch_size: 4, learning_rate: 1.0e-3,
  adam_betas: [0.9, 0.99], decay: 1}}
""")
        found[name] = facts(run(load_recipe(str(folder / "r.yaml")), folder, name), "distill")["to_teacher_l1"]
    network, file = found["network"], found["file"]
    print(
        f"\nL1 to the teacher on validation images after 600 steps: {network:.4f} of the network with features, "
        f"{file:.4f} of its ONNX file alone: {file / network:.2f} times"
    )
    assert file <= 1.25 * network
