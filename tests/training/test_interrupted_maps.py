"""A map over tasks whose driver is killed or stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import parallel_tasks as tasks
import psutil

# Ctrl-C works whoever started the tests: a shell's background jobs ignore it, and so does what they start.
DRIVER = """
import signal, sys
from pathlib import Path
import parallel_tasks as tasks
from pocketgan.training.parallel import Task, open_pool

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = Path(sys.argv[1])
    with open_pool(workers=2, threads=1) as pool:
        if sys.argv[2] == "long":
            given, function = {str(i): Task({"i": i, "pids": str(folder / "pids")}) for i in range(4)}, tasks.wait_long
        else:
            given = {f"t{i}": Task({"name": f"t{i}", "log": str(folder / "log"), "seconds": 0.25}) for i in range(8)}
            function = tasks.log
        rows = pool.map(function, given, folder / "out", version="1")
    print(sum(row.kept for row in rows.values()), sum(row.ok for row in rows.values()))
"""


def start_driver(tmp_path: Path, what: str) -> subprocess.Popen[str]:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    return subprocess.Popen(
        [sys.executable, str(script), str(tmp_path), what],
        env={**os.environ, "PYTHONPATH": str(Path(tasks.__file__).parent)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def wait_until(holds, seconds=120.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def finished(out: Path) -> set[str]:
    return {json.loads(path.read_text())["task"] for path in out.glob("*/result.json")}


def test_a_killed_driver_goes_on_where_it_was(tmp_path):
    out = tmp_path / "out"
    with start_driver(tmp_path, "short") as driver:
        wait_until(lambda: len(finished(out)) >= 3)
        workers = psutil.Process(driver.pid).children(recursive=True)
        driver.kill()
    done = finished(out)
    assert psutil.wait_procs(workers, timeout=10)[1] == []
    with start_driver(tmp_path, "short") as driver:
        told, errors = driver.communicate(timeout=120)
    assert (told, errors) == (f"{len(done)} 8\n", "")
    runs = (tmp_path / "log").read_text().split()
    assert {name: runs.count(name) for name in done} == dict.fromkeys(done, 1)
    assert finished(out) == {f"t{i}" for i in range(8)}


def test_an_interrupt_ends_the_workers_and_leaves_nothing_half_written(tmp_path):
    with start_driver(tmp_path, "long") as driver:
        wait_until(lambda: (tmp_path / "pids").exists() and len((tmp_path / "pids").read_text().splitlines()) == 2)
        workers = psutil.Process(driver.pid).children(recursive=True)
        started = time.monotonic()
        os.killpg(driver.pid, signal.SIGINT)  # as a terminal does: to the workers too
        _, errors = driver.communicate(timeout=120)
        assert time.monotonic() - started < 10
    assert psutil.wait_procs(workers, timeout=5)[1] == []
    # Python's own traceback of the driver, and nothing of the workers.
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]
