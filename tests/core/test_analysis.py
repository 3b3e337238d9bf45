"""`pocketgan analyse`: arms on equal terms, tables that say what is not finished, and going on after a kill."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from concepts import SPEC, base_of, concept_of

from pocketgan.analysis.parts import analyse_parts
from pocketgan.analysis.transformer import analyse_transformer
from pocketgan.cli import main
from pocketgan.errors import DataError, ModelError
from pocketgan.pictures import read_image, write_image
from pocketgan.training.adapting import AdaptOptions
from pocketgan.training.fine_tuning import unfrozen_parameters
from pocketgan.training.generators import skeleton, spec_by_name
from pocketgan.training.generators.files import save_generator
from pocketgan.training.state import TrainingState
from pocketgan.training.text.encoder import EncoderIdentity
from pocketgan.training.text.precomputed import write_features

OPTIONS = AdaptOptions(3, batch_size=2, learning_rate=1e-2, ndf=4, seed=3, checkpoint_every=2)


@pytest.fixture(autouse=True)
def _forget_precision():
    yield
    AcceleratorState._reset_state()


@pytest.fixture
def given(tmp_path):
    """A base's file, and seven photos and their negatives to train on."""
    save_generator(tmp_path / "base.safetensors", base_of().module, SPEC, {"trained": "yes"})
    random = np.random.default_rng(0)
    for split, count in (("train", 7), ("val", 1)):
        for index in range(count):
            picture = random.integers(0, 256, (32, 32, 3)).astype(np.uint8)
            write_image(tmp_path / "pairs" / split / f"{index}.png", np.concatenate([picture, 255 - picture], 1))
    return tmp_path / "base.safetensors", tmp_path / "pairs"


def of_parts(given, out, parts=("tb",), options=OPTIONS):
    return analyse_parts(given[0], given[1], concept_of(), options, out, parts=parts, metric="l1")


def of_places(given, out, places=("us", "ds"), threads=None):
    return analyse_transformer(SPEC, given[1], concept_of(), OPTIONS, out, places=places, metric="l1", threads=threads)


def test_every_part_has_a_row_beside_nothing_frozen_and_the_untrained_base(given, tmp_path):
    table = of_parts(given, tmp_path / "out")
    rows = {row["arm"]: row for row in table["rows"]}
    assert list(rows) == ["untrained", "nothing", "tb"]
    assert rows["nothing"]["against"] == 1
    assert rows["tb"]["against"] == rows["tb"]["l1"] / rows["nothing"]["l1"]
    whole = sum(weight.numel() for weight in skeleton(SPEC).parameters())
    block = sum(weight.numel() for weight in skeleton(SPEC).get_submodule("tb").parameters())
    assert [row["trained_parameters"] for row in table["rows"]] == [0, whole, whole - block]
    assert table["images"] == {"trained": 6, "kept": 1}
    assert (table["unfinished"], table["steps"], table["metric"]) == ([], 3, "l1")


