"""Data sets of concepts: what lies in them, what is taken up again, and what is refused."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pocketgan import console
from pocketgan.cli import app
from pocketgan.errors import DataError
from pocketgan.pairs import drawing
from pocketgan.pairs.making import make_filtered
from pocketgan.pictures import read_image
from pocketgan.training.data.concepts import read_concept, read_concepts, read_set
from pocketgan.training.data.paired import find_pairs
from pocketgan.training.teachers import filters

SIDE = 32


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(12):
        pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((60, 40)).save(folder / f"{seed:02}.png")
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def split_of(concept):
    return {split: [pair.a.stem for pair in pairs] for split, pairs in find_pairs(concept.folder).items()}


def test_every_concept_is_a_data_set_of_the_same_photos_and_split(photos, tmp_path):
    sepia, comic = make_filtered(photos, tmp_path / "out", ["sepia", "comic"], SIDE)
    assert split_of(sepia) == split_of(comic)
    assert {split: len(pairs) for split, pairs in split_of(sepia).items()} == {"train": 11, "val": 1}
    for concept in (sepia, comic):
        for pair in find_pairs(concept.folder)["train"]:
            photo, drawn = (read_image(path) for path in pair.files())
            assert photo.shape == (SIDE, SIDE, 3)
            assert np.array_equal(drawn, filters.apply(concept.record.name, photo))


def test_photos_lie_on_the_disk_once(photos, tmp_path):
    make_filtered(photos, tmp_path / "out", ["sepia", "noir", "autumn"], SIDE)
    for photo in (tmp_path / "out/photos").iterdir():
        assert photo.stat().st_nlink == 4


def test_validation_photos_are_those_with_the_lowest_hashes_whatever_they_are_called(photos, tmp_path):
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in photos.iterdir()}
    lowest = min(hashes, key=lambda name: hashes[name])
    made = make_filtered(photos, tmp_path / "out", ["sepia"], SIDE)[0]
    assert split_of(made)["val"] == [lowest.removesuffix(".png")]
    (photos / lowest).rename(photos / "another name.png")
    again = make_filtered(photos, tmp_path / "renamed", ["sepia"], SIDE)[0]
    assert split_of(again)["val"] == ["another name"]


def test_the_record_says_what_was_drawn_from_what_by_whom(photos, tmp_path):
    (made,) = make_filtered(photos, tmp_path / "out", ["night=let it be night"], SIDE)
    record = read_concept(tmp_path / "out/night").record
    assert (record.name, record.text) == ("night", "let it be night")
    assert (record.teacher.kind, record.teacher.name) == ("filters", "night")
    assert {"pocketgan", "opencv-python-headless", "numpy"} <= set(record.teacher.versions)
    for pair in made.pairs():
        source = (photos / f"{pair.name}.png").read_bytes()
        picture = (tmp_path / "out/night" / pair.split / "B" / f"{pair.name}.png").read_bytes()
        assert (pair.photo, pair.picture) == tuple(hashlib.sha256(one).hexdigest() for one in (source, picture))


def test_digests_follow_the_content_alone(photos, tmp_path):
    first, same = (make_filtered(photos, tmp_path / out, ["noir"], SIDE)[0].record for out in ("a", "b"))
    assert first.digest == same.digest
    assert make_filtered(photos, tmp_path / "c", ["noir=darker"], SIDE)[0].record.digest != first.digest
    Image.new("RGB", (60, 40), "red").save(photos / "00.png")
    assert make_filtered(photos, tmp_path / "d", ["noir"], SIDE)[0].record.digest != first.digest


def test_concepts_are_added_and_finished_ones_not_drawn_again(photos, tmp_path, monkeypatch):
    make_filtered(photos, tmp_path / "out", ["sepia"], SIDE)
    drawn = []

    def recorded(effect, pixels):
        drawn.append(effect)
        return pixels

    monkeypatch.setattr(filters, "apply", recorded)
    make_filtered(photos, tmp_path / "out", ["sepia", "noir"], SIDE)
    assert drawn == ["noir"] * 12
    assert [concept.record.name for concept in read_concepts(tmp_path / "out")] == ["noir", "sepia"]


def test_a_killed_call_goes_on_and_draws_nothing_twice(photos, tmp_path, monkeypatch):
    whole = make_filtered(photos, tmp_path / "whole", ["sepia"], SIDE)[0].record
    apply, drawn = filters.apply, []

    def five_at_a_time(effect, pixels):
        if len(drawn) % 6 == 5:
            drawn.append(None)
            raise KeyboardInterrupt
        drawn.append(pixels.tobytes())
        return apply(effect, pixels)

    monkeypatch.setattr(filters, "apply", five_at_a_time)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            make_filtered(photos, tmp_path / "out", ["sepia"], SIDE)
        assert not (tmp_path / "out/sepia").exists()
        with (tmp_path / "out/.sepia.partial/journal-0.jsonl").open("a") as journal:
            journal.write('{"name": "11", "spl')  # what a kill leaves of a line
    record = make_filtered(photos, tmp_path / "out", ["sepia"], SIDE)[0].record
    pictures = [one for one in drawn if one is not None]
    assert len(pictures) == len(set(pictures)) == 12
    assert record == whole


@pytest.mark.parametrize("moment", ["link", "write_atomic", "replace_folder", "sweep"])
def test_a_kill_while_pictures_come_to_their_places_is_made_good(moment, photos, tmp_path, monkeypatch):
    whole = make_filtered(photos, tmp_path / "whole", ["sepia"], SIDE)[0]
    where = {"link": "_link", "sweep": "_sweep"}.get(moment, moment)
    known, calls = getattr(drawing, where), []

    def killed(*arguments, **options):
        calls.append(1)
        if len(calls) == {"link": 5, "write_atomic": 4}.get(moment, 1):  # the fourth file is the list of pairs
            raise KeyboardInterrupt
        return known(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(drawing, where, killed)
        with pytest.raises(KeyboardInterrupt):
            make_filtered(photos, tmp_path / "out", ["sepia"], SIDE)
    monkeypatch.setattr(filters, "apply", lambda *_: pytest.fail("drawn again"))
    made = make_filtered(photos, tmp_path / "out", ["sepia"], SIDE)[0]
    assert made.record == whole.record
    assert names(made.folder) == names(whole.folder)
    assert names(tmp_path / "out") == names(tmp_path / "whole")


def test_other_photos_another_size_and_other_settings_are_refused_by_name(photos, tmp_path):
    out = tmp_path / "out"
    make_filtered(photos, out, ["sepia"], SIDE)
    with pytest.raises(DataError, match="pairs of 32 pixels; give --size 32"):
        make_filtered(photos, out, ["noir"], 64)
    with pytest.raises(DataError, match=r"out/sepia exists with another text, teacher or settings; .*--restart"):
        make_filtered(photos, out, ["sepia=brown"], SIDE)
    assert make_filtered(photos, out, ["sepia=brown"], SIDE, restart=True)[0].record.text == "brown"
    (out / "autumn").mkdir()
    with pytest.raises(DataError, match="autumn exists and was not made here"):
        make_filtered(photos, out, ["autumn"], SIDE, restart=True)
    Image.new("RGB", (60, 40), "blue").save(photos / "new.png")
    (photos / "03.png").unlink()
    with pytest.raises(DataError, match=r"other photos \(1 added: new.png; 1 missing: 03.png\)"):
        make_filtered(photos, out, ["noir"], SIDE)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    with pytest.raises(DataError, match="nor one of pairs; choose another --out"):
        make_filtered(photos, tmp_path / "full", ["noir"], SIDE)


def test_damaged_copied_and_small_pictures_are_counted_and_named(photos, tmp_path, capsys):
    (photos / "broken.png").write_bytes((photos / "00.png").read_bytes()[:60])
    shutil.copy(photos / "01.png", photos / "copy of 01.png")
    Image.new("RGB", (20, 300), "green").save(photos / "tiny.png")
    (made,) = make_filtered(photos, tmp_path / "out", ["sepia"], SIDE)
    said = capsys.readouterr().err
    assert "1 of 15 pictures were left out: " in said
    assert "broken.png is not a readable image" in said
    assert "1 of 15 pictures are copies of others and were left out: copy of 01.png (as 01.png)" in said
    assert "1 of 15 pictures are smaller than 32x32 and were enlarged: tiny.png (20x300)" in said
    assert made.record.counts == {"train": 12, "val": 1}
    assert {one.file for one in read_set(tmp_path / "out").left_out} == {"broken.png", "copy of 01.png"}
    make_filtered(photos, tmp_path / "out", ["noir"], SIDE)  # the same files: nothing has changed


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (["sepia", "sepia"], "sepia is told twice"),
        (["sepia", "all"], "sepia is told twice"),
        (["sepia="], "the text of the concept sepia is empty"),
        (["sepia=  "], "the text of the concept sepia is empty"),
        (["wintr"], "did you mean winter"),
        (["winter's=make it winter"], "--concept takes letters, digits"),
        (["photos=make it a photo"], "cannot be called photos"),
        ([], "--concept says which effects"),
    ],
)
def test_concepts_that_cannot_be_made_leave_nothing(told, expected, photos, tmp_path):
    with pytest.raises(DataError, match=expected):
        make_filtered(photos, tmp_path / "out", told, SIDE)
    assert not (tmp_path / "out").exists()


def test_folders_without_two_pictures_are_refused(tmp_path):
    (tmp_path / "one").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        make_filtered(tmp_path / "one", tmp_path / "out", ["sepia"], SIDE)
    Image.new("RGB", (40, 40)).save(tmp_path / "one/a.png")
    shutil.copy(tmp_path / "one/a.png", tmp_path / "one/b.png")
    with pytest.raises(DataError, match="holds one picture"):
        make_filtered(tmp_path / "one", tmp_path / "out", ["sepia"], SIDE)


def test_readers_name_what_is_not_there_or_damaged(photos, tmp_path):
    make_filtered(photos, tmp_path / "out", ["sepia"], SIDE)
    with pytest.raises(DataError, match="has no concept noir; it holds sepia"):
        read_concepts(tmp_path / "out", ["noir"])
    with pytest.raises(DataError, match="was not made by `pocketgan pairs make`"):
        read_concepts(photos)
    (tmp_path / "out/sepia/concept.json").write_text('{"format": 2}')
    with pytest.raises(DataError, match="damaged or of a later version of pocketgan: format"):
        read_concepts(tmp_path / "out")


def test_a_photo_may_have_any_name(photos, tmp_path):
    (photos / "00.png").rename(photos / "line\u2028line.png")
    (made,) = make_filtered(photos, tmp_path / "out", ["sepia"], SIDE)
    assert len(made.pairs()) == 12
    assert "line\u2028line" in [pair.name for pair in made.pairs()]


def test_fields_of_later_versions_are_left_out(photos, tmp_path):
    (made,) = make_filtered(photos, tmp_path / "out", ["sepia"], SIDE)
    path = tmp_path / "out/sepia/concept.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"mood": "calm"}))
    assert read_concept(tmp_path / "out/sepia").record == made.record


def command(*arguments):
    console.use_json("--json" in arguments)
    try:
        return CliRunner().invoke(app, ["pairs", *map(str, arguments)])
    finally:
        console.use_json(False)


def test_the_command_makes_all_effects_at_once_and_a_sheet_of_them(photos, tmp_path):
    for name in sorted(names(photos))[3:]:
        (photos / name).unlink()
    done = command("make", photos, "--concept", "all", "--size", SIDE, "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [one["name"] for one in told["concepts"]] == list(filters.EFFECTS)
    assert all(one["train"] + one["val"] == 3 for one in told["concepts"])
    listed = json.loads(command("list", "--json").stdout)["effects"]
    assert {one["name"]: one["text"] for one in told["concepts"]} == {name: one["text"] for name, one in listed.items()}
    sheet = tmp_path / "sheet.png"
    done = command("sheet", tmp_path / "out", "--out", sheet, "--concept", "sepia", "--concept", "neon", "--side", 20)
    assert done.exit_code == 0, done.output
    width, height = Image.open(sheet).size
    assert (width, height > 3 * 20) == (3 * 24 - 4, True)  # photo, sepia, neon; gaps of 4


def test_options_of_one_teacher_are_no_options_of_another(photos, tmp_path):
    done = command("make", photos, "--concept", "sepia", "--steps", 4, "--seeds", "1", "--out", tmp_path / "out")
    assert str(done.exception) == "--steps, --seeds are for --teacher diffusion"
    done = command("make", photos, "--teacher", "a.onnx", "--concept", "a", "--concept", "b", "--out", tmp_path / "out")
    assert str(done.exception) == "a.onnx draws one effect; give --concept once"
