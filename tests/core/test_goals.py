"""Goals of speed: run by `make bench`, which prints what was measured; never part of `make test`."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from pocketgan.training.cost import cost_function
from pocketgan.training.generators import build, spec_by_name
from pocketgan.training.search import search

pytestmark = pytest.mark.heavy
ROOT = Path(__file__).parents[2]
POCKETGAN = Path(sys.executable).parent / "pocketgan"


def seconds(command, repeats=5, cwd=ROOT):
    """The best of several runs, in seconds of wall time."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=cwd)
        times.append(time.perf_counter() - started)
    return min(times)


@pytest.mark.parametrize(
    ("name", "budget", "goal_s", "paper"),
    [("incres9", 2.6e9, 0.030, "3.6-4.3"), ("incres-spade", 5.6e9, 0.100, "6.2-8.2")],
)
def test_the_papers_searches_take_milliseconds_on_one_thread(name, budget, goal_s, paper):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        spec = spec_by_name(name)
        teacher = build(spec)
        found = [search(teacher, spec, cost_function("macs_by_output"), budget) for _ in range(20)]
    finally:
        torch.set_num_threads(threads)
    median = sorted(result.seconds for result in found)[10]
    print(
        f"\n{name} to {budget / 1e9:g}G by output: {median * 1e3:.1f} ms, {found[0].evaluations} evaluations, "
        f"no forward pass (the paper's: {paper} GPU-seconds)"
    )
    assert median <= goal_s


def test_help_takes_less_than_two_fifths_of_a_second():
    best = seconds([POCKETGAN, "--help"])
    print(f"\npocketgan --help: {best:.2f} s")
    assert best <= 0.4


def test_importing_the_api_takes_60_ms_over_bare_python_at_most():
    bare, imported = (seconds([sys.executable, "-c", code], 20) for code in ("pass", "from pocketgan import api"))
    print(f"\nfrom pocketgan import api: {(imported - bare) * 1e3:.0f} ms over bare Python's {bare * 1e3:.0f} ms")
    assert imported - bare <= 0.060


def test_a_second_run_of_the_demo_takes_less_than_5_seconds():
    if not (ROOT / "runs" / "demo" / "report" / "report.html").is_file():
        pytest.skip("run `make demo` first")
    best = seconds([POCKETGAN, "run", "demo"], repeats=2)
    print(f"\npocketgan run demo, everything skipped: {best:.2f} s")
    assert best < 5
