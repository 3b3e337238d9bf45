"""Concepts of packs on this computer: checked, drawn, measured side by side, told apart afterwards."""

from __future__ import annotations

import base64
import io
import json
import re
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from concept_pack import COLOURS, DEFAULT, ENTRY, colours_of, pack_of_concepts
from PIL import Image

from pocketgan.bench.compare import _matched
from pocketgan.bench.devices.local import LocalDevice
from pocketgan.bench.devices.session_folder import files_of
from pocketgan.bench.jobs import EVERY_CONCEPT, JobOptions
from pocketgan.bench.journal import BundleRecord, line_of, read_results
from pocketgan.bench.plan import SessionPlan
from pocketgan.bench.schema.job import Job, Warmup
from pocketgan.bench.session import measure
from pocketgan.bundle.reader import open_bundle
from pocketgan.pictures import read_image

Command = Callable[..., subprocess.CompletedProcess[str]]
MakePack = Callable[..., Path]

QUICK = ("--iterations", 4, "--rounds", 2, "--runs", 1, "--warmup", 1, "--warmup-timeout", 0)
HOME = f"models/{ENTRY}"


@pytest.fixture
def make_pack(tmp_path: Path) -> MakePack:
    def make(name: str = "effects", **changes: object) -> Path:
        return pack_of_concepts(tmp_path / f"{name}-unpacked", tmp_path / f"{name}.pgb", name=name, **changes)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results file of every concept of a pack."""
    folder = tmp_path_factory.mktemp("measured")
    pack, out = pack_of_concepts(folder / "unpacked", folder / "effects.pgb"), folder / "results.jsonl"
    options = JobOptions(
        iterations=4, rounds=2, runs=1, warmup=Warmup(iterations=1, timeout_s=0), concepts=(EVERY_CONCEPT,)
    )
    measure([pack], LocalDevice(lock_folder=folder), options, out)
    return out


def test_verify_runs_every_concept_and_names_the_one_that_differs(make_pack: MakePack, pocketgan: Command) -> None:
    make_pack(wrong="sepia")
    done = pocketgan("verify", "effects.pgb", "--json")
    assert done.returncode == 1
    (problem,) = json.loads(done.stdout)["problems"]
    assert problem.startswith(f"{ENTRY} sepia: wrong output")
    assert pocketgan("verify", "effects.pgb", "--concept", f"{DEFAULT},mirror-blue").returncode == 0


def test_a_patched_concept_is_what_it_should_be(make_pack: MakePack, pocketgan: Command) -> None:
    make_pack(way="patch")
    assert pocketgan("verify", "effects.pgb").returncode == 0


def test_concepts_are_measured_side_by_side(measured: Path) -> None:
    results = read_results([measured]).results
    assert [result.job.concept for result in results] == list(COLOURS)
    assert all(result.parity is not None and result.frames for result in results)
    assert len({result.process for result in results}) == 1


def test_only_concepts_that_are_missing_are_measured_again(
    measured: Path, make_pack: MakePack, pocketgan: Command, tmp_path: Path
) -> None:
    make_pack()
    kept = [line for line in measured.read_text().splitlines() if '"concept":"sepia"' not in line]
    (tmp_path / "results.jsonl").write_text("".join(f"{line}\n" for line in kept))
    done = pocketgan("bench", "effects.pgb", "--concept", "all", *QUICK, "--resume", "--json")
    assert [row["concept"] for row in json.loads(done.stdout)["measured"]] == list(COLOURS)
    results = read_results([tmp_path / "results.jsonl"]).results
    assert [result.job.concept for result in results] == [DEFAULT, "mirror-blue", "sepia"]


def test_a_pack_is_measured_as_it_stands_where_nobody_asks(make_pack: MakePack) -> None:
    with open_bundle(make_pack()) as bundle:
        assert [job.concept for job in SessionPlan([bundle], LocalDevice(), JobOptions(runs=1)).jobs] == [DEFAULT]


@pytest.mark.parametrize("command", [("verify",), ("bench",), ("apply", "photo.png", "--out", "out")])
@pytest.mark.parametrize(
    ("bundle", "line"),
    [
        ("effects.pgb", "effects.pgb: has no concept ink; it has: plain, sepia, mirror-blue"),
        ("tiny.pgb", "tiny.pgb: is no pack of concepts, it draws one effect alone; leave --concept out"),
    ],
)
def test_a_concept_that_is_not_there_is_one_line(
    make_pack: MakePack,
    make_bundle: MakePack,
    pocketgan: Command,
    tmp_path: Path,
    command: tuple[str, ...],
    bundle: str,
    line: str,
) -> None:
    make_pack() if bundle == "effects.pgb" else make_bundle()
    Image.new("RGB", (16, 16)).save(tmp_path / "photo.png")
    done = pocketgan(command[0], bundle, *command[1:], "--concept", "ink")
    assert (done.returncode, done.stderr) == (2, f"pocketgan: {line}\n")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "results.jsonl").exists()


def test_apply_draws_the_concept(make_pack: MakePack, pocketgan: Command, tmp_path: Path) -> None:
    make_pack()
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    assert pocketgan("apply", "effects.pgb", "photo.png", "--out", "out", "--concept", "sepia").returncode == 0
    values = pixels.transpose(2, 0, 1)[None].astype("f4") / 127.5 - 1
    expected = np.clip((colours_of(values, "sepia")[0].transpose(1, 2, 0) + 1) * 127.5 + 0.5, 0, 255)
    drawn = read_image(tmp_path / "out" / "photo.png").astype(int)
    assert abs(drawn - expected.astype(int)).max() <= 1


def test_a_session_elsewhere_gets_the_files_of_the_asked_concept(make_pack: MakePack) -> None:
    with open_bundle(make_pack()) as bundle:

        def sent(concept: str | None) -> set[str]:
            paths = files_of([(bundle, Job(bundle=bundle.digest, entry=ENTRY, concept=concept, via="app"))])
            return {path.removeprefix(f"bundles/{bundle.digest}/") for path in paths} - {"manifest.json"}

        shared = {f"{HOME}/weights.data", "golden/rgb/x.bin"}
        own = {f"{HOME}/sepia.onnx", "golden/rgb-sepia/inputs.sha256", "golden/rgb-sepia/y.bin"}
        assert sent("sepia") == shared | own
        assert sent(None) == sent(DEFAULT) == shared | {f"{HOME}/model.onnx", "golden/rgb/y.bin"}


def test_results_are_matched_by_their_concepts(measured: Path, pocketgan: Command, tmp_path: Path) -> None:
    lines = measured.read_text().splitlines()
    (tmp_path / "b.jsonl").write_text("".join(f"{line}\n" for line in lines if f'"concept":"{DEFAULT}"' not in line))

    def matched(*more: str) -> list[str]:
        answer = json.loads(pocketgan("compare", measured, "b.jsonl", *more, "--json").stdout)
        return [pair["concept"] for pair in answer["pairs"]]

    assert matched() == ["sepia", "mirror-blue"]
    assert matched("--concept", "sepia") == ["sepia"]
    none = pocketgan("compare", measured, "b.jsonl", "--concept", "ink")
    assert (none.returncode, none.stderr) == (2, "pocketgan: the results share no entry that draws ink\n")


def test_bundles_are_compared_concept_by_concept_or_each_sides_only_one(make_pack: MakePack) -> None:
    base, candidate = make_pack("base", second_entry=True), make_pack("new", second_entry=True, default="still")
    with open_bundle(base) as one, open_bundle(candidate) as other:

        def matched(*concepts: str) -> list[tuple[tuple[object, ...], tuple[object, ...]]]:
            return list(_matched(one, other, LocalDevice(), JobOptions(concepts=concepts)))

        sepia = (ENTRY, "sepia", None)
        assert matched("sepia") == [(sepia, sepia)]
        assert matched(EVERY_CONCEPT) == [(sepia, sepia), ((ENTRY, "mirror-blue", None),) * 2]
        # Their defaults have other names, and each is all that its side draws.
        entries = [ENTRY, f"{ENTRY}-2"]
        assert matched() == [((entry, DEFAULT, None), (entry, "still", None)) for entry in entries]


def test_a_store_keeps_a_history_of_each_concept(measured: Path, pocketgan: Command) -> None:
    assert pocketgan("store", "add", measured, "--commit", "aaaa").returncode == 0
    series = json.loads(pocketgan("history", "--json").stdout)["series"]
    assert sorted(one["concept"] for one in series) == sorted(COLOURS)
    only = json.loads(pocketgan("history", "--concept", "sepia", "--json").stdout)["series"]
    assert [one["concept"] for one in only] == ["sepia"]


def test_a_store_of_an_earlier_version_is_gone_on_with(measured: Path, pocketgan: Command, tmp_path: Path) -> None:
    pocketgan("store", "add", measured, "--commit", "aaaa")
    with closing(sqlite3.connect(tmp_path / "pocketgan.db")) as earlier:
        earlier.execute("DELETE FROM results")
        earlier.execute("ALTER TABLE results DROP COLUMN concept")
        earlier.commit()
    assert pocketgan("store", "add", measured, "--commit", "bbbb").returncode == 0
    series = json.loads(pocketgan("history", "--json").stdout)["series"]
    assert sorted(one["concept"] for one in series) == sorted(COLOURS)


def test_the_record_of_a_plain_bundle_holds_nothing_that_earlier_versions_refuse(make_bundle: MakePack) -> None:
    with open_bundle(make_bundle()) as bundle:
        record = json.loads(line_of(BundleRecord(digest=bundle.digest, manifest=bundle.manifest)))
    assert set(record) == {"record", "digest", "manifest", "samples"}
    # The manifest's fields of version 1.0 (git history), those at their defaults left out.
    assert set(record["manifest"]) <= {
        "format_version", "name", "role", "trained", "spec", "spec_digest", "cost", "quality", "diffusion", "entries",
        "golden", "licenses", "created_with",
    }  # fmt: skip
    assert set(record["manifest"]["golden"][0]) == {"id", "inputs", "outputs"}


def test_a_later_versions_bundle_record_is_read_without_its_new_fields(make_bundle: MakePack, tmp_path: Path) -> None:
    with open_bundle(make_bundle()) as bundle:
        record = json.loads(line_of(BundleRecord(digest=bundle.digest, manifest=bundle.manifest)))
    record["manifest"] |= {"format_version": "1.99", "colour": "red"}
    path = tmp_path / "later.jsonl"
    path.write_text(json.dumps(record, separators=(",", ":")) + "\n")
    assert [one.manifest.name for one in read_results([path]).bundles.values()] == ["tiny"]


def test_the_report_shows_every_concept_on_the_golden_picture(
    measured: Path, pocketgan: Command, tmp_path: Path
) -> None:
    assert pocketgan("report", measured).returncode == 0
    page = (tmp_path / "report.html").read_text()
    effects = page[page.index('id="effects"') : page.index('id="forms"')]
    assert re.findall(r'alt="Photo 1, ([^"]+)"', effects) == list(COLOURS)
    assert "an old photo" in effects
    assert "a photo at night" in effects
    assert effects.count("data:image/jpeg;base64,") == 2 + len(COLOURS)


def test_in_the_matrix_every_concept_is_a_row(measured: Path, pocketgan: Command, tmp_path: Path) -> None:
    lines = measured.read_text().splitlines()
    records = [json.loads(line) for line in lines if line.startswith('{"record":"result"')]
    elsewhere = [record | {"device": record["device"] | {"cpu": "another"}} for record in records]
    path = tmp_path / "two.jsonl"
    path.write_text("".join(f"{line}\n" for line in [*lines, *map(json.dumps, elsewhere)]))
    told = json.loads(pocketgan("report", path, "--json").stdout)["matrix"]
    assert len(told["devices"]) == 2
    assert {(row["entry"], row["concept"]) for row in told["rows"]} == {(ENTRY, concept) for concept in COLOURS}


def test_the_gallery_shows_the_users_photos_and_a_later_run_leaves_them(
    make_pack: MakePack, pocketgan: Command, tmp_path: Path
) -> None:
    make_pack()
    (tmp_path / "photos").mkdir()
    for number in range(5):
        Image.new("RGB", (32, 20), (50 * number, 100, 200)).save(tmp_path / "photos" / f"{number}.png")
    done = pocketgan("bench", "effects.pgb", *QUICK, "--gallery", "photos")
    assert done.returncode == 0, done.stderr
    pocketgan("bench", "effects.pgb", *QUICK)
    (record,) = read_results([tmp_path / "results.jsonl"]).bundles.values()
    assert len(record.gallery) == 4
    assert [set(row.outputs) for row in record.gallery] == [set(COLOURS)] * 4
    drawn = _average(record.gallery[0].outputs["sepia"])
    sepia = COLOURS["sepia"] @ (np.array([0, 100, 200]) / 127.5 - 1)
    assert drawn == pytest.approx((np.clip(sepia, -1, 1) + 1) * 127.5, abs=3)


def _average(picture: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        assert image.size == (16, 10)  # the photo's proportions, as large as the network takes
        return np.asarray(image, float).mean((0, 1))


def test_an_untrained_pack_shows_no_pictures(make_pack: MakePack, pocketgan: Command, tmp_path: Path) -> None:
    make_pack(trained=False)
    pocketgan("bench", "effects.pgb", *QUICK)
    pocketgan("report", "results.jsonl")
    page = (tmp_path / "report.html").read_text()
    assert 'id="effects"' in page
    assert "data:image/" not in page.replace("img-src data:", "")


def test_photos_without_a_pack_are_refused(
    make_bundle: Callable[..., Path], pocketgan: Command, tmp_path: Path
) -> None:
    make_bundle()
    done = pocketgan("bench", "tiny.pgb", "--gallery", tmp_path, *QUICK)
    assert done.returncode == 2
    assert "none of the bundles is a pack" in done.stderr
