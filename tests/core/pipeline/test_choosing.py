"""Images kept for choosing: the same ones always, never trained on, and the best network by them ships."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from pocketgan.errors import DataError, MissingExtraError, ModelError, RecipeError
from pocketgan.pipeline import data, report, teacher
from pocketgan.pipeline.choosing import apart
from pocketgan.pipeline.digest import settings_of
from pocketgan.pipeline.images import Split
from pocketgan.pipeline.processes import OneProcess
from pocketgan.pipeline.resume import run_stages
from pocketgan.pipeline.stage import read_stage
from pocketgan.pipeline.way import STAGES, check_before
from pocketgan.recipe.reading import load_recipe
from pocketgan.training.data.paired import PairedImages
from pocketgan.training.evaluator import Evaluator

RECIPE = """
name: tiny
resolution: 32
data: {source: builtin, train_crops: 20, val_crops: 2}
teacher: {generator: resnet6, ngf: 2, ndf: 2, steps: 6, decay: 0, checkpoint_every: 2, evaluate_every: 2}
"""
BEST = ("teacher.ship=best", "teacher.best_by=l1")
CYCLEGAN = """
name: tiny
resolution: 32
data: {kind: unpaired}
teacher:
  {program: cyclegan, generator: resnet6, norm: instance-affine, ngf: 4, ndf: 4, steps: 2, evaluate_every: 1,
   evaluate: [kid], ship: best, best_by: kid, inception: INCEPTION}
compress: {budget: 1M, by: macs, least_width: 2}
distill: {steps: 2, batch_size: 2, similarity: mse, evaluate_every: 2}
"""


@pytest.fixture
def recipe(tmp_path):
    def load(*settings, text=RECIPE):
        (tmp_path / "r.yaml").write_text(text)
        return load_recipe(str(tmp_path / "r.yaml"), settings)

    return load


@pytest.fixture
def go(recipe, tmp_path):
    """Runs data and teacher with settings, in the folder `run` unless told otherwise; the teacher's facts."""

    def run(*settings, out="run", check=check_before):
        run_stages(recipe(*settings), (data.STAGE, teacher.STAGE), tmp_path / out, None, OneProcess(), check)
        return read_stage(tmp_path / out, "teacher")["facts"]

    return run


@pytest.fixture
def scripted(monkeypatch):
    """Evaluations that find these L1 distances, one after the other."""

    def script(*values):
        found = iter(values)
        monkeypatch.setattr(Evaluator, "__call__", lambda self, generate: {"l1": next(found)})

    return script


