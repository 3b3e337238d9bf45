"""Many concepts of one base: each learnt once, whatever is killed; none believed unseen."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from accelerate.state import AcceleratorState
from concept_folders import EFFECTS, make_concepts, make_pairs, write_texts
from concepts import SPEC, base_of
from safetensors.torch import save_file

from pocketgan.cli import main
from pocketgan.errors import ModelError
from pocketgan.pictures import read_image, write_image
from pocketgan.training.adapter import Adapter, Concept, Ranks, factor_shapes, weights_digest
from pocketgan.training.adapter_files import load_adapter, save_adapter
from pocketgan.training.adapter_set import read_adapter_set
from pocketgan.training.adapting import AdaptOptions, adapt_folder
from pocketgan.training.concept_factory import WORK, adapt_concepts
from pocketgan.training.data.images import to_pixels, to_tensor
from pocketgan.training.forgetting import OldConcepts
from pocketgan.training.generators.files import save_generator
from pocketgan.training.parallel import Product, open_pool
from pocketgan.training.text.precomputed import PrecomputedText
from pocketgan.training.wanted_concepts import WantedConcept

TEXTS = {"negative": "the negative", "dark": "make it dark", "red": "make it red"}
OLD = {"dark": "an old night", "red": "an old red"}
OPTIONS = AdaptOptions(2, Ranks(1, 2, 1, 2, 2), batch_size=2, ndf=4)


@pytest.fixture(autouse=True)
def _forget_precision():
    yield
    AcceleratorState._reset_state()


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A folder with a base, the pairs of three concepts, features of their texts, and two old concepts."""
    folder = tmp_path_factory.mktemp("given")
    base = base_of()
    save_generator(folder / "base.safetensors", base.module, base.spec, base.metadata)
    for effect in EFFECTS:
        make_pairs(folder / "pairs" / effect, effect)
    texts = PrecomputedText(write_texts(folder / "texts.safetensors", *TEXTS.values(), *OLD.values()))
    make_concepts(folder / "old", OLD)
    # What the base knows best: its own pictures.
    for photo in (folder / "old" / "red" / "val" / "A").iterdir():
        with torch.no_grad():
            made = base.module(to_tensor(read_image(photo))[None], texts.encode([OLD["red"]]))
        write_image(folder / "old" / "red" / "val" / "B" / photo.name, to_pixels(made[0]))
    return folder


def wanted_of(given, **options):
    return [
        WantedConcept(name, text, given / "pairs" / name, "AtoB", replace(OPTIONS, **options))
        for name, text in TEXTS.items()
    ]


def adapt_all(given, wanted, out, workers=0, **more):
    with open_pool(workers, 1) as pool:
        return adapt_concepts(
            given / "base.safetensors", wanted, PrecomputedText(given / "texts.safetensors"), out, pool, **more
        )


@contextmanager
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def states(ended):
    return {one.name: one.state for one in ended.concepts}


