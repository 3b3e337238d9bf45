"""Results by commit: nothing twice, nothing half, and the same on every way in and out."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic_results as synthetic

pytest.importorskip("sqlalchemy")

from pocketgan.bench.gate import compare
from pocketgan.bench.journal import Results, read_results
from pocketgan.bench.parquet import read_parquet, write_parquet
from pocketgan.bench.schema.result import Result
from pocketgan.bench.store import Store
from pocketgan.bench.verdict import Verdict
from pocketgan.errors import ResultsError

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes a results file of a commit on which the student takes `factor` times as long."""

    def write(name: str, factor: float = 1.0, **changes: Any) -> Path:
        record = synthetic.result("student", "onnx-fp32", session=name, **changes)
        for frame in record["frames"]:
            frame["inference_ns"] = int(frame["inference_ns"] * factor)
        path: Path = synthetic.write_records(tmp_path / f"{name}.jsonl", [synthetic.bundle("student"), record])
        return path

    return write


def test_what_goes_in_comes_out_once(written: Callable[..., Path], tmp_path: Path) -> None:
    where = str(tmp_path / "store.db")
    with Store(where) as store:
        assert store.add([written("monday")], "a" * 40) == (1, 0)
        assert store.add([written("monday")], "a" * 40) == (0, 1)
        store.add([written("tuesday")], "b" * 40)
    with Store(where) as store:
        found = store.results("aaaa")
        assert found.results == read_results([tmp_path / "monday.jsonl"]).results
        assert found.bundles == read_results([tmp_path / "monday.jsonl"]).bundles
        store.tag("last-green", "bbbb")
        assert store.results("last-green").results[0].session == "tuesday"
        store.tag("last-green", "aaaa")
        assert store.results("last-green").results[0].session == "monday"
        assert len(store.everything()) == 3


def test_unknown_and_doubtful_names_are_refused(written: Callable[..., Path], tmp_path: Path) -> None:
    with Store(str(tmp_path / "store.db")) as store:
        with pytest.raises(ResultsError, match=r"knows no commit or tag v1; it is empty"):
            store.results("v1")
        store.add([written("monday")], "abcd1" + "0" * 35)
        store.add([written("tuesday")], "abcd2" + "0" * 35)
        with pytest.raises(ResultsError, match="several commits begin with abcd; give more"):
            store.results("abcd")
        assert store.results("abcd1").results[0].session == "monday"
        with pytest.raises(ResultsError, match="knows no commit or tag abc;"):  # three letters name too many
            store.results("abc")
        with pytest.raises(ResultsError, match=r"knows no commit or tag v1; the latest are abcd20000000, abcd10000000"):
            store.tag("last-green", "v1")


def test_a_broken_file_adds_nothing(written: Callable[..., Path], tmp_path: Path) -> None:
    stray = synthetic.write_records(tmp_path / "stray.jsonl", [synthetic.result("teacher", "onnx-fp32")])
    with Store(str(tmp_path / "store.db")) as store:
        with pytest.raises(ResultsError, match=r"a result of teacher .* has no bundle record"):
            store.add([written("monday"), stray], "a" * 40)
        assert store.everything() == []


@pytest.mark.parametrize("where", ["nothing://x", "postgresql://localhost:1/none", "/proc/none/store.db"])
def test_a_database_that_cannot_be_used_is_one_line(where: str) -> None:
    with pytest.raises(ResultsError) as caught:
        Store(where)
    assert where in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "command", [("history",), ("store", "tag", "green", "abcd"), ("store", "export", "--out", "x.jsonl")]
)
def test_reading_makes_no_store(command: tuple[str, ...], pocketgan: Command, tmp_path: Path) -> None:
    done = pocketgan(*command, "--store", "typo.db")
    begin = "begin one: pocketgan store add results.jsonl --store typo.db"
    assert (done.returncode, done.stderr) == (2, f"pocketgan: there is no store typo.db; {begin}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes " * 100)
    with pytest.raises(ResultsError, match="cannot be used as a store"):
        Store(str(path))
    assert path.read_text() == "my notes " * 100


def test_history_shows_the_commit_that_made_it_slower(
    written: Callable[..., Path], pocketgan: Command, tmp_path: Path
) -> None:
    rng = np.random.default_rng(8)
    where = str(tmp_path / "store.db")
    with Store(where) as store:
        for number in range(24):
            factor = (1.08 if number >= 15 else 1.0) * float(rng.normal(1, 0.008))
            store.add([written(f"day{number}", factor)], f"{number:040x}")
        (series,) = store.history()
    assert len(series.points) == 24
    done = pocketgan("history", "--store", where, "--json")
    (found,) = json.loads(done.stdout)["series"]
    assert [level["commit"] for level in found["levels"]] == [f"{0:040x}", f"{15:040x}"]
    assert found["levels"][1]["median_ms"] / found["levels"][0]["median_ms"] == pytest.approx(1.08, abs=0.01)
    assert done.returncode == 0
    done = pocketgan("history", "--store", where, "--max-slowdown", "5%")
    assert done.returncode == 1
    assert "+8" in done.stdout
    assert pocketgan("history", "--store", where, "--max-slowdown", "20%").returncode == 0