@pytest.fixture
def extractor(tmp_path):
    """A TorchScript file that takes what Inception takes and returns 3 features."""

    class Means(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean([2, 3])

    torch.jit.script(Means()).save(str(tmp_path / "means.pt"))
    return tmp_path / "means.pt"


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_fifteen_percent_are_kept_the_same_for_a_seed_whatever_is_added():
    names = [[f"{number}.png"] for number in range(100)]
    trained, kept = apart(Split(names), seed=0)
    assert len(kept.items) == 15
    assert {name for (name,) in [*trained.items, *kept.items]} == {name for (name,) in names}
    assert len(trained.items) == 85
    assert apart(Split(names), seed=0)[1] == kept
    assert apart(Split(names), seed=1)[1] != kept
    more = apart(Split([*names, ["new.png"]]), seed=0)[1]
    assert len([item for item in more.items if item in kept.items]) >= 14


def test_of_few_images_one_is_kept_and_of_unpaired_ones_both_halves_of_a_file():
    assert len(apart(Split([["a"], ["b"]]), 0)[1].items) == 1
    both = {side: [[f"{n}.png", half] for n in range(20)] for side, half in (("A", "left"), ("B", "right"))}
    kept = apart(Split(domains=both), 0)[1].domains
    assert [name for name, _ in kept["A"]] == [name for name, _ in kept["B"]]
    assert len(kept["A"]) == 3


def test_kept_images_are_never_trained_on_and_are_recorded(go, monkeypatch, tmp_path):
    seen = set()
    sample = PairedImages.sample

    def seeing(self, index, random):
        seen.add(self.pairs[index].a.name)
        return sample(self, index, random)

    monkeypatch.setattr(PairedImages, "sample", seeing)
    evaluations = go("teacher.steps=1", "teacher.batch_size=17")["evaluations"]
    kept = {name.removeprefix("train/") for name in evaluations["kept_images"]}
    assert len(kept) == evaluations["images"] == 3
    assert seen == {f"{number:05d}.png" for number in range(20)} - kept
    seen.clear()
    go("teacher.evaluate_every=null", "teacher.steps=1", "teacher.batch_size=20", out="all")
    assert len(seen) == 20


def test_the_best_network_ships_and_is_that_of_a_training_that_stopped_there(go, scripted, tmp_path, capsys):
    def networks(out):
        return [
            load_file(tmp_path / out / "teacher" / f"{name}.safetensors") for name in ("generator", "discriminator")
        ]

    scripted(0.3, 0.1)
    assert go("teacher.steps=4", out="stopped")["evaluations"]["shipped_step"] == 4
    scripted(0.3, 0.1, 0.2)
    evaluations = go(*BEST)["evaluations"]
    assert (evaluations["shipped_step"], evaluations["best_by"]) == (4, "l1")
    assert all(map(same, networks("run"), networks("stopped")))
    with safe_open(tmp_path / "run" / "teacher" / "generator.safetensors", "pt") as file:
        assert json.loads(file.metadata()["pocketgan"])["steps"] == "4"
    # So does a longer training, which goes on from this one.
    scripted(0.4)
    evaluations = go(*BEST, "teacher.steps=8")["evaluations"]
    assert "going on from step 6 of 8" in capsys.readouterr().err
    assert [one["l1"] for one in evaluations["values"]] == [0.3, 0.1, 0.2, 0.4]
    assert evaluations["shipped_step"] == 4
    assert all(map(same, networks("run"), networks("stopped")))


def test_unpaired_images_are_measured_as_sets_and_a_student_by_its_teachers_pictures(recipe, extractor, tmp_path):
    for name in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(12 if name.startswith("train") else 1):
            pixels = np.random.default_rng(number).integers(0, 255, (40, 40, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{number}.png")
    given = recipe(f"data.folder={tmp_path / 'data'}", text=CYCLEGAN.replace("INCEPTION", str(extractor)))
    run_stages(given, STAGES, tmp_path / "run", None, OneProcess(), check_before)
    of_teacher, of_student = (read_stage(tmp_path / "run", s)["facts"]["evaluations"] for s in ("teacher", "distill"))
    assert [set(one) for one in of_teacher["values"]] == [{"step", "kid"}] * 2
    assert [set(one) for one in of_student["values"]] == [{"step", "l1"}]
    assert of_student["kept_images"] == of_teacher["kept_images"]
    assert not (tmp_path / "run" / "teacher" / "best").exists()  # no longer training can go on from it
    assert {side: len(names) for side, names in of_student["kept_images"].items()} == {"A": 2, "B": 2}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["evaluate_every=null", "ship=best", "best_by=l1"], "ship needs evaluate_every, the steps between"),
        (["evaluate_every=null", "evaluate=[fid]"], "evaluate needs evaluate_every"),
        (["ship=best"], "ship: best needs best_by, the measure that decides, such as best_by: l1"),
        (["best_by=l1"], "best_by goes with ship: best"),
        (["ship=best", "best_by=lpips"], r"best_by lpips is not evaluated; add it: evaluate: \[l1, lpips\]"),
        (["evaluate=[l1,l1]"], "names a measure twice: l1, l1"),
        (["evaluate=[]"], "at least 1 item"),
        (["evaluate=[ssim]"], "'l1', 'lpips', 'fid', 'kid' or 'miou'"),
        (["evaluate=[miou]"], "miou needs judge, the ONNX or TorchScript file"),
        (["evaluate=[miou]", "judge=j.onnx"], r"teacher\.evaluate: miou .* needs data\.kind: label"),
    ],
)
def test_rules_that_do_not_go_together_are_told_when_a_recipe_is_read(recipe, settings, message):
    with pytest.raises(RecipeError, match=message) as caught:
        recipe(*(f"teacher.{setting}" for setting in settings))
    assert "\n" not in str(caught.value)


def test_an_unpaired_teacher_has_nothing_to_be_compared_with(recipe):
    with pytest.raises(RecipeError, match=r"teacher\.evaluate: l1 needs pairs; .* evaluate: \[kid\]"):
        recipe("teacher.evaluate=[l1,kid]", text=CYCLEGAN)


