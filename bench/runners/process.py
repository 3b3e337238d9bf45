"""The host's end of a runner: starts the subprocess, hands out its events, and says in one line why it died."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any

from pocketgan.bench.runners.protocol import Plan, thread_environment
from pocketgan.errors import DeviceError
from pocketgan.targets import RUNTIMES

if TYPE_CHECKING:
    from pocketgan.bench.runners.loop import Engine


# The class of each runtime's engine, in the module of the runtime's name.
_ENGINES = {
    "onnxruntime": "OnnxRuntimeEngine",
    "executorch": "ExecuTorchEngine",
    "torch": "TorchEngine",
    "coreml": "CoreMLEngine",
    "coreai": "CoreAIEngine",
}
# A single load or frame of the slowest models takes tens of seconds on one core; a runner that works says so.
STALL_TIMEOUT_S = 300.0
STDERR_LINES = 3
STDERR_BYTES = 4096

Event = dict[str, Any]


def make_engine(runtime: str) -> Engine:
    """The engine of a runtime, to be used in this process.

    Raises:
        MissingExtraError: its packages are not installed.
    """
    RUNTIMES[runtime].check_installed()
    engine: Engine = getattr(import_module(_module(runtime)), _ENGINES[runtime])()
    return engine


def run_plan(
    runtime: str,
    plan: Plan,
    on_event: Callable[[Event], None],
    stall_timeout_s: float = STALL_TIMEOUT_S,
    command: list[str] | None = None,
) -> None:
    """Run `plan` in a new subprocess of `runtime` and hand each event to `on_event` as it comes.

    Args:
        stall_timeout_s: seconds of silence after which the runner counts as hung and is killed.
        command: what to start instead of the runtime's own runner.
    Raises:
        DeviceError: the runner could not start, died, hung or sent something else than events, with its last lines.
    """
    command = command or [sys.executable, "-P", "-m", _module(runtime)]
    environment = {**os.environ, **thread_environment(plan.threads), "PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment
        )
        try:
            _send(process, plan)
            _follow(runtime, process, on_event, stall_timeout_s, errors)
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _module(runtime: str) -> str:
    return f"pocketgan.bench.runners.{runtime}"


def _send(process: subprocess.Popen[bytes], plan: Plan) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(plan.to_line().encode())
        process.stdin.flush()
    except BrokenPipeError:
        process.stdin = None  # dead before it read its plan; the end of its output tells the rest


def _follow(
    runtime: str,
    process: subprocess.Popen[bytes],
    on_event: Callable[[Event], None],
    stall_timeout_s: float,
    errors: IO[bytes],
) -> None:
    """Hand out events until `done`; anything else that ends the stream is a DeviceError."""
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    assert process.stdout is not None
    threading.Thread(target=_pump, args=(process.stdout, lines), daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=stall_timeout_s)
        except queue.Empty:
            raise DeviceError(
                f"the {runtime} runner hung: nothing from it for {stall_timeout_s:g} s{_last_lines(errors)}"
            ) from None
        if not line:
            raise DeviceError(f"the {runtime} runner {_death(process)}{_last_lines(errors)}")
        event = _parse(runtime, line, errors)
        if event["event"] != "beat":
            try:
                on_event(event)
            except (KeyError, TypeError, ValueError, IndexError) as problem:  # pydantic's errors are ValueErrors
                raise DeviceError(f"the {runtime} runner sent a broken {event['event']} event") from problem
        if event["event"] == "done":
            return


def _pump(stream: IO[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    try:
        for line in stream:
            lines.put(line)
    except ValueError:
        pass  # closed by the host, which has what it wanted
    lines.put(b"")


def _parse(runtime: str, line: bytes, errors: IO[bytes]) -> Event:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        start = line[:60].decode(errors="replace").strip()
        raise DeviceError(f"the {runtime} runner sent {start!r}, which is no event{_last_lines(errors)}")
    return event


def _death(process: subprocess.Popen[bytes]) -> str:
    try:
        code = process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        return "closed its output"
    if code < 0:
        name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"was killed by {name}{hint}"
    return f"ended early with exit code {code}"


def _last_lines(errors: IO[bytes]) -> str:
    """The last lines of its standard error, to stand behind a message; empty where there are none."""
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - STDERR_BYTES))
    lines = [line.strip() for line in errors.read().decode(errors="replace").splitlines()]
    lines = [line for line in lines if line]
    return "; its last lines: " + " | ".join(lines[-STDERR_LINES:]) if lines else ""