def test_a_concept_that_fails_leaves_the_others_and_alone_is_learnt_again(given, tmp_path, capsys):
    wanted = wanted_of(given)
    wanted[1] = replace(wanted[1], options=replace(OPTIONS, batch_size=9))
    first = adapt_all(given, wanted, tmp_path)
    assert states(first) == {"negative": "done", "dark": "failed", "red": "done"}
    assert not first.ok
    assert "holds 4 pairs to train on, fewer than the 9 of a step" in first.concepts[1].error
    assert [one.name for one in read_adapter_set(tmp_path).concepts] == ["negative", "red"]
    wanted[1] = replace(wanted[1], options=OPTIONS)
    second = adapt_all(given, wanted, tmp_path)
    assert states(second) == {"negative": "kept", "dark": "done", "red": "kept"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        WORK, "concepts.json", "dark.safetensors", "negative.safetensors", "red.safetensors"
    ]  # fmt: skip
    assert not list((tmp_path / WORK).glob("*.partial"))

    read = read_adapter_set(tmp_path)
    assert read.base_digest == weights_digest(base_of().module)
    assert [one.text for one in read.concepts] == list(TEXTS.values())
    assert all(read.adapter(tmp_path, one.name).concept.text == one.text for one in read.concepts)
    assert read.concepts[0].figures.images == 4

    # The same as the command for one concept gives.
    text = PrecomputedText(given / "texts.safetensors")
    concept = Concept("red", TEXTS["red"], text.identity, text.encode([TEXTS["red"]])[0])
    alone = tmp_path / "alone" / "red.safetensors"
    with one_thread():
        adapt_folder(given / "base.safetensors", given / "pairs" / "red", concept, OPTIONS, alone)
    assert alone.read_bytes() == (tmp_path / "red.safetensors").read_bytes()

    adapt_all(given, wanted[:2], tmp_path)
    assert "from an earlier list, and not named by concepts.json: red.safetensors\n" in capsys.readouterr().err
    assert [one.name for one in read_adapter_set(tmp_path).concepts] == ["negative", "dark"]

    (tmp_path / "red.safetensors").write_bytes(b"else")
    with pytest.raises(ModelError, match=r"red.safetensors is not the file that .*concepts.json names"):
        read.adapter(tmp_path, "red")
    with pytest.raises(ModelError, match="has no concept blue; it has negative, dark, red"):
        read.adapter(tmp_path, "blue")


# What comes back


def adapter_of(given, name="red", base=None, ranks=OPTIONS.ranks, strength=0.0):
    """As a worker might give it back: of random factors of that strength."""
    text = PrecomputedText(given / "texts.safetensors")
    concept = Concept(name, TEXTS[name], text.identity, text.encode([TEXTS[name]])[0])
    random = torch.Generator().manual_seed(0)
    factors = {
        path: tuple(strength * torch.randn(shape, generator=random) for shape in shapes)
        for path, shapes in factor_shapes(SPEC, ranks).items()
    }
    return Adapter(SPEC.digest, weights_digest((base or base_of()).module), ranks, concept, factors)


def give_back(monkeypatch, files):
    """Instead of what training would make."""

    def adapt_concept(task, seed):
        return Product({"images": 4, "l1": 0.1, "identity_l1": 0.2}, files)

    adapt_concept.__module__, adapt_concept.__qualname__ = "pocketgan.training.concept_factory", "adapt_concept"
    monkeypatch.setattr("pocketgan.training.concept_factory.adapt_concept", adapt_concept)


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (lambda given: adapter_of(given, base=base_of(seed=1)), "the adapter of red is of another base: its weights"),
        (lambda given: adapter_of(given, ranks=Ranks(1, 2, 1, 2, 1)), "its adapter is of other ranks or another text"),
        (lambda given: adapter_of(given, "dark"), "its adapter is of other ranks or another text"),
        (lambda given: adapter_of(given, strength=float("nan")), "the adapter of red holds numbers in "),
        (lambda given: adapter_of(given, ranks=Ranks(9, 9, 9, 9, 9)), "bytes; at most"),
        (lambda given: None, "it gave back the files none; wanted adapter.safetensors"),
    ],
)
def test_an_adapter_that_is_not_what_was_asked_for_is_not_taken(given, tmp_path, monkeypatch, made, line):
    files = {}
    if (adapter := made(given)) is not None:
        save_adapter(tmp_path / "a.safetensors", adapter)
        files = {"adapter.safetensors": (tmp_path / "a.safetensors").read_bytes()}
    monkeypatch.setattr("pocketgan.training.concept_factory._HEADER", 16 << 10)
    give_back(monkeypatch, files)
    ended = adapt_all(given, wanted_of(given)[2:], tmp_path / "out")
    assert states(ended) == {"red": "failed"}
    assert line in ended.concepts[0].error
    assert not (tmp_path / "out" / "red.safetensors").exists()


# Kills


def wait_until(holds, seconds=300.0):
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