def test_judges_that_are_not_there_are_told_before_anything_is_made(go, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.pt").write_text("no weights")
    cases = {
        ("evaluate=[fid]", "inception=none.pt"): "cannot read the weights none.pt",
        ("evaluate=[kid]", "inception=text.pt"): "text.pt is not a TorchScript file",
        ("evaluate=[lpips]", "lpips_weights=none.pth"): "cannot read the weights none.pth",
        ("evaluate=[lpips]", "lpips_weights=text.pt"): "text.pt is not a file of weights",
    }
    for settings, message in cases.items():
        with pytest.raises(ModelError, match=message):
            go(*(f"teacher.{setting}" for setting in settings))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pocketgan\[quality\]"):
        go("teacher.evaluate=[lpips]", check=lambda recipe, done: teacher.STAGE.check(recipe))
    assert not (tmp_path / "run" / "data").exists()


def test_a_judge_of_other_classes_is_told(recipe, tmp_path):
    class Brightest(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2.0

    torch.jit.script(Brightest()).save(str(tmp_path / "judge.pt"))
    text = RECIPE.replace("{source: builtin, train_crops: 20, val_crops: 2}", "{kind: label, classes: 5}")
    judged = recipe("teacher.evaluate=[miou]", f"teacher.judge={tmp_path / 'judge.pt'}", text=text)
    with pytest.raises(ModelError, match=r"judge .*judge\.pt tells 3 classes apart, but data\.classes is 5"):
        teacher.STAGE.check(judged)


def test_too_few_images_are_told_before_the_first_step(go, extractor):
    with pytest.raises(DataError, match="kid compares sets of images, and 15 % of 9 training images is 1: it takes 10"):
        go("data.train_crops=9", "teacher.evaluate=[kid]", f"teacher.inception={extractor}")
    with pytest.raises(DataError, match="keeps 1 training image at least for choosing, and there is only that one"):
        go("data.train_crops=1", out="one")


def test_what_is_only_shown_is_in_no_digest(recipe):
    def settings(*of_teacher):
        return settings_of(recipe(*(f"teacher.{setting}" for setting in of_teacher)), teacher.STAGE)["teacher"]

    plain = settings()
    assert settings("evaluate_every=5", "evaluate=[l1,fid]", "inception=a.pt", "judge_scale=unit") == plain
    assert settings("evaluate_every=null") != plain
    best = settings("ship=best", "best_by=l1")
    assert settings("ship=best", "best_by=l1", "evaluate=[l1,kid]") == best
    assert settings("ship=best", "best_by=l1", "evaluate_every=5") != best


def test_another_file_of_the_judge_that_decides_is_another_training(recipe, tmp_path):
    lpips = tmp_path / "alex.safetensors"
    asked = ("teacher.evaluate=[l1,lpips]", f"teacher.lpips_weights={lpips}")
    decides, shown = recipe(*asked, "teacher.ship=best", "teacher.best_by=lpips"), recipe(*asked, *BEST)
    found = []
    for content in ("one", "other"):
        lpips.write_text(content)
        found.append([teacher.STAGE.outside(one, tmp_path) for one in (decides, shown)])
    assert found[0][0] != found[1][0]
    assert found[0][1] == found[1][1] is None


def test_a_student_that_inherits_weights_which_saw_the_images_is_noted(recipe, capsys):
    more = ["compress={budget: 1M, by: macs, inherit: true}", "distill={steps: 2, evaluate_every: 1, similarity: mse}"]
    generator = ["teacher.norm=instance-affine", "teacher.ngf=8"]
    distill = next(stage for stage in STAGES if stage.name == "distill")
    distill.check(recipe(*generator, *more))
    assert "kept" not in capsys.readouterr().err
    distill.check(recipe(*generator, *more, "teacher.evaluate_every=null"))
    assert "teacher.evaluate_every keeps them from both" in capsys.readouterr().err


def test_the_report_of_a_run_shows_its_trainings(recipe, tmp_path):
    import synthetic_results as synthetic

    from pocketgan.pipeline.stage import Context

    facts = {
        "l1": 0.1,
        "evaluations": {
            "images": 12,
            "kept_images": [],
            "values": [{"step": 300, "lpips": 0.25}, {"step": 400, "lpips": 0.31}],
            "shipped_step": 300,
            "best_by": "lpips",
        },
    }
    (tmp_path / "teacher").mkdir()
    (tmp_path / "teacher" / "stage.json").write_text(json.dumps({"facts": facts}))
    (tmp_path / "bench").mkdir()
    synthetic.write_records(tmp_path / "bench" / "results.jsonl", synthetic.usual_records())
    given = recipe("teacher.steps=400", "export={}", "bundle={}", "bench={}", "report={}")
    report.STAGE.run(Context(given, tmp_path, tmp_path, OneProcess()))
    page = re.sub(r"<[^>]*>|\s+", " ", (tmp_path / "report.html").read_text())
    words = " ".join(page.split())
    assert "While training" in words
    assert "tiny-teacher on 12 images that it was not trained on step 300 of 400 the best by LPIPS" in words
    assert "0.250 last 0.310" in words
    assert report.STAGE.outside(given, tmp_path) == {"teacher": facts["evaluations"]}
    (tmp_path / "teacher" / "stage.json").write_text(json.dumps({"facts": {"l1": 0.1}}))
    report.STAGE.run(Context(given, tmp_path, tmp_path, OneProcess()))
    assert "While training" not in (tmp_path / "report.html").read_text()
    assert report.STAGE.outside(given, tmp_path) is None
