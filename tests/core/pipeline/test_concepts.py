"""Recipes of a base and its concepts: which are learnt, what is left, and what is refused before hours are spent."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from pocketgan.bundle.reader import open_bundle
from pocketgan.concept_packs import find_adapters
from pocketgan.errors import DataError, ExportError, PocketganError, RecipeError
from pocketgan.pairs.making import make_filtered
from pocketgan.pipeline.stage import facts_of
from pocketgan.pipeline.way import run_recipe, with_folder
from pocketgan.recipe.reading import load_recipe
from pocketgan.training import concept_factory
from pocketgan.training.adapter import weights_digest
from pocketgan.training.adapter_files import load_adapter
from pocketgan.training.generators.files import load_generator
from pocketgan.training.text.encoder import EncoderIdentity
from pocketgan.training.text.precomputed import write_features

BASE = """
name: effects
resolution: 32
data: {kind: concepts, text: TEXTS, concepts: [sepia, noir]}
teacher: {program: e2gan, generator: e2gan, ngf: 4, ndf: 4, steps: 2, batch_size: 2}
"""
ADAPT = "adapt: {concepts: [thermal, vintage], steps: 2, batch_size: 2, ndf: 4}\n"
EFFECTS = ["sepia", "noir", "night", "thermal", "vintage"]


@pytest.fixture(scope="module")
def effects(tmp_path_factory):
    """Five concepts of twelve photos."""
    folder = tmp_path_factory.mktemp("effects")
    (folder / "photos").mkdir()
    for seed in range(12):
        pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((48, 40)).save(folder / "photos" / f"{seed:02}.png")
    made = make_filtered(folder / "photos", folder / "pairs", EFFECTS, 32)
    texts = [concept.record.text for concept in made]
    features = torch.randn(len(texts), 77, 512, generator=torch.Generator().manual_seed(0))
    write_features(folder / "texts.safetensors", texts, features, EncoderIdentity("random", "ab" * 32))
    return folder


@pytest.fixture
def recipe(effects, tmp_path):
    def read(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text.replace("TEXTS", str(effects / "texts.safetensors")))
        return with_folder(load_recipe(str(path)), effects / "pairs")

    return read


@pytest.mark.slow
def test_from_concepts_to_a_base_and_adapters_of_it(recipe, tmp_path):
    told = recipe(BASE + ADAPT.replace(", vintage", "") + "export: {targets: [onnx], workers: 1}\nbundle: {}\n")
    done = run_recipe(told, tmp_path / "run")
    base = load_generator(tmp_path / "run/teacher/generator.safetensors")
    first, _ = facts_of(tmp_path / "run", "data")["concepts"].items()
    assert first[0] == "noir"
    assert base.metadata["concept"] == first[1]
    assert done.facts("data")["train"] == 22
    adapter = load_adapter(tmp_path / "run/adapt/thermal.safetensors")
    assert (adapter.concept.name, adapter.base_digest) == ("thermal", weights_digest(base.module))
    assert done.bundle is not None
    with open_bundle(done.bundle) as pack:
        assert (pack.manifest.name, pack.manifest.role) == ("effects-concepts", "student")
        assert [concept.name for concept in pack.manifest.concepts] == ["thermal"]
        assert pack.manifest.quality["l1"] == pytest.approx(done.facts("adapt")["l1"])
    # unet256, which users would ship otherwise, takes no picture of 32 pixels.
    assert [path.stem for path in done.bundles] == ["effects-concepts", "effects-resnet9"]
    again = run_recipe(told, tmp_path / "run")
    assert all(stage.skipped for stage in again.stages)


def test_targets_that_cannot_hold_a_pack_are_told_before_anything_is_trained(recipe, tmp_path):
    with pytest.raises(ExportError, match="--concepts writes onnx-fp32"):
        run_recipe(recipe(BASE + ADAPT + "export: {targets: [onnx], precisions: [int8]}\n"), tmp_path / "run")
    assert not (tmp_path / "run/data").exists()


@pytest.fixture
def learnt(monkeypatch):
    """Names of the concepts whose training begins; `learnt.kill` is one whose training is killed."""

    class Begun(list):
        kill = None

    names, whole = Begun(), concept_factory.adapt_folder

    def watched(base, data, concept, *more, **named):
        names.append(concept.name)
        if concept.name == names.kill:
            raise KeyboardInterrupt
        return whole(base, data, concept, *more, **named)

    monkeypatch.setattr(concept_factory, "adapt_folder", watched)
    return names


def test_a_finished_concept_is_not_adapted_again_whatever_others_come_or_go(recipe, tmp_path, learnt):
    run = tmp_path / "run"
    learnt.kill = "vintage"
    with pytest.raises(KeyboardInterrupt):
        run_recipe(recipe(BASE + ADAPT), run)
    learnt.kill = None
    first = (run / "adapt.work/thermal.safetensors").read_bytes()
    run_recipe(recipe(BASE + ADAPT.replace("vintage", "night")), run)
    assert learnt == ["thermal", "vintage", "night"]
    done = run_recipe(recipe(BASE + ADAPT.replace("thermal, ", "night, ")), run)
    assert learnt == ["thermal", "vintage", "night", "vintage"]
    assert [stage.name for stage in done.stages if not stage.skipped] == ["adapt"]
    assert list(done.facts("adapt")["concepts"]) == ["night", "vintage"]
    assert sorted(path.name for path in (run / "adapt").glob("*.safetensors")) == [
        "night.safetensors",
        "vintage.safetensors",
    ]
    run_recipe(recipe(BASE + ADAPT), run)  # thermal had gone from the list, not from the run
    assert learnt == ["thermal", "vintage", "night", "vintage"]
    assert (run / "adapt/thermal.safetensors").read_bytes() == first


def test_a_concept_of_other_settings_or_pictures_is_adapted_again(recipe, effects, tmp_path, learnt):
    run = tmp_path / "run"
    run_recipe(recipe(BASE + ADAPT), run)
    del learnt[:]
    run_recipe(recipe(BASE + ADAPT.replace("ndf: 4", "ndf: 4, discriminator_learning_rate: 0.001")), run)
    assert learnt == ["thermal", "vintage"]
    picture = next((effects / "pairs/vintage/val/B").iterdir())
    before = picture.read_bytes()
    Image.new("RGB", (32, 32)).save(picture)
    try:
        run_recipe(recipe(BASE + ADAPT.replace("ndf: 4", "ndf: 4, discriminator_learning_rate: 0.001")), run)
    finally:
        picture.write_bytes(before)
    assert learnt == ["thermal", "vintage", "vintage"]


@pytest.mark.parametrize("name", ["stage", "concepts"])
def test_a_concept_may_be_called_as_a_file_of_ours(recipe, effects, tmp_path, name, learnt):
    folder = tmp_path / "pairs"
    shutil.copytree(effects / "pairs", folder)
    (folder / "thermal").rename(folder / name)
    file = folder / name / "concept.json"
    file.write_text(file.read_text().replace('"name": "thermal"', f'"name": "{name}"'))
    told = with_folder(recipe(BASE + ADAPT.replace("thermal, vintage", name)), folder)
    run_recipe(told, tmp_path / "run")
    base = load_generator(tmp_path / "run/teacher/generator.safetensors")
    assert list(find_adapters(tmp_path / "run/adapt", base)) == [name]


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (ADAPT.replace("vintage", "vintag"), "has no concept vintag; it holds night, noir, sepia, thermal, vintage"),
        (ADAPT.replace("batch_size: 2", "batch_size: 40"), "holds 11 pairs to train on, fewer than the 40 of a step"),
        (ADAPT.replace("ndf: 4", "ndf: 4, coreset: CHOSEN"), "chosen picture has no pair"),
    ],
)
def test_what_cannot_be_adapted_is_told_before_a_base_is_trained(recipe, tmp_path, changed, line):
    (tmp_path / "chosen.txt").write_text("00\nnobody\n")
    with pytest.raises(DataError, match=line):
        run_recipe(recipe(BASE + changed.replace("CHOSEN", str(tmp_path / "chosen.txt"))), tmp_path / "run")
    assert not (tmp_path / "run/data").exists()


def test_a_file_of_texts_may_move(recipe, effects, tmp_path):
    run_recipe(recipe(BASE), tmp_path / "run", until="data")
    shutil.copy(effects / "texts.safetensors", tmp_path / "moved.safetensors")
    moved = recipe(BASE.replace("TEXTS", str(tmp_path / "moved.safetensors")))
    (stage,) = run_recipe(moved, tmp_path / "run", until="data").stages
    assert stage.skipped


def test_another_text_of_a_concept_is_learnt_again(recipe, effects, tmp_path):
    run_recipe(recipe(BASE), tmp_path / "run", until="data")
    file = effects / "pairs/sepia/concept.json"
    before = file.read_text()
    record = json.loads(before)
    record["text"] = next(concept for concept in _texts(effects) if concept != record["text"])
    file.write_text(json.dumps(record))
    try:
        (stage,) = run_recipe(recipe(BASE), tmp_path / "run", until="data").stages
    finally:
        file.write_text(before)
    assert not stage.skipped


def _texts(effects):
    return [json.loads((effects / f"pairs/{name}/concept.json").read_text())["text"] for name in EFFECTS[3:]]


@pytest.mark.parametrize("by", ["clusters", "random"])
def test_some_concepts_stand_for_all(recipe, tmp_path, by):
    told = recipe(BASE.replace("concepts: [sepia, noir]", f"choose: 3, choose_by: {by}"))
    run_recipe(told, tmp_path / "run", until="data")
    facts = facts_of(tmp_path / "run", "data")
    assert len(facts["concepts"]) == 3
    assert set(facts["concepts"]) < set(EFFECTS)
    assert facts["train"] == 33
    if by == "clusters":
        assert sorted(facts["choice"]["chosen"]) == sorted(facts["concepts"])


def test_a_base_learns_the_folders_concepts_but_those_that_it_is_adapted_to(recipe, tmp_path):
    told = recipe(BASE.replace(", concepts: [sepia, noir]", "") + ADAPT)
    run_recipe(told, tmp_path / "run", until="data")
    assert set(facts_of(tmp_path / "run", "data")["concepts"]) == {"sepia", "noir", "night"}
    everything = ADAPT.replace("[thermal, vintage]", f"[{', '.join(EFFECTS)}]")
    with pytest.raises(DataError, match="holds no concept but those of adapt"):
        run_recipe(recipe(BASE.replace(", concepts: [sepia, noir]", "") + everything), tmp_path / "none")


def test_a_trained_base_stays_when_its_concepts_are_named(recipe, tmp_path, capsys):
    run, of_all = tmp_path / "run", BASE.replace("concepts: [sepia, noir]", "concepts: [noir, night, sepia]")
    all_but_two = BASE.replace(", concepts: [sepia, noir]", "")
    run_recipe(recipe(all_but_two + ADAPT), run)
    capsys.readouterr()
    with pytest.raises(PocketganError, match="learnt from other files"):
        run_recipe(recipe(all_but_two + ADAPT.replace("thermal", "night, thermal")), run)
    said = " ".join(capsys.readouterr().err.split())
    assert "other concepts than before, without night; to keep the one that is trained" in said
    done = run_recipe(recipe(of_all + ADAPT.replace("thermal", "night, thermal")), run)
    assert [stage.name for stage in done.stages if not stage.skipped] == ["data", "adapt"]


def test_a_trained_base_is_taken_as_it_is(recipe, tmp_path):
    run_recipe(recipe(BASE), tmp_path / "first")
    weights = tmp_path / "first/teacher/generator.safetensors"
    given = BASE.split("teacher:")[0] + f"teacher: {{program: e2gan, weights: {weights}}}\n"
    run_recipe(recipe(given), tmp_path / "second")
    first, second = (load_generator(tmp_path / f"{run}/teacher/generator.safetensors") for run in ("first", "second"))
    assert weights_digest(first.module) == weights_digest(second.module)
    assert facts_of(tmp_path / "second", "teacher")["l1"] == pytest.approx(
        facts_of(tmp_path / "first", "teacher")["l1"]
    )


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (BASE.replace("noir]", "sunset]"), "has no concept sunset; it holds night, noir, sepia, thermal, vintage"),
        (BASE.replace("concepts: [sepia, noir]", "choose: 9"), "5 concepts are fewer than k = 9"),
    ],
)
def test_concepts_that_are_not_there(recipe, tmp_path, changed, line):
    with pytest.raises(DataError, match=line):
        run_recipe(recipe(changed), tmp_path / "run")


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (BASE.replace("noir]", "sepia]"), "concepts names one twice: sepia, sepia"),
        (BASE.replace("kind: concepts", "kind: paired"), "concepts is of kind: concepts"),
        (BASE.replace("kind: concepts,", "kind: concepts, direction: BtoA,"), "direction AtoB"),
        (BASE.replace("program: e2gan", "program: pix2pix"), "learns from data.kind paired or label, not concepts"),
        (
            BASE + "compress: {budget: 1M}\ndistill: {steps: 1}\n",
            "trains is a base for concepts, not for a student: remove compress and distill, add adapt",
        ),
        (
            ADAPT + "name: x\ndata: {}\nteacher: {steps: 1}\n",
            "adapt needs a base of concepts: teacher.program: e2gan",
        ),
    ],
)
def test_recipes_that_cannot_be(recipe, changed, line):
    with pytest.raises(RecipeError, match=line):
        recipe(changed)
