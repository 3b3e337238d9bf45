"""The stage compress with method: evolve, on a supernet that is given: what it writes and refuses."""

import json

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from pocketgan.errors import BudgetError, DataError, ModelError, PocketganError, RecipeError
from pocketgan.pipeline import compress, data, evolve, teacher
from pocketgan.pipeline.digest import settings_of
from pocketgan.pipeline.networks import supernet_space
from pocketgan.pipeline.processes import OneProcess
from pocketgan.pipeline.resume import run_stages
from pocketgan.pipeline.stage import read_stage
from pocketgan.pipeline.way import check_recipe
from pocketgan.pipeline.workers import WorkersWanted
from pocketgan.recipe.reading import load_recipe
from pocketgan.training.cost import cost_function
from pocketgan.training.generators import build
from pocketgan.training.generators.files import load_generator, save_generator
from pocketgan.training.supernet import Supernet

RECIPE = """
name: tiny
resolution: 32
data: {kind: paired}
teacher:
  {program: ugc, generator: resnet6, norm: batch, ngf: 8, weights: WEIGHTS,
   supernet_widths: [2, 4, 6, 8], supernet_depths: [0, 1], supernet_blocks: 1}
compress:
  {method: evolve, budget: 1.5M, by: macs, fitness: l1, evaluations: 20, population: 6, teacher_times: 4}
"""
HERE = WorkersWanted(0)


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (32, 32, 3), np.uint8)).save(path)


@pytest.fixture
def recipe(tmp_path):
    """A recipe whose supernet is there, fresh: `settings` change it."""
    for split, count in (("train", 20), ("val", 2)):
        for index in range(count):
            picture(tmp_path / "images" / split / "A" / f"{index}.png", index)
            picture(tmp_path / "images" / split / "B" / f"{index}.png", 100 + index)
    weights = tmp_path / "supernet.safetensors"

    def load(*settings, text=RECIPE):
        (tmp_path / "r.yaml").write_text(text.replace("WEIGHTS", str(weights)))
        return load_recipe(str(tmp_path / "r.yaml"), [f"data.folder={tmp_path / 'images'}", *settings])

    untrained = load(text=RECIPE.replace("weights: WEIGHTS", "steps: 1"))
    whole = supernet_space(untrained).whole
    save_generator(weights, build(whole, 3), whole, {"trained": "yes"})
    return load


STAGES = (data.STAGE, teacher.STAGE, compress.STAGE)


def run(found, folder, workers=HERE):
    run_stages(found, STAGES, folder, None, OneProcess(), workers=workers)
    return folder / "compress"


def outputs(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "stage.json"}


def test_a_student_and_its_two_teachers_are_written_with_what_they_inherit(recipe, tmp_path):
    found = recipe()
    folder = run(found, tmp_path / "run")
    assert set(outputs(folder)) == {"student.safetensors", "wide.safetensors", "deep.safetensors", "search.json"}
    space, macs = supernet_space(found), cost_function("macs")
    student, wide, deep = (load_generator(folder / f"{name}.safetensors") for name in ("student", "wide", "deep"))
    assert macs(student.spec) <= 1.5e6
    for one, depth in ((wide, 0), (deep, 1)):
        assert 3.2 < macs(one.spec) / macs(student.spec) <= 4
        assert set(space.configuration(one.spec).depths.values()) == {depth}
    supernet = Supernet(space, load_generator(tmp_path / "supernet.safetensors").module)
    inherited = supernet.extract(space.configuration(wide.spec))[0].state_dict()
    norms = [name for name in inherited if "running" in name]
    assert norms
    for name, tensor in wide.module.state_dict().items():
        same = bool((tensor == inherited[name]).all())
        assert same == (name not in norms and "num_batches" not in name), name
    facts = read_stage(tmp_path / "run", "compress")["facts"]
    assert facts["macs"] == macs(student.spec)
    assert facts["evaluations"] <= 20
    assert facts["teachers"]["deep"]["macs"] == macs(deep.spec)
    assert len(facts["kept_images"]) == 3  # 15 % of 20
    assert all(name.startswith("train/") for name in facts["kept_images"])


def test_what_is_found_does_not_depend_on_the_number_of_workers(recipe, tmp_path):
    found = recipe("compress.evaluations=10", "compress.population=4")
    alone = run(found, tmp_path / "alone")
    spread = run(found, tmp_path / "spread", WorkersWanted(2))
    assert outputs(alone) == outputs(spread)


def test_without_a_search_the_networks_are_even_and_nothing_is_judged(recipe, tmp_path):
    found = recipe("compress.evaluations=0")
    folder = run(found, tmp_path / "run")
    space = supernet_space(found)
    shares = space.configuration(load_generator(folder / "student.safetensors").spec)
    assert {shares.widths[name] for name in space.base.widths} in ({2}, {2, 4}, {4}, {4, 6})
    facts = read_stage(tmp_path / "run", "compress")["facts"]
    assert (facts["evaluations"], facts["judged_by"]) == (0, None)