def training_worker(out):
    """The process that is in the middle of a concept."""
    for process in psutil.Process().children(recursive=True):
        try:
            files = [Path(file.path) for file in process.open_files()]
        except psutil.Error:
            continue
        for file in files:
            if file.parent.suffix == ".partial" and list(file.parent.glob("*.partial/what.json")):
                return process
    return None


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_a_concept_costs_no_concept(given, tmp_path):
    killed = []

    def kill():
        process = wait_until(lambda: training_worker(tmp_path))
        process.kill()
        killed.append(process.pid)

    killer = threading.Thread(target=kill)
    killer.start()
    ended = adapt_all(given, wanted_of(given, steps=60), tmp_path, workers=2)
    killer.join()
    assert killed
    assert states(ended) == {"negative": "done", "dark": "done", "red": "done"}
    results = [json.loads(path.read_text())["task"] for path in (tmp_path / WORK).glob("*/result.json")]
    assert sorted(results) == ["dark", "negative", "red"]


@pytest.mark.slow
def test_a_killed_driver_goes_on_with_the_same_command(given, tmp_path, monkeypatch, capsys):
    rows = [f"- {{name: {name}, text: {text}, data: {given / 'pairs' / name}}}" for name, text in TEXTS.items()]
    (tmp_path / "concepts.yaml").write_text("\n".join(rows))
    out = tmp_path / "out"
    command = [
        "adapt", given / "base.safetensors", "--concepts", tmp_path / "concepts.yaml", "--steps", "20",
        "--encoder", given / "texts.safetensors", "--workers", "0", "--threads", "1", "--out", out, "--json",
    ]  # fmt: skip
    told = ["pocketgan", *map(str, command)]
    with subprocess.Popen(
        [sys.executable, "-m", *told], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as driver:
        wait_until(lambda: len(list(out.glob("*.safetensors"))) == 1)
        os.kill(driver.pid, signal.SIGKILL)
    (finished,) = (json.loads(path.read_text())["task"] for path in (out / WORK).glob("*/result.json"))
    monkeypatch.setattr(sys, "argv", told)
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    shown = {one["name"]: one["state"] for one in json.loads(capsys.readouterr().out)["concepts"]}
    assert shown == {name: "kept" if name == finished else "done" for name in TEXTS}


# Old concepts


@pytest.fixture
def learnt(given, tmp_path, monkeypatch):
    """Adapters of a strength instead of trained ones, and what is said of the old concepts then."""

    def run(strength, lpips_weights=None):
        save_adapter(tmp_path / "a.safetensors", adapter_of(given, strength=strength))
        give_back(monkeypatch, {"adapter.safetensors": (tmp_path / "a.safetensors").read_bytes()})
        old = OldConcepts(given / "old", lpips_weights)
        return adapt_all(given, wanted_of(given)[2:], tmp_path / "out", old=old)

    return run


def l1_of_base(given, name):
    """By hand: what the base makes of that old concept's photos with its text, against the targets."""
    text = PrecomputedText(given / "texts.safetensors").encode([OLD[name]])
    distances = []
    for index in range(2):
        sides = [read_image(given / "old" / name / "val" / side / f"{index}.png") for side in "AB"]
        photo, target = (torch.tensor(side).permute(2, 0, 1)[None] / 127.5 - 1 for side in sides)
        with torch.no_grad():
            distances.append(float((base_of().module(photo, text) - target).abs().mean()))
    return sum(distances) / 2


def test_an_adapter_that_changes_nothing_forgets_nothing(given, learnt, tmp_path):
    ended = learnt(0.0)
    (one,) = ended.concepts
    assert [old.name for old in one.record.old] == ["dark", "red"]
    for old in one.record.old:
        assert old.judge == "l1"
        assert old.base == old.adapted == pytest.approx(l1_of_base(given, old.name), rel=1e-4)
        assert (old.ratio, old.flagged) == (1.0, False)
    assert read_adapter_set(tmp_path / "out").concepts[0].old == one.record.old
    assert learnt(0.0).concepts[0].state == "kept"


def test_an_adapter_that_overwrites_an_old_concept_is_flagged(given, learnt):
    (one,) = learnt(3.0).concepts
    dark, red = one.record.old
    assert red.base == pytest.approx(l1_of_base(given, "red"), rel=1e-4)
    assert red.base < 1 / 255 < 0.1 < red.adapted  # rounding to pixels, and another picture
    assert red.ratio == pytest.approx(red.adapted / red.base)
    assert red.flagged
    assert dark.flagged == (dark.adapted > 1.2 * dark.base)


def test_an_adapter_that_changes_the_base_while_it_is_off_is_told(learnt, monkeypatch):
    monkeypatch.setattr("pocketgan.training.lora.Adapted._switch", lambda self, on: None)
    ended = learnt(3.0)
    assert not ended.ok
    assert "with the adapter off, the base's pictures of dark, red are not those of the base" in ended.concepts[0].error
    assert ended.concepts[0].record.old is None


def test_old_concepts_are_judged_by_lpips_where_its_weights_are_given(learnt, tmp_path):
    lpips = pytest.importorskip("lpips")
    state = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).net.state_dict()
    weights = {"features." + name.split(".", 1)[1]: value.contiguous() for name, value in state.items()}
    save_file(weights, tmp_path / "alex.safetensors")
    (one,) = learnt(0.0, tmp_path / "alex.safetensors").concepts
    dark, red = one.record.old
    assert dark.judge == red.judge == "lpips"
    assert dark.base == dark.adapted > 0
    assert (red.base, red.adapted, red.ratio, red.flagged) == (0, 0, None, False)  # as PNG, its targets are the base's
    with pytest.raises(ModelError, match="cannot read the weights"):
        learnt(0.0, tmp_path / "gone.safetensors")


