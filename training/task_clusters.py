"""Workers on this machine, started and ended with the driver, and those of a cluster that is elsewhere (Dask).

Dask's own messages are pickled in both directions: whoever may speak to a scheduler or a worker runs code in all of
them, and in the driver. Hence workers of our own speak TLS, with a key that is made for them and in no file of ours, on
127.0.0.1 alone, so that other users of the machine are kept out; and a cluster that is elsewhere is trusted in full.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

from pocketgan.errors import PocketganError
from pocketgan.scratch import scratch_folder
from pocketgan.training.task_replies import one_line
from pocketgan.training.task_work import THREAD_VARIABLES
from pocketgan.training.task_workers import DaskWorkers

CONNECT_S = 5.0
_ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):\d{1,5}")
# No dashboard, and nothing else on the ports of plain HTTP that Dask opens for it. One task at a time in a worker.
_QUIET = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.admin.tick.limit": "1h",
}
# A result is bytes, and is refused where it comes as anything that would have to be unpickled.
_RESULTS: dict[str, Any] = {"deserializers": ["msgpack", "error"]}
_CLOSE_S = 0.5
_CLOSE_LIMIT_S = 20.0


@contextmanager
def local_workers(count: int, threads: int, retries: int) -> Iterator[DaskWorkers]:
    """Workers of our own on this machine, each a process with `threads` threads for its one task.

    Args:
        retries: how often a task is run again whose worker died.
    Raises:
        PocketganError: they do not start.
    """
    import dask
    from distributed import Client, LocalCluster, Security

    with (
        scratch_folder() as scratch,
        _silence(),
        _environment(dict.fromkeys(THREAD_VARIABLES, str(threads))),
        dask.config.set(_QUIET),
        contextlib.ExitStack() as stack,
    ):
        with _without_interrupts():
            try:
                cluster = LocalCluster(
                    n_workers=count,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    protocol="tls://",
                    security=Security.temporary(),
                    dashboard_address=None,
                    memory_limit=0,  # a training may take what there is; Dask would pause or kill it
                    local_directory=str(scratch),
                    silence_logs=logging.CRITICAL,
                    # Its default is port 8787, beside None as well.
                    scheduler_kwargs={
                        "dashboard": False,
                        "dashboard_address": "127.0.0.1:0",
                        "allowed_failures": retries,
                    },
                )
            except (OSError, RuntimeError, TimeoutError) as error:
                raise PocketganError(f"no local workers could be started: {one_line(str(error))}") from error
            stack.callback(_close, cluster)
        client = stack.enter_context(Client(cluster, set_as_default=False, **_RESULTS))
        yield DaskWorkers(client, "the local cluster", retries)


def check_address(address: str) -> None:
    """Raises PocketganError where it is no address."""
    if not _ADDRESS.fullmatch(address):
        raise PocketganError(
            f"--address {one_line(address)!r} is no address; wanted tcp://HOST:PORT or tls://HOST:PORT"
        )


@contextmanager
def cluster_workers(address: str, retries: int) -> Iterator[DaskWorkers]:
    """The workers of a Dask scheduler that runs elsewhere. It decides itself how often it retries (3 times).

    Args:
        address: tcp://HOST:PORT, or tls://HOST:PORT with the files that Dask's configuration names
            (DASK_DISTRIBUTED__COMM__TLS__CA_FILE, ...__TLS__CLIENT__CERT, ...__TLS__CLIENT__KEY).
    Raises:
        PocketganError: nothing answers in a few seconds, it has no workers, or workers that run several tasks in one
            process.
    """
    from distributed import Client

    with _silence(), contextlib.ExitStack() as stack:
        try:
            asyncio.run(_ask_who_is_there(address))
            client = stack.enter_context(Client(address, timeout=CONNECT_S, set_as_default=False, **_RESULTS))
        # Of the system, of ssl, of Dask and of asyncio, and TypeError where TLS is not configured.
        except Exception as error:
            raise PocketganError(_unreachable(address, error)) from error
        try:
            client.wait_for_workers(1, timeout=CONNECT_S)
            several = {worker: count for worker, count in client.nthreads().items() if count > 1}
        except Exception as error:
            raise PocketganError(
                f"the cluster at {address} has no workers; start some: dask worker {address} --nworkers N --nthreads 1"
            ) from error
        if several:
            worker, count = min(several.items())
            raise PocketganError(
                f"worker {one_line(worker)} of {address} runs {count} tasks in one process, where they change each "
                f"other's random numbers; start workers with: dask worker {address} --nworkers N --nthreads 1"
            )
        yield DaskWorkers(client, f"the cluster at {address}", retries)


async def _ask_who_is_there(address: str) -> None:
    """Have the scheduler tell what it is, in time: Dask's client waits for ever for what listens and is silent."""
    from distributed import Security
    from distributed.comm import connect

    async def ask() -> object:
        arguments = Security().get_connection_args("client")
        comm = await connect(address, timeout=CONNECT_S, deserialize=False, **arguments)
        try:
            await comm.write({"op": "identity", "reply": True})
            return await comm.read()
        finally:
            comm.abort()

    told = await asyncio.wait_for(ask(), CONNECT_S)
    if not isinstance(told, dict) or told.get("type") != "Scheduler":
        raise ConnectionError("no scheduler")


def _unreachable(address: str, error: Exception) -> str:
    text = f"the cluster at {address} does not answer within {CONNECT_S:.0f} s; start it with: dask scheduler"
    if isinstance(error, TypeError) and address.startswith("tls:"):
        return (
            f"--address {address} needs certificates; name them as DASK_DISTRIBUTED__COMM__TLS__CA_FILE, "
            "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY"
        )
    if address.startswith("tls:"):
        return f"{text}, and see that its certificates and these are of one authority"
    return text


def _close(cluster: Any) -> None:
    """End the workers at once: a task that runs has given back nothing yet, and Dask would wait for it for seconds."""
    closing = threading.Thread(target=cluster.close, daemon=True)
    nannies = list(cluster.workers.values())
    closing.start()
    closing.join(_CLOSE_S)
    end = time.monotonic() + _CLOSE_LIMIT_S
    while closing.is_alive() and time.monotonic() < end:
        for nanny in nannies:
            with contextlib.suppress(ProcessLookupError, TypeError, AttributeError):
                os.kill(nanny.pid, signal.SIGKILL)
        closing.join(0.1)


@contextmanager
def _silence() -> Iterator[None]:
    """What Dask logs of workers that die, and of connections that break, is told in our own lines."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"distributed\b")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the workers that start now or later, which inherit them before any library loads.

    Dask sets two more, in this process too.
    """
    names = (*variables, "MALLOC_TRIM_THRESHOLD_", "PYTHONHASHSEED")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Threads and processes that start within never see a Ctrl-C, which a terminal sends to all: the driver ends them.

    One that comes within is heeded afterwards.
    """
    # The first process would start it, and it would let SIGINT through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