def test_the_latest_session_of_a_commit_counts_and_emulators_never(
    written: Callable[..., Path], tmp_path: Path
) -> None:
    with Store(str(tmp_path / "store.db")) as store:
        store.add([written("first", 2.0)], "a" * 40)
        store.add([written("second", 1.0)], "a" * 40)
        device = {**synthetic.DEVICE, "simulated": True}
        store.add([written("third", 0.1, device=device)], "a" * 40)
        (series,) = store.history("student", "onnx-fp32")
        assert store.history("teacher") == []
    (point,) = series.points
    assert point.median_ms == pytest.approx(11.9, rel=0.05)


def test_commits_are_compared_and_pass_moves_last_green(
    written: Callable[..., Path], pocketgan: Command, tmp_path: Path
) -> None:
    for name, factor in (("one", 1.0), ("two", 0.9), ("three", 1.3)):
        done = pocketgan("store", "add", written(name, factor), "--commit", name * 5, "--store", "s.db")
        assert done.returncode == 0, done.stderr
    assert pocketgan("store", "tag", "last-green", "oneone", "--store", "s.db").returncode == 0
    done = pocketgan("compare", "last-green", "twotwo", "--store", "s.db")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "PASS")
    with Store(str(tmp_path / "s.db")) as store:
        assert store.results("last-green").results[0].session == "two"
    assert pocketgan("compare", "last-green", "threethree", "--store", "s.db").returncode == 1
    with Store(str(tmp_path / "s.db")) as store:
        assert store.results("last-green").results[0].session == "two"
    done = pocketgan("compare", "last-green", "threethree")
    assert (done.returncode, done.stderr) == (
        2,
        "pocketgan: there is no file last-green; a commit or a tag needs --store\n",
    )


def test_parquet_keeps_what_only_a_camera_tells(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    example = Path(__file__).resolve().parents[2] / "bench" / "schema" / "examples" / "valid-result-camera.json"
    camera = Result.model_validate_json(example.read_bytes())
    write_parquet(tmp_path / "camera.parquet", [("", camera)])
    assert read_parquet(tmp_path / "camera.parquet") == [("", camera)]


def test_jsonl_and_parquet_carry_everything_there_and_back(
    written: Callable[..., Path], pocketgan: Command, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    usual = synthetic.write_records(tmp_path / "usual.jsonl", synthetic.usual_records(count=20))
    pocketgan("store", "add", usual, "--commit", "f" * 40, "--store", "a.db")
    pocketgan("store", "add", written("later"), "--commit", "e" * 40, "--store", "a.db")
    for name in ("all.jsonl", "all.parquet"):
        done = pocketgan("store", "export", "--out", name, "--store", "a.db")
        assert done.returncode == 0, done.stderr
    done = pocketgan("store", "add", "all.parquet", "--store", "b.db", "--commit", "unused")
    assert done.returncode == 0, done.stderr
    with pytest.raises(ResultsError, match="knows no commit or tag unused"), Store(str(tmp_path / "b.db")) as b:
        b.results("unused")  # the file names its own
    with Store(str(tmp_path / "a.db")) as a, Store(str(tmp_path / "b.db")) as b:
        assert sorted(map(str, a.everything())) == sorted(map(str, b.everything()))
        assert [point.commit for series in b.history("student", "onnx-fp32") for point in series.points] == [
            "f" * 40,
            "e" * 40,
        ]
    assert len(read_results([tmp_path / "all.jsonl"]).results) == 7
    assert {pair.verdict for pair in _against_itself(read_results([tmp_path / "all.jsonl"]))} <= set(Verdict)
    (tmp_path / "text.parquet").write_text("no parquet")
    done = pocketgan("store", "add", "text.parquet", "--store", "b.db", "--commit", "x")
    assert done.returncode == 2
    assert "is no Parquet file of results" in done.stderr


def _against_itself(results: Results) -> Any:
    return compare(results, results)


def test_a_store_survives_kill_9_while_it_is_filled(
    written: Callable[..., Path], environment: dict[str, str], tmp_path: Path
) -> None:
    chance, where, files = random.Random(1), tmp_path / "store.db", [written(f"day{number}") for number in range(6)]
    command = [sys.executable, "-m", "pocketgan", "store", "add", *map(str, files), "--commit", "c" * 40]
    for _ in range(5):
        adding = subprocess.Popen([*command, "--store", str(where)], env=environment, stdout=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.2, 1.6))
        os.kill(adding.pid, signal.SIGKILL)
        adding.wait()
        with Store(str(where)) as store:
            assert len(store.everything()) in (0, 7)
    subprocess.run([*command, "--store", str(where)], env=environment, check=True, stdout=subprocess.DEVNULL)
    with Store(str(where)) as store:
        assert len(store.everything()) == 7