# Scale, by `make bench`


@pytest.mark.heavy
def test_260_tiny_concepts(given, tmp_path):
    texts = {f"c{i:03}": f"effect {i}" for i in range(260)}
    write_texts(tmp_path / "texts.safetensors", *texts.values())
    wanted = [
        WantedConcept(name, text, given / "pairs" / "red", "AtoB", replace(OPTIONS, steps=1))
        for name, text in texts.items()
    ]
    for again in (False, True):
        started = time.perf_counter()
        with open_pool(2, 1) as pool:
            ended = adapt_concepts(
                given / "base.safetensors", wanted, PrecomputedText(tmp_path / "texts.safetensors"), tmp_path, pool
            )
        print(f"\n260 concepts{' again' * again}: {time.perf_counter() - started:.1f} s")
        assert set(states(ended).values()) == {"kept" if again else "done"}
    assert len({one.record.adapter.sha256 for one in ended.concepts}) == 260
    assert [load_adapter(tmp_path / f"{name}.safetensors").concept.text for name in texts] == list(texts.values())


@pytest.mark.heavy
def test_twelve_concepts_on_two_workers_take_at_most_six_tenths(given, tmp_path):
    texts = {f"c{i:02}": f"effect {i}" for i in range(12)}
    write_texts(tmp_path / "texts.safetensors", *texts.values(), "first")
    options = replace(OPTIONS, steps=200, batch_size=4)
    wanted = [WantedConcept(name, text, given / "pairs" / "red", "AtoB", options) for name, text in texts.items()]
    seconds = {}
    for workers, threads in ((1, 1), (2, 1), (1, 2)):
        out = tmp_path / f"{workers}-{threads}"
        encoder = PrecomputedText(tmp_path / "texts.safetensors")
        with open_pool(workers, threads) as pool:
            # Each has its libraries loaded.
            first = [
                WantedConcept(f"w{i}", "first", given / "pairs" / "red", "AtoB", replace(options, steps=1, seed=i))
                for i in range(workers)
            ]
            adapt_concepts(given / "base.safetensors", first, encoder, out / "first", pool)
            started = time.perf_counter()
            adapt_concepts(given / "base.safetensors", wanted, encoder, out, pool)
            seconds[workers, threads] = time.perf_counter() - started
        print(f"\n12 concepts, {workers} workers of {threads} threads: {seconds[workers, threads]:.1f} s", end="")
    print(f"\ntwo workers take {seconds[2, 1] / seconds[1, 1]:.2f} of one worker's time")
    assert seconds[2, 1] <= 0.6 * seconds[1, 1]
