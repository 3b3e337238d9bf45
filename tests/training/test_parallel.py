"""One map over many tasks: the same results wherever they run, none lost, none made twice, none believed unseen."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import parallel_tasks as tasks
import psutil
import pytest
from safetensors.numpy import load_file

from pocketgan import console
from pocketgan.errors import MissingExtraError, PocketganError
from pocketgan.training.parallel import Product, Task, open_pool, task_seed
from pocketgan.training.task_replies import ReplyError
from pocketgan.training.task_work import work_folder

NUMBERS = {f"n{i}": Task({"number": i}) for i in range(4)}


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    with open_pool(workers=2, threads=3) as pool:
        pool.map(tasks.nothing, NUMBERS, tmp_path_factory.mktemp("first"), version="1")  # workers start with a task
        yield pool


@pytest.fixture
def here():
    with open_pool() as pool:
        yield pool


def children() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(p.cmdline())]


# Where it listens, and with what


def test_nothing_listens_but_on_this_machine_itself(two_workers):
    processes = [psutil.Process(), *children()]
    listening = [c.laddr for p in processes for c in p.net_connections() if c.status == psutil.CONN_LISTEN]
    assert len(children()) == 2
    assert len(listening) >= 5  # a scheduler, two nannies, two workers
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert 8787 not in {address.port for address in listening}


def test_a_stranger_on_this_machine_is_not_let_in(two_workers):
    from distributed import Client

    port = int(two_workers._workers._client.scheduler.address.rpartition(":")[2])
    with pytest.raises(OSError):  # closed, or no answer
        Client(f"tcp://127.0.0.1:{port}", timeout=1, set_as_default=False)


def test_no_http_page_is_served(two_workers):
    """Every port is asked as a browser would."""
    for process in [psutil.Process(), *children()]:
        for connection in process.net_connections():
            if connection.status != psutil.CONN_LISTEN:
                continue
            with socket.create_connection(connection.laddr, timeout=2) as stream:
                stream.settimeout(0.3)
                stream.sendall(b"GET /status HTTP/1.0\r\n\r\n")
                with contextlib.suppress(TimeoutError, ConnectionError):
                    assert b"200" not in stream.recv(100).split(b"\r\n")[0]


def test_each_worker_starts_with_the_threads_asked_for(two_workers, tmp_path):
    """In its first environment, which is there before any library loads."""
    rows = two_workers.map(tasks.process, {f"t{i}": Task({"i": i}) for i in range(4)}, tmp_path, version="1")
    assert all(row.ok for row in rows.values())
    assert len({row.value["pid"] for row in rows.values()} - {os.getpid()}) == 2
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    assert [worker.environ()[name] for worker in children() for name in names] == ["3"] * 6


# Results


def test_results_are_the_same_for_any_number_of_workers(two_workers, here, tmp_path):
    with open_pool(workers=1, threads=1) as one:
        pools = {"none": here, "one": one, "two": two_workers}
        found = {
            name: pool.map(tasks.draw, NUMBERS, tmp_path / name, version="1", seed=7) for name, pool in pools.items()
        }
    for other in ("one", "two"):
        assert list(found[other]) == ["n0", "n1", "n2", "n3"]
        for name, outcome in found["none"].items():
            assert found[other][name].value == outcome.value
            assert found[other][name].files["t.safetensors"].read_bytes() == outcome.files["t.safetensors"].read_bytes()


def test_what_a_task_draws_comes_of_the_maps_seed_and_its_arguments(here, tmp_path):
    rows = here.map(tasks.draw, NUMBERS, tmp_path, version="1", seed=7)
    expected = np.random.default_rng(task_seed(7, {"number": 2})).standard_normal((3, 2)).astype(np.float32)
    np.testing.assert_array_equal(load_file(rows["n2"].files["t.safetensors"])["t"], expected)
    other = here.map(tasks.draw, NUMBERS, tmp_path, version="1", seed=8)
    assert len({row.value["sum"] for row in [*rows.values(), *other.values()]}) == 8


def test_a_finished_task_is_not_run_again_until_something_about_it_changes(here, tmp_path):
    log = tmp_path / "log"

    def run(name="a", version="1", **more):
        task = Task({"log": str(log), "name": name, **more})
        return here.map(tasks.log, {name: task}, tmp_path / "out", version=version)[name]

    assert not run().kept
    assert run().kept
    assert run().value == {"name": "a"}
    assert log.read_text().split() == ["a"]
    assert not run(seconds=0.001).kept
    assert not run(version="2").kept
    assert len(log.read_text().split()) == 3


def test_the_content_of_a_path_counts_and_not_its_place(here, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "words").write_text("same")

    def run(folder):
        return here.map(tasks.read, {"t": Task(paths={"words": folder / "words"})}, tmp_path / "out", version="1")["t"]

    assert (run(first).kept, run(second).kept) == (False, True)
    (second / "words").write_text("other words")
    assert run(second).value == {"text": "other words"}


def test_equal_tasks_run_once_under_all_their_names(here, tmp_path):
    task = Task({"log": str(tmp_path / "log"), "name": "x"})
    rows = here.map(tasks.log, {"b": task, "a": task}, tmp_path / "out", version="1")
    assert {name: row.name for name, row in rows.items()} == {"a": "a", "b": "b"}
    assert (tmp_path / "log").read_text().split() == ["x"]


def test_a_damaged_result_is_made_again(here, tmp_path):
    (made,) = here.map(tasks.draw, {"n": Task({"number": 1})}, tmp_path, version="1").values()
    whole = made.files["t.safetensors"].read_bytes()
    made.files["t.safetensors"].write_bytes(whole[:-1])
    (again,) = here.map(tasks.draw, {"n": Task({"number": 1})}, tmp_path, version="1").values()
    assert not again.kept
    assert again.files["t.safetensors"].read_bytes() == whole


def test_two_processes_do_not_fill_one_folder(here, tmp_path):
    holder = "import sys, pathlib; from pocketgan.training.task_results import results_folder\n"
    holder += "with results_folder(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(PocketganError, match=f"another process fills {tmp_path}"):
            here.map(tasks.nothing, NUMBERS, tmp_path, version="1")
        process.stdin.close()


# Failures


@pytest.mark.parametrize("where", ["here", "two_workers"])
def test_a_task_that_fails_is_an_error_of_itself_alone(where, request, tmp_path):
    def accept(task, product):
        if product.files:
            assert_shape(product)

    ways = ["user", "fault", "exit", "nan", "object", "bare", "large", "escape", "pickle", "shape", "none"]
    pool = request.getfixturevalue(where)
    rows = pool.map(
        tasks.misbehave, {way: Task({"way": way}) for way in ways}, tmp_path / "out", version="1", accept=accept,
        largest=100_000,
    )  # fmt: skip
    assert {name: row.error for name, row in rows.items()} == {
        "user": "no such base; make one first",
        "fault": "ZeroDivisionError: division by zero ?[31m",
        "exit": "SystemExit: gone",
        "nan": "the value is not JSON: it holds nan, which is no JSON number",
        "object": "the value is not JSON: it holds ndarray",
        "bare": "parallel_tasks:misbehave gave back dict, not a Product",
        "large": "400,074 bytes; at most 100,000 are taken of one task",
        "escape": "a file may not be called '../t.safetensors'; wanted a plain name.safetensors",
        "pickle": rows["pickle"].error,
        "shape": "t has the shape (2, 3); wanted (3, 2)",
        "none": "",
    }
    assert rows["pickle"].error.startswith("t.safetensors is no whole safetensors file")
    assert rows["none"].value == {"ok": True}
    kept = [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    assert len(kept) == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def assert_shape(product):
    shape = product.shapes("t.safetensors")["t"]
    if shape != tasks.SHAPE:
        raise ReplyError(f"t has the shape {shape}; wanted {tasks.SHAPE}")


def test_why_a_task_failed_is_kept_with_its_traceback_until_it_succeeds(here, tmp_path):
    task = {"t": Task({"way": "until", "marker": str(tmp_path / "marker")})}
    assert not here.map(tasks.misbehave, task, tmp_path, version="1")["t"].ok
    (record,) = tmp_path.glob("*.failed.json")
    told = json.loads(record.read_text())
    assert told["task"] == "t"
    assert told["error"].startswith("FileNotFoundError: ")
    assert "parallel_tasks.py" in told["trace"]
    (tmp_path / "marker").touch()
    assert here.map(tasks.misbehave, task, tmp_path, version="1")["t"].ok
    assert list(tmp_path.glob("*.failed.json")) == []


def test_a_task_goes_on_from_what_it_kept_which_is_gone_once_it_succeeds(here, tmp_path):
    given = {"a": Task({"number": 1})}
    assert not here.map(tasks.go_on, given, tmp_path, version="1")["a"].ok
    assert len(list(tmp_path.glob("*.partial"))) == 1
    assert not here.map(tasks.go_on, {"other": Task({"number": 2})}, tmp_path, version="1")["other"].ok
    assert here.map(tasks.go_on, given, tmp_path, version="1")["a"].value == {"kept": "half of it"}
    assert list(tmp_path.glob("*.partial")) == []


def test_a_task_that_still_runs_elsewhere_leaves_its_folder_to_that_run(tmp_path):
    task = Task(kept=tmp_path / "kept")
    with work_folder(task) as first, work_folder(task) as second:
        assert first == tmp_path / "kept"
        assert second != first
        assert second.is_dir()
    with work_folder(task) as again:
        assert again == first
    assert not second.exists()
    (tmp_path / "file").touch()
    with work_folder(Task(kept=tmp_path / "file" / "kept")) as elsewhere:  # where it cannot be written
        assert elsewhere.is_dir()


def test_what_tasks_say_is_not_shown_beside_the_table(here, tmp_path, capsys):
    here.map(tasks.speak, {"a": Task()}, tmp_path, version="1")
    assert capsys.readouterr().err == ""


def test_who_asks_is_told_of_each_task_that_ends_now(here, tmp_path):
    ended = []
    for numbers in (["n1", "n0"], ["n0", "n2"]):
        given = {name: NUMBERS[name] for name in numbers}
        here.map(tasks.nothing, given, tmp_path, version="1", ended_one=lambda outcome: ended.append(outcome.name))
    assert ended == ["n0", "n1", "n2"]


def test_what_accept_trips_over_ends_that_task_alone(here, tmp_path):
    def accept(task, product):
        product.value["lpips"] if task.arguments["number"] == 1 else None

    rows = here.map(tasks.nothing, NUMBERS, tmp_path, version="1", accept=accept)
    assert [name for name, row in rows.items() if not row.ok] == ["n1"]
    assert rows["n1"].error == "its result cannot be used: KeyError: 'lpips'"


def test_the_task_of_a_killed_worker_is_run_elsewhere_and_none_finishes_twice(two_workers, tmp_path):
    log = tmp_path / "log"
    names = ["a", "b", "victim", "x", "y", "z"]
    rows = two_workers.map(
        tasks.die_at_first, {n: Task({"name": n, "log": str(log)}) for n in names}, tmp_path / "out", version="1"
    )
    assert all(row.ok for row in rows.values())
    lines = log.read_text().splitlines()
    assert sorted(line for line in lines if line.startswith("end")) == sorted(f"end {name}" for name in names)
    assert lines.count("start victim") == 2


def test_tasks_whose_workers_die_at_one_moment_are_run_by_those_that_come_next(two_workers, tmp_path):
    log = tmp_path / "log"
    given = {name: Task({"name": name, "log": str(log), "together": 2}) for name in "ab"}
    rows = two_workers.map(tasks.die_together, given, tmp_path / "out", version="1")
    assert all(row.ok for row in rows.values())
    assert sorted(log.read_text().splitlines()) == ["start a", "start a", "start b", "start b"]


def test_a_task_that_kills_every_worker_is_an_error_of_itself_alone(tmp_path):
    log = tmp_path / "log"
    given = {name: Task({"dies": name == "deadly", "name": name, "log": str(log)}) for name in ("a", "b", "deadly")}
    with open_pool(workers=1, threads=1, retries=1) as pool:
        rows = pool.map(tasks.die_always, given, tmp_path / "out", version="1")
    assert [name for name, row in rows.items() if not row.ok] == ["deadly"]
    assert rows["deadly"].error == (
        "its worker died, 2 times in all (killed, or out of memory?); run the same command to try again"
    )
    assert log.read_text() == "tried\ntried\n"


# Options


def test_no_worker_starts_where_all_results_are_kept(here, tmp_path):
    here.map(tasks.nothing, NUMBERS, tmp_path, version="1")
    before = len(children())
    with open_pool(workers=2, threads=1) as pool:
        rows = pool.map(tasks.nothing, NUMBERS, tmp_path, version="1")
        assert len(children()) == before
    assert all(row.kept for row in rows.values())


def test_without_dask_the_extra_is_named_and_this_process_still_serves(here, tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "distributed" else real(name))
    with pytest.raises(MissingExtraError, match=r"pip install 'pocketgan\[cluster\]'"), open_pool(workers=2):
        pass
    assert here.map(tasks.nothing, NUMBERS, tmp_path, version="1")["n3"].value == {"number": 3}


def test_tasks_in_this_process_do_not_load_dask(tmp_path):
    code = (
        "import sys, pathlib, parallel_tasks as t; from pocketgan.training.parallel import *\n"
        "with open_pool() as pool:\n"
        "    pool.map(t.nothing, {'a': Task({'number': 1})}, pathlib.Path(sys.argv[1]), version='1')\n"
        "print([m for m in ('dask', 'distributed', 'torch') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env={**os.environ, "PYTHONPATH": str(Path(tasks.__file__).parent)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"workers": -1}, "--workers -1: wanted 0 (this process) or more"),
        ({"workers": 1, "threads": 0}, "--threads 0: wanted 1 or more"),
        ({"workers": 1, "address": "tcp://h:1"}, "--address and --workers exclude each other"),
    ],
)
def test_options_that_cannot_be_are_one_line(options, line):
    with pytest.raises(PocketganError) as told, open_pool(**options):
        pass
    assert str(told.value).startswith(line)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"": Task()}, "'' is no name of a task"),
        ({"a\x1bb": Task()}, "'a?b' is no name of a task"),
        ({"a": Task({"x": (1, 2)})}, "the arguments of a cannot be sent: the value is not JSON: it holds tuple"),
        (
            {"a": Task({"x": {1: 2}})},
            "the arguments of a cannot be sent: the value is not JSON: a key is int, not text",
        ),
        ({"a": Task(paths={"base": Path("missing.safetensors")})}, "missing.safetensors cannot be read"),
    ],
)
def test_a_task_that_cannot_be_sent_is_one_line(given, line, here, tmp_path):
    with pytest.raises(PocketganError) as told:
        here.map(tasks.nothing, given, tmp_path, version="1")
    assert str(told.value).startswith(line)


def test_a_function_that_workers_cannot_import_is_a_fault_of_the_program(here, tmp_path):
    with pytest.raises(TypeError, match="not at the top of a module"):
        here.map(lambda task, seed: Product({}), NUMBERS, tmp_path, version="1")


# What the user sees


def test_failures_are_plain_lines_where_there_is_no_terminal(here, tmp_path, capsys):
    given = {way: Task({"way": way}) for way in ("user", "none")}
    here.map(tasks.misbehave, given, tmp_path, version="1", label="concept")
    assert capsys.readouterr().err == "concept: user failed: no such base; make one first\n"


def test_the_table_shows_what_runs_and_what_failed():
    from rich.console import Console

    table = console.TaskTable("concept", 260, done=12)
    table._live = object()
    for i in range(12):
        table.end(f"f{i}", f"[b]line {i}[/b]")
    table.start("comic")
    table.end("oil")
    screen = Console(width=60, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    screen.print(table)
    lines = screen.export_text().splitlines()
    assert lines[0].strip() == "concept: 13/260 done, 12 failed"
    assert lines[1].split() == ["concept", "state", "seconds"]
    assert [line.split()[0] for line in lines[2:]] == [*(f"f{i}" for i in range(2, 12)), "and", "comic"]
    assert "[b]line 11[/b]" in lines[11]
    assert lines[-1].split()[1:] == ["runs", "0"]


# Scale, by `make bench`


@pytest.mark.heavy
def test_260_tiny_tasks(tmp_path):
    given = {f"t{i:03}": Task({"number": i}) for i in range(260)}
    for workers in (0, 2):
        with open_pool(workers=workers, threads=1) as pool:
            pool.map(tasks.nothing, {"first": Task({"number": -1})}, tmp_path / f"{workers}", version="1")
            started = time.perf_counter()
            rows = pool.map(tasks.nothing, given, tmp_path / f"{workers}", version="1")
            seconds = time.perf_counter() - started
        assert [row.value["number"] for row in rows.values()] == list(range(260))
        print(f"\n260 tasks on {workers} workers: {seconds:.2f} s, {seconds / 260 * 1e3:.1f} ms a task")


@pytest.mark.heavy
def test_twelve_tasks_on_two_workers_take_at_most_six_tenths(tmp_path):
    given = {f"t{i:02}": Task({"times": 150, "number": i}) for i in range(12)}
    seconds = {}
    for workers, threads in ((1, 1), (2, 1), (1, 2)):
        out = tmp_path / f"{workers}-{threads}"
        with open_pool(workers=workers, threads=threads) as pool:
            # Each has torch loaded.
            pool.map(tasks.matrices, {f"w{i}": Task({"times": 1, "i": i}) for i in range(workers)}, out, version="1")
            started = time.perf_counter()
            pool.map(tasks.matrices, given, out, version="1")
            seconds[workers, threads] = time.perf_counter() - started
        print(f"\n12 tasks, {workers} workers of {threads} threads: {seconds[workers, threads]:.1f} s", end="")
    print(f"\ntwo workers take {seconds[2, 1] / seconds[1, 1]:.2f} of one worker's time")
    assert seconds[2, 1] <= 0.6 * seconds[1, 1]
