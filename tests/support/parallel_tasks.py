"""Tasks for the tests of parallel.py, where worker processes can import them."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from pocketgan import console
from pocketgan.errors import ModelError
from pocketgan.training.parallel import Product, Task
from pocketgan.training.task_work import work_folder

SHAPE = (3, 2)


def draw(task: Task, seed: int) -> Product:
    """A value and a tensor that come of the seed alone."""
    tensor = np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)
    return Product(
        {"number": task.arguments["number"], "sum": float(tensor.sum())}, {"t.safetensors": save({"t": tensor})}
    )


def process(task: Task, seed: int) -> Product:
    """Where the task runs; it takes a moment, so that no worker does all."""
    time.sleep(0.2)
    return Product({"pid": os.getpid()})


def read(task: Task, seed: int) -> Product:
    return Product({"text": task.paths["words"].read_text()})


def log(task: Task, seed: int) -> Product:
    """Adds its name to a file, once a run, and then takes a moment."""
    with Path(task.arguments["log"]).open("a") as file:
        file.write(f"{task.arguments['name']}\n")
    time.sleep(task.arguments.get("seconds", 0.0))
    return Product({"name": task.arguments["name"]})


def die_at_first(task: Task, seed: int) -> Product:
    """The task named `victim` kills its worker the first time; every start and every end is written down."""
    log = Path(task.arguments["log"])
    with log.open("a") as file:
        file.write(f"start {task.arguments['name']}\n")
    died = log.with_name("died")
    if task.arguments["name"] == "victim" and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    with log.open("a") as file:
        file.write(f"end {task.arguments['name']}\n")
    return Product({"pid": os.getpid()})


def die_together(task: Task, seed: int) -> Product:
    """Kills its worker the first time, once as many tasks as `together` says have started; all starts are counted."""
    log = Path(task.arguments["log"])
    again = log.exists() and f"start {task.arguments['name']}\n" in log.read_text()
    with log.open("a") as file:
        file.write(f"start {task.arguments['name']}\n")
    if not again:
        end = time.monotonic() + 30  # where a worker is lost on a busy computer, alone
        while len(log.read_text().splitlines()) < task.arguments["together"] and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(1)  # whom Dask has just started, and sees die, it does not start again
        os.kill(os.getpid(), signal.SIGKILL)
    return Product({"name": task.arguments["name"]})


def die_always(task: Task, seed: int) -> Product:
    if task.arguments["dies"]:
        with Path(task.arguments["log"]).open("a") as file:
            file.write("tried\n")
        os.kill(os.getpid(), signal.SIGKILL)
    return Product({})


def misbehave(task: Task, seed: int) -> Product:
    """Fails in the way that its argument names."""
    match task.arguments["way"]:
        case "user":
            raise ModelError("no such base; make one first")
        case "until":
            return Product({"text": Path(task.arguments["marker"]).read_text()})
        case "fault":
            raise ZeroDivisionError("division by\nzero \x1b[31m")
        case "exit":
            sys.exit("gone")
        case "nan":
            return Product({"loss": float("nan")})
        case "object":
            return Product({"array": np.zeros(2)})
        case "bare":
            return {"loss": 1.0}  # type: ignore[return-value]
        case "large":
            return Product({}, {"t.safetensors": save({"t": np.zeros(100_000, np.float32)})})
        case "escape":
            return Product({}, {"../t.safetensors": save({"t": np.zeros(1, np.float32)})})
        case "pickle":
            return Product({}, {"t.safetensors": b"\x80\x04K\x01."})
        case "shape":
            return Product({}, {"t.safetensors": save({"t": np.zeros((2, 3), np.float32)})})
    return Product({"ok": True})


def go_on(task: Task, seed: int) -> Product:
    """Fails at first, and says the next time what it kept then."""
    with work_folder(task) as folder:
        begun = folder / "begun"
        if not begun.exists():
            begun.write_text("half of it")
            raise ModelError("stopped in the middle")
        return Product({"kept": begun.read_text()})


def wait_long(task: Task, seed: int) -> Product:
    with Path(task.arguments["pids"]).open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(120)
    return Product({})


def speak(task: Task, seed: int) -> Product:
    console.note("step 1 of 2")
    return Product({})


def nothing(task: Task, seed: int) -> Product:
    return Product({"number": task.arguments["number"]})


def matrices(task: Task, seed: int) -> Product:
    """Work of PyTorch for about a second on one thread."""
    import torch

    torch.manual_seed(seed)
    left = torch.randn(700, 700)
    for _ in range(task.arguments["times"]):
        left = torch.tanh(left @ left.T / 700)
    return Product({"sum": float(left.sum())})
