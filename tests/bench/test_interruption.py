"""`kill -9` of sessions and of runners at random moments: `--resume` completes, nothing is lost or doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pocketgan.bench.journal import read_results
from pocketgan.bench.runs import measurements

RUNS = 6


def _command(bundles: list[Path], out: Path) -> list[str]:
    options = ["--runs", str(RUNS), "--iterations", "12", "--rounds", "12", "--warmup-timeout", "0", "--out", str(out)]
    return [sys.executable, "-m", "pocketgan", "bench", *map(str, bundles), *options, "--resume"]


def _kill(session: subprocess.Popen[bytes], after_s: float, runner: bool) -> bool:
    """Kill the session, or the runner that it has just then; whether there was one."""
    try:
        session.wait(after_s)
    except subprocess.TimeoutExpired:
        victims = psutil.Process(session.pid).children() if runner else [psutil.Process(session.pid)]
        for victim in victims:
            victim.send_signal(signal.SIGKILL)
        return bool(victims)
    return False


def _torment(bundles: list[Path], out: Path, environment: dict[str, str], kills: int, seed: int) -> Counter[str]:
    """Sessions killed at random moments until there were so many kills, then one that is left alone. Every record that
    was there before a kill must be there after it."""
    chance, done, held = random.Random(seed), Counter[str](), b""
    sessions = 0
    while done.total() < kills:
        victim = chance.choice(["session", "runner"])
        session = subprocess.Popen(
            _command(bundles, out), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        killed = _kill(session, chance.uniform(0.2, 4), victim == "runner")
        done[victim] += killed
        if victim == "session" or not killed:
            session.wait()
        else:
            session.wait(timeout=120)  # it outlives its runner
        now = out.read_bytes() if out.exists() else b""
        assert now.startswith(held[: held.rfind(b"\n") + 1])
        held = now
        sessions += 1
        if _complete(out, len(bundles)):
            _check(out, len(bundles))
            out.unlink()
            held = b""
    end = subprocess.run(_command(bundles, out), env=environment, capture_output=True, text=True, check=False)
    assert end.returncode == 0, end.stderr
    _check(out, len(bundles))
    return done


def _complete(out: Path, bundles: int) -> bool:
    if not out.exists():
        return False
    return sum(bool(result.frames) for result in read_results([out]).results) == bundles * RUNS


def _check(out: Path, bundles: int) -> None:
    """Every run is there once with frames, and all runs of a bundle belong together."""
    results = read_results([out]).results
    timed = Counter((result.job.bundle, result.job.run) for result in results if result.frames)
    assert len(timed) == bundles * RUNS
    assert set(timed.values()) == {1}
    together = [runs for runs in measurements(results) if any(run.frames for run in runs)]
    assert [sum(bool(run.frames) for run in runs) for runs in together] == [RUNS] * bundles


@pytest.mark.slow
def test_a_few_kills(make_bundle: Callable[..., Path], environment: dict[str, str], tmp_path: Path) -> None:
    bundles = [make_bundle("a"), make_bundle("b", layers=2)]
    done = _torment(bundles, tmp_path / "results.jsonl", environment, kills=4, seed=3)
    assert set(done) >= {"session", "runner"}


@pytest.mark.heavy
def test_fifty_kills(make_bundle: Callable[..., Path], environment: dict[str, str], tmp_path: Path) -> None:
    started = time.monotonic()
    done = _torment([make_bundle("a"), make_bundle("b")], tmp_path / "results.jsonl", environment, kills=50, seed=4)
    print(f"\n{done['session']} sessions and {done['runner']} runners killed in {time.monotonic() - started:.0f} s")


def test_ctrl_c_leaves_a_valid_file(
    make_bundle: Callable[..., Path], environment: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "results.jsonl"
    bundles = [make_bundle("a")]
    # A shell's background jobs ignore Ctrl-C, and hand that down.
    heeded = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    session = subprocess.Popen(
        _command(bundles, out), env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=heeded
    )
    while not out.exists() or out.read_bytes().count(b"\n") < 2:
        time.sleep(0.05)
    os.kill(session.pid, signal.SIGINT)
    assert session.stderr is not None
    said = session.stderr.read()
    assert session.wait(timeout=20) != 0
    assert "Traceback" not in said
    assert 1 <= len(read_results([out]).results) < RUNS
