from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pocketgan.bench.journal import read_results
from pocketgan.processor import cpu_name

Command = Callable[..., subprocess.CompletedProcess[str]]

QUICK = ("--iterations", "4", "--rounds", "2", "--runs", "1", "--warmup", "1")


def test_bench_prints_a_table_and_where_the_results_are(
    pocketgan: Command, make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    done = pocketgan("bench", make_bundle("a"), make_bundle("b", layers=3), *QUICK)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split()[:5] == ["bundle", "entry", "input", "runtime", "FPS"]
    assert lines[0].endswith("  in 33.3 ms")
    assert [line.split()[:4] for line in lines[2:4]] == [[n, "onnx-fp32", "3x16x16", "onnxruntime"] for n in "ab"]
    assert all(line.endswith("100 %") for line in lines[2:4])
    assert f"measured on {cpu_name()}, " in done.stdout
    assert ": no phone" in done.stdout
    assert "pocketgan report results.jsonl --out report.html" in lines[-1]
    assert len(read_results([tmp_path / "results.jsonl"]).results) == 2
    assert done.stderr == ""


def test_bench_json_is_one_object_of_numbers(
    pocketgan: Command, make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    done = pocketgan("bench", make_bundle(), *QUICK, "--out", tmp_path / "deep" / "r.jsonl", "--json")
    (row,) = json.loads(done.stdout)["measured"]
    assert row["fps"] == pytest.approx(1000 / row["median_ms"])
    assert row["cold_load_ms"] > 0
    assert row["memory_bytes"] > 1e7
    assert row["errors"] == []
    assert row["share_within_budget"] == 1
    assert row["budget"] is None


@pytest.mark.parametrize(
    ("budget", "code", "verdict"),
    [(("--min-fps", "0.001"), 0, "PASS"), (("--max-ms", "1e-6"), 1, "TOO SLOW")],
)
def test_bench_judges_a_budget(
    pocketgan: Command, make_bundle: Callable[..., Path], budget: tuple[str, str], code: int, verdict: str
) -> None:
    done = pocketgan("bench", make_bundle(), "--iterations", 60, "--runs", 1, *budget, "--json")
    assert done.returncode == code
    found = json.loads(done.stdout)
    assert found["verdict"] == found["measured"][0]["budget"]["verdict"] == verdict
    assert found["measured"][0]["share_within_budget"] == (verdict == "PASS")


@pytest.mark.parametrize("mode", ["throughput", "sustained"])
def test_every_mode_measures(pocketgan: Command, make_bundle: Callable[..., Path], mode: str, tmp_path: Path) -> None:
    done = pocketgan("bench", make_bundle(), *QUICK, "--mode", mode, "--seconds", "1.2", "--cool-down", "1", "--json")
    (row,) = json.loads(done.stdout)["measured"]
    assert row["fps"] > 0
    (result,) = read_results([tmp_path / "results.jsonl"]).results
    assert result.job.mode == mode
    assert result.cool_down is not None
    assert pocketgan("report", "results.jsonl").returncode == 0


def test_bench_resumes(pocketgan: Command, make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    bundle = make_bundle()
    pocketgan("bench", bundle, *QUICK)
    done = pocketgan("bench", bundle, *QUICK, "--resume")
    assert done.returncode == 0
    assert "1 of 1 runs are in results.jsonl already" in done.stderr
    assert len(read_results([tmp_path / "results.jsonl"]).results) == 1


def test_bench_of_a_wrong_model_says_no(pocketgan: Command, make_bundle: Callable[..., Path]) -> None:
    done = pocketgan("bench", make_bundle(wrong_by=0.2), *QUICK)
    assert done.returncode == 1
    assert "wrong output: 20.0 dB" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--device", "toaster"), "known devices: local"),
        (("--entry", "onnx-int8"), "has no entry onnx-int8"),
        (("--out", "tiny.pgb"), "line 1 is"),
    ],
)
def test_what_cannot_be_measured_ends_with_one_line(
    pocketgan: Command, make_bundle: Callable[..., Path], arguments: tuple[str, ...], said: str
) -> None:
    bundle = make_bundle()
    before = bundle.read_bytes()
    done = pocketgan("bench", bundle, *QUICK, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert bundle.read_bytes() == before


@pytest.mark.usefixtures("no_adb")
def test_devices_lists_this_host(pocketgan: Command) -> None:
    (device,) = json.loads(pocketgan("devices", "--json").stdout)["devices"]
    assert device["name"] == "local"
    assert "onnxruntime" in device["runtimes"]


@pytest.mark.usefixtures("no_adb")
@pytest.mark.parametrize("way", [(), ("--via", "shell")])
def test_a_phone_without_adb_is_one_line_that_says_how_to_get_it(
    pocketgan: Command, make_bundle: Callable[..., Path], way: Sequence[str]
) -> None:
    bundle = make_bundle()
    for command in (["bench", bundle], ["compare", bundle, bundle]):
        done = pocketgan(*command, "--device", "android", *way)
        assert done.returncode == 2
        [line] = done.stderr.splitlines()
        assert line.startswith("pocketgan: there is no adb")
        assert "pip install 'pocketgan[android]'" in line


def test_verify_agrees_or_names_the_problem(pocketgan: Command, make_bundle: Callable[..., Path]) -> None:
    done = pocketgan("verify", make_bundle("right"), "--json")
    assert (done.returncode, json.loads(done.stdout)) == (
        0,
        {"ok": True, "problems": [], "skipped": {}, "unproven": {}},
    )
    done = pocketgan("verify", make_bundle("wrong", wrong_by=0.2), "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["problems"][0].startswith("onnx-fp32: wrong output")


def test_bench_of_onnx_never_imports_torch(
    environment: dict[str, str], make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    script = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(sorted({'torch', 'onnxruntime', 'executorch', 'jinja2'} & set(sys.modules))))\n"
        f"sys.argv = ['pocketgan', 'bench', {str(make_bundle())!r}, *{QUICK!r}, '--json']\n"
        "from pocketgan.cli import main\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