@pytest.fixture
def asked(monkeypatch):
    """Whose latency is asked for; a million MACs take a millisecond, and an extra block another one."""
    from pocketgan.latency import measuring

    macs, them = cost_function("macs"), []

    def model(spec, platform):
        them.append((spec, platform.target))
        return lambda one: macs(one) / 1e6 + sum("extra" in name for name in one.widths)

    monkeypatch.setattr(measuring, "latency_model", model)
    monkeypatch.setattr(measuring, "measure_networks", lambda specs, platform: [1.0] * len(specs))
    return them


def test_a_target_keeps_the_student_of_a_budget_in_macs_from_what_is_slow_there(recipe, tmp_path, asked):
    found = recipe("compress.target=onnx", "compress.evaluations=10", "compress.population=6")
    folder = run(found, tmp_path / "run")
    spec = load_generator(folder / "student.safetensors").spec
    assert asked[0] == (supernet_space(found).whole, "onnx")
    assert not any("extra" in name for name in spec.widths)
    facts = read_stage(tmp_path / "run", "compress")["facts"]
    assert facts["predicted_ms"] == facts["macs"] / 1e6
    assert 0.95 * found.compress.budget < facts["cost"] <= found.compress.budget


@pytest.mark.parametrize("slow", [1, 12, 40])
def test_a_student_for_a_target_is_the_best_of_those_that_are_timed_to_keep_the_limit(
    recipe, tmp_path, asked, monkeypatch, slow
):
    from pocketgan.latency import measuring

    turns, known = [], {}

    def measure(specs, platform):
        """The first that are asked about are slow but the fastest itself; a turn takes as long as it likes."""
        turns.append([spec.digest for spec in specs])
        known.setdefault(turns[0][0], 1.0)
        for spec in specs:
            known.setdefault(spec.digest, 1.5 if len(known) <= slow else 1.0)
        return [len(turns) * known[spec.digest] for spec in specs]

    monkeypatch.setattr(measuring, "measure_networks", measure)
    folder = run(recipe("compress.target=onnx", "compress.evaluations=40", "compress.population=20"), tmp_path / "run")
    facts = read_stage(tmp_path / "run", "compress")["facts"]
    student = load_generator(folder / "student.safetensors").spec.digest
    others = [digest for turn in turns for digest in turn[1:]]
    fast = [digest for digest in others if known[digest] == 1.0]
    assert len(fast) == max(0, len(others) - slow)
    assert student in {turns[0][0], *fast[:1]}
    assert facts["measured_ms"] == len(turns)


def test_a_search_that_was_stopped_does_not_time_its_candidates_again(recipe, tmp_path, asked, monkeypatch):
    from pocketgan.latency import measuring
    from pocketgan.training.evolve_quality import Quality

    turns, judge = [], Quality.__call__

    def measure(specs, platform):
        turns.append(specs)
        return [1.0] * len(specs)

    def stop(self, candidates, judging, label):
        if label.startswith("wide"):
            raise KeyboardInterrupt
        return judge(self, candidates, judging, label)

    monkeypatch.setattr(measuring, "measure_networks", measure)
    found = recipe("compress.target=onnx", "compress.evaluations=10", "compress.population=6")
    with monkeypatch.context() as patched:
        patched.setattr(Quality, "__call__", stop)
        with pytest.raises(KeyboardInterrupt):
            run(found, tmp_path / "run")
    run(found, tmp_path / "run")
    assert len(turns) == 1


def test_a_budget_in_milliseconds_asks_the_latency_model(recipe, tmp_path, asked):
    found = recipe("compress.by=latency", "compress.budget=1.5ms", "compress.target=onnx", "compress.evaluations=0")
    check_recipe(found)
    run(found, tmp_path / "run")
    assert asked[0] == (supernet_space(found).whole, "onnx")
    facts = read_stage(tmp_path / "run", "compress")["facts"]
    assert facts["predicted_ms"] == facts["macs"] / 1e6 <= 1.5
    with pytest.raises(BudgetError, match=r"the budget 0\.001 ms cannot be reached; .* ms \(the smallest\)"):
        check_recipe(recipe("compress.by=latency", "compress.budget=0.001ms", "compress.target=onnx"))


def test_fid_chooses_among_the_last_ones(recipe, tmp_path, monkeypatch):
    from pocketgan.training import evolve_quality

    asked = []

    def measure(self, candidates, judging, label):
        asked.append((judging.metric, len(candidates)))
        return [float(index) for index in range(len(candidates))][:: -1 if judging.metric == "fid" else 1]

    monkeypatch.setattr(evolve_quality.Quality, "__call__", measure)
    found = recipe("compress.finalists=3")
    folder = run(found, tmp_path / "run")
    fid = [one for one in asked if one[0] == "fid"]
    assert fid == [("fid", 3)]
    search = json.loads((folder / "search.json").read_text())
    assert [row["fid"] for row in search["searches"]["student"]["finalists"]] == [2, 1, 0]
    assert search["networks"]["student.safetensors"]["judged"] == search["searches"]["student"]["finalists"][2]["l1"]
    assert search["searches"]["student"]["evaluations"] <= 12