def test_table_and_sheet_show_every_arm(given, tmp_path):
    out = tmp_path / "out"
    table = of_parts(given, out)
    assert json.loads((out / "table.json").read_text()) == table
    lines = (out / "table.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in lines[-3:]] == ["untrained", "nothing", "tb"]
    assert f"{table['rows'][2]['l1']:.4f}" in lines[-1]
    sheet = read_image(out / "sheet.png")
    assert sheet.shape[1] == 5 * 128 + 4 * 4  # input, target and three arms, with gaps of four pixels
    # The first column, below its line of text, is the input: the left half of the pair that was kept.
    shown = sheet[16 : 16 + 128, :128].reshape(32, 4, 32, 4, 3)[:, 1, :, 1].astype(int)
    halves = [read_image(path)[:, :32].astype(int) for path in (given[1] / "train").iterdir()]
    assert min(np.abs(half - shown).mean() for half in halves) < 20


class KilledError(Exception):
    pass


def test_a_killed_analysis_says_what_is_unfinished_and_goes_on_to_the_same_table(given, tmp_path, monkeypatch):
    steps, step = [], TrainingState.step

    def counted(self, samples, number):
        steps.append(number)
        if len(steps) in (1, 7):
            raise KilledError
        return step(self, samples, number)

    monkeypatch.setattr(TrainingState, "step", counted)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for unfinished in (["nothing", "tb"], ["tb"]):
        with pytest.raises(KilledError):
            of_parts(given, killed)
        assert json.loads((killed / "table.json").read_text())["unfinished"] == unfinished
    assert (killed / "table.md").read_text().splitlines()[-1].startswith("| tb | not finished |")
    of_parts(given, killed)
    # Nothing frozen takes three steps, once; tb goes on behind its checkpoint.
    assert steps == [0, 0, 1, 2, 0, 1, 2, 2]
    of_parts(given, whole)
    for name in ("table.json", "table.md", "sheet.png"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()


def test_more_parts_are_added_to_a_finished_analysis(given, tmp_path, monkeypatch):
    out = tmp_path / "out"
    of_parts(given, out)
    first = (out / "arms" / "tb.json").stat().st_mtime_ns
    assert [row["arm"] for row in of_parts(given, out, ("tb", "rb"))["rows"]] == ["untrained", "nothing", "rb", "tb"]
    assert (out / "arms" / "tb.json").stat().st_mtime_ns == first


def test_another_analysis_in_the_same_folder_is_refused(given, tmp_path):
    out = tmp_path / "out"
    of_parts(given, out, ())
    with pytest.raises(DataError, match="holds another analysis"):
        of_parts(given, out, (), replace(OPTIONS, steps=4))
    with pytest.raises(DataError, match="holds another analysis"):
        of_places(given, out)
    with pytest.raises(DataError, match="pairs is not empty and no folder of an analysis"):
        of_parts(given, given[1])


def test_every_place_has_a_row_with_what_it_costs(given, tmp_path):
    table = of_places(given, tmp_path / "out")
    assert [row["arm"] for row in table["rows"]] == ["ds", "us"]
    specs = [spec_by_name("e2gan", ngf=4, height=32, width=32, transformer_after=place) for place in ("ds", "us")]
    assert [row["parameters"] for row in table["rows"]] == [unfrozen_parameters(spec) for spec in specs]
    assert table["rows"][0]["against"] == 1
    assert table["rows"][0]["l1"] != table["rows"][1]["l1"]
    assert "median_ms" not in table["rows"][0]


def test_frames_of_a_place_are_timed_once(given, tmp_path):
    pytest.importorskip("onnxscript")
    first = of_places(given, tmp_path / "out", ["us"], threads=1)
    again = of_places(given, tmp_path / "out", ["us"], threads=1)
    (row,) = first["rows"]
    assert row["median_ms"] == pytest.approx(1000 / row["fps"])
    assert row["against"] is None  # the middle was not trained
    assert again == first


@pytest.fixture
def said(given, tmp_path, monkeypatch, capsys):
    tokens = torch.randn(1, 77, 512, generator=torch.Generator().manual_seed(0))
    write_features(tmp_path / "text.safetensors", ["a negative"], tokens, EncoderIdentity("sentences", "cd" * 32))
    learning = ["--data", given[1], "--text", "a negative", "--encoder", tmp_path / "text.safetensors"]
    learning += ["--steps", 1, "--batch-size", 2, "--out", tmp_path / "out", "--metric", "l1"]

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["pocketgan", *map(str, [*arguments, *learning])])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    return run


def test_the_command_prints_the_table(said, given):
    code, out, _ = said("analyse", "parts", given[0], "--parts", "us,head")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[2:6]] == ["untrained", "nothing", "us", "head"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["parts", "base.safetensors", "--parts", "us,middle"], "no part is called middle; there are stem, downsample"),
        (["parts", "gone.safetensors"], "there is no model file"),
        (["transformer", "--places", "ds,head"], "cannot stand after head; it can after downsample"),
        (["transformer", "--generator", "unet128"], "an e2gan has a transformer block to move; unet has none"),
        (["transformer", "--size", "33x32"], "multiples of 8"),
        (["transformer", "--ngf", "5"], "is a multiple of that, not"),
    ],
)
def test_what_cannot_be_analysed_is_told_in_one_line_and_leaves_nothing(said, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, _, err = said("analyse", *arguments)
    assert code == 2
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_analysis_of_no_place_is_told(given, tmp_path):
    with pytest.raises(ModelError, match="cannot stand after"):
        of_places(given, tmp_path / "out", [""])