def test_the_fields_of_evolution_change_no_digest_of_a_pruning(recipe, tmp_path):
    pruned = RECIPE[: RECIPE.index("compress:")] + "compress: {budget: 1.5M, by: macs, least_width: 2}\n"
    settings = settings_of(recipe(text=pruned), compress.STAGE)["compress"]
    assert settings == {"budget": 1.5e6, "by": "macs", "least_width": 2}
    assert compress.STAGE.outside(recipe(text=pruned), tmp_path) is None


def test_another_share_of_labels_or_judge_is_another_search(recipe, tmp_path):
    found = recipe()
    run_stages(found, STAGES[:2], tmp_path / "run", None, OneProcess())
    before = evolve.outside(found, tmp_path / "run")
    index = tmp_path / "run" / "data" / "stage.json"
    index.write_text(index.read_text().replace('"index.json": "', '"index.json": "0'))
    assert evolve.outside(found, tmp_path / "run") != before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["compress.method=prune"], "evaluations is of method: evolve"),
        (["compress.student=incres9"], "student is of method: prune"),
        (["compress.least_width=4"], "least_width is of method: prune"),
        (["teacher.program=pix2pix"], "compress.method evolve searches a supernet, and teacher.program pix2pix"),
        (["compress.fitness=miou"], "fitness miou needs judge"),
        (["compress.fitness=null", "compress.judge=j.onnx"], "compress.judge finds label maps again"),
    ],
)
def test_what_does_not_go_together_is_told_when_the_recipe_is_read(recipe, settings, message):
    with pytest.raises(RecipeError, match=message):
        recipe(*settings)


@pytest.mark.parametrize("budget", ["10K", "10G"])
def test_a_budget_outside_the_space_is_refused_before_anything_runs(recipe, budget):
    with pytest.raises(BudgetError, match=r"the smallest\) to .*the largest that is searched"):
        check_recipe(recipe(f"compress.budget={budget}"))


def test_a_supernet_that_was_exchanged_for_another_is_refused(recipe, tmp_path):
    found = recipe()
    run_stages(found, STAGES[:2], tmp_path / "run", None, OneProcess())
    smaller = supernet_space(found).spec(supernet_space(found).smallest)
    path = tmp_path / "run" / "teacher" / "generator.safetensors"
    save_generator(path, build(smaller, 0), smaller, {"trained": "yes"})
    with pytest.raises(ModelError, match="these weights are of another supernet"):
        run(found, tmp_path / "run")


def test_fid_of_one_image_is_refused(recipe, tmp_path):
    for index in range(3, 20):
        for side in "AB":
            (tmp_path / "images" / "train" / side / f"{index}.png").unlink()
    with pytest.raises(DataError, match=r"FID compares sets .* 15 % of 3 training images is 1"):
        run(recipe("compress.finalists=2"), tmp_path / "run")


def test_workers_are_for_evolutions_and_a_cluster_answers_before_anything_runs(recipe, tmp_path):
    pruned = RECIPE[: RECIPE.index("compress:")] + "compress: {budget: 1.5M, by: macs, least_width: 2}\n"
    with pytest.raises(PocketganError, match=r"are for recipes with compress\.method: evolve"):
        WorkersWanted(2).check(recipe(text=pruned))
    with pytest.raises(PocketganError, match="exclude each other"):
        WorkersWanted(2, "tcp://127.0.0.1:1").check(recipe(), done=True)
    with pytest.raises(PocketganError, match=r"the cluster at tcp://127.0.0.1:1 does not answer within 5 s"):
        WorkersWanted(None, "tcp://127.0.0.1:1").check(recipe())


def test_what_the_images_are_on_their_way_to_a_worker_is_what_they_were(tmp_path):
    import torch

    from pocketgan.training.data.images import to_tensor
    from pocketgan.training.evolve_quality import KeptImages, write_images

    random = np.random.default_rng(0)
    photo = to_tensor(random.integers(0, 255, (6, 10, 3), np.uint8))
    labels, few = (torch.from_numpy(random.integers(0, 2, (channels, 6, 10))).float() for channels in (5, 3))
    for number, image in enumerate((photo, labels, few)):
        path = tmp_path / f"{number}.safetensors"
        write_images(path, [{"input": image, "target": photo}], [image, image])
        kept = KeptImages(path)
        assert torch.equal(kept.whole(0)["input"], image)
        assert torch.equal(kept.whole(0)["target"], photo)
        assert torch.equal(next(kept.calibration()), torch.stack([image, image]))
        assert load_file(path)["input"].dtype == torch.uint8
