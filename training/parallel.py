"""One map over many independent trainings or evaluations: in this process, on workers here, or on a cluster (Dask).

    with open_pool(workers=2, threads=1) as pool:
        outcomes = pool.map(adapt_concept, tasks, Path("concepts"), version="adapt-1", seed=recipe.seed)

What a task is: a function at the top of a module, given a `Task` (JSON and paths) and a seed, that gives back a
`Product` (JSON and safetensors). The seed comes of the map's own and the task's arguments, so that results are the same
for any number of workers, in any order. Floats are equal for equal threads, so `threads` is the pool's to say.

What is kept: each result in a folder of `out` that is named by the digest of all that decides about it: the function,
`version`, the seed, the arguments, and the content of what its paths name. It is written by the driver, whole or not at
all, and never made again: after a kill of the driver the same call goes on. Tasks that are equal but for their name run
once. A task that raises, or whose worker dies three times, is an error of that task alone and runs again next time.

What is trusted: a reply is checked like a file (JSON, safetensors, sizes, plain names, and whatever `accept` asks),
which finds mistakes, other versions and damage. It is no fence: Dask's own messages are pickled, so whoever speaks to
its scheduler runs code in every worker and in the driver. Workers of our own are therefore reached by TLS on 127.0.0.1
with a key that lives as long as they do, and a cluster that is elsewhere gets a warning. Its address comes from the
command line alone (`--address`): never read one from a recipe, which people pass around.

E2GAN's concept factory (`pocketgan adapt BASE --concepts FILE`, `concept_factory.py`): a task a concept, named as the
concept; `accept` compares the adapter that came back with the base, the ranks and the text that were asked for.

UGC's evolution (`evolve_quality.py`): one pool for the whole search, one `map` a generation into one folder, a task a
candidate, with its configuration as argument and paths {"supernet": weights, "images": the share kept for choosing}. It
gives back {"value": 0.21} and no files. What a killed search has judged is found by its content; what draws children is
the driver's, seeded by the recipe, and sees outcomes in the order of names, whatever the workers do.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pocketgan import __version__, console
from pocketgan.errors import PocketganError, require
from pocketgan.files import sha256_json
from pocketgan.training.task_clusters import check_address, cluster_workers, local_workers
from pocketgan.training.task_replies import Product, Reply, ReplyError, json_bytes, one_line, unpack
from pocketgan.training.task_results import Contents, Outcome, ResultsFolder, results_folder
from pocketgan.training.task_work import Task, TaskFunction, name_of
from pocketgan.training.task_workers import InProcess, Workers

__all__ = ["Outcome", "Pool", "Product", "Task", "TaskFunction", "check_cluster", "open_pool", "trust_warning"]

LARGEST = 64 << 20
RETRIES = 2
_LONGEST_NAME = 200
_TICK_S = 0.5

Accept = Callable[[Task, Product], None]


@dataclass(frozen=True)
class _Job:
    """A task that is run once, whatever the number of its names."""

    digest: str
    names: tuple[str, ...]
    task: Task
    request: dict[str, Any]


class Pool:
    """Runs maps, one after the other; made by `open_pool`."""

    def __init__(self, start: Callable[[], Workers], threads: int | None) -> None:
        self._start = start
        self._workers: Workers | None = None
        self._threads = threads
        self._contents = Contents()

    def map(
        self,
        function: TaskFunction,
        tasks: Mapping[str, Task],
        out: Path,
        *,
        version: str,
        seed: int = 0,
        accept: Accept | None = None,
        largest: int = LARGEST,
        label: str = "task",
        ended_one: Callable[[Outcome], None] | None = None,
    ) -> dict[str, Outcome]:
        """Run every task that is not finished.

        Args:
            function: stands at the top of a module that workers can import.
            tasks: by name; names are for people, and are in no digest.
            out: where results are kept.
            version: of what `function` does; another one makes every result anew.
            seed: what the tasks' seeds come of.
            accept: looks at a checked product before it is kept, and raises what is wrong with it, such as shapes.
            largest: bytes of a product.
            label: what progress calls a task, such as "concept".
            ended_one: is told of every task that ends now, as soon as its result is kept; under the first of its names.
        Returns:
            How each task ended, in the order of their names; failed ones are among them, with their line.
        Raises:
            PocketganError: a name, an argument or a path cannot be used, another process fills `out`, the disk is full,
                workers do not start, or a cluster does not answer or was lost. What is finished is kept.
        """
        jobs = self._jobs(function, tasks, version, seed, largest)
        with results_folder(out) as results:
            for job in jobs:
                job.request["kept"] = str(results.partial(job.digest).absolute())
            kept = {job.digest: results.find(job.digest, job.names[0]) for job in jobs}
            ended = {digest: outcome for digest, outcome in kept.items() if outcome is not None}
            waiting = deque(job for job in jobs if job.digest not in ended)
            if waiting and self._workers is None:
                self._workers = self._start()
            with console.task_table(label, len(jobs), done=len(ended)) as table:
                for job, data in self._replies(waiting, table):
                    outcome = _settle(results, job, data, accept, largest)
                    ended[job.digest] = outcome
                    table.end(job.names[0], outcome.error)
                    if ended_one is not None:
                        ended_one(outcome)
            if all(outcome.ok for outcome in ended.values()):
                results.drop_partial()
        by_name = {name: replace(ended[job.digest], name=name) for job in jobs for name in job.names}
        return dict(sorted(by_name.items()))

    def _replies(self, waiting: deque[_Job], table: console.TaskTable) -> Iterator[tuple[_Job, object]]:
        """Jobs that ended, and what came back. No worker is given a second one before its first ended.

        A worker that dies would count against a task that only waited for it, too.
        """
        workers = self._workers
        if workers is None:
            return
        running: dict[str, _Job] = {}
        try:
            while waiting or running:
                free = workers.slots() - len(running)
                for _ in range(min(free, len(waiting))):
                    job = waiting.popleft()
                    running[job.digest] = job
                    table.start(job.names[0])
                    workers.submit(job.digest, job.request)
                ended = workers.reply(_TICK_S)
                table.tick()
                if ended is not None:
                    yield running.pop(ended[0]), ended[1]
        finally:
            workers.drop()

    def _jobs(
        self, function: TaskFunction, tasks: Mapping[str, Task], version: str, seed: int, largest: int
    ) -> list[_Job]:
        """What is to be run, in the order of the names."""
        called = name_of(function)
        jobs: dict[str, _Job] = {}
        for name, task in sorted(tasks.items()):
            if not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
                raise PocketganError(f"{one_line(name)!r} is no name of a task; wanted 1 to {_LONGEST_NAME} characters")
            arguments = _plain(name, task.arguments)
            facts = {
                "function": called,
                "version": version,
                "seed": seed,
                "arguments": arguments,
                "paths": {role: self._contents.digest(path) for role, path in task.paths.items()},
            }
            digest = sha256_json(facts)
            request = {
                "function": called,
                "arguments": arguments,
                "paths": {role: str(path.absolute()) for role, path in task.paths.items()},
                "seed": task_seed(seed, arguments),
                "threads": self._threads,
                "largest": largest,
                "version": __version__,
            }
            names = (*jobs[digest].names, name) if digest in jobs else (name,)
            jobs[digest] = _Job(digest, names, task, request)
        return list(jobs.values())


def task_seed(seed: int, arguments: Mapping[str, Any]) -> int:
    """The seed of a task, 0 to 2^31 - 1: of the map's seed and the task's arguments, and of nothing else."""
    return int(sha256_json({"seed": seed, "arguments": dict(arguments)})[:8], 16) >> 1


@contextmanager
def open_pool(
    workers: int = 0, threads: int | None = None, address: str | None = None, retries: int = RETRIES
) -> Iterator[Pool]:
    """Workers for as many maps as are needed; they are gone afterwards, after a Ctrl-C too.

    They start with the first task that is not finished: where all results are kept, none does. A script that asks for
    workers must do so under `if __name__ == "__main__":`, as workers import it.

    Args:
        workers: processes on this machine, each with one task at a time; 0 runs tasks in this process, without Dask.
        threads: of each task. Left out, tasks in this process have what PyTorch has, and workers share the cores.
        address: of a Dask scheduler, tcp://HOST:PORT or tls://HOST:PORT, from the command line and from nowhere else.
        retries: how often a task is run again whose worker died; a scheduler that is elsewhere has its own setting.
    Raises:
        MissingExtraError: Dask is not installed.
        PocketganError: options that contradict each other, or what is no address.
    """
    if workers < 0:
        raise PocketganError(f"--workers {workers}: wanted 0 (this process) or more")
    if threads is not None and threads < 1:
        raise PocketganError(f"--threads {threads}: wanted 1 or more")
    if address is not None and workers:
        raise PocketganError("--address and --workers exclude each other: a cluster has workers of its own")
    if address is not None:
        check_address(address)
    if address is not None or workers:
        require("cluster", "distributed")
    if workers:
        threads = threads or max(1, (os.cpu_count() or 1) // workers)
    with ExitStack() as stack:

        def start() -> Workers:
            if address is not None:
                console.note(trust_warning(address))
                return stack.enter_context(cluster_workers(address, retries))
            if workers:
                return stack.enter_context(local_workers(workers, threads or 1, retries))
            return InProcess()

        yield Pool(start, threads)


def check_cluster(address: str) -> None:
    """Whether a cluster is there, before hours of other work; raises as a map on it would."""
    with open_pool(address=address), cluster_workers(address, RETRIES):
        pass


def trust_warning(address: str) -> str:
    """What is told before a cluster is used."""
    open_to_all = "" if address.startswith("tls:") else "; tcp:// has no password and no encryption, tls:// has both"
    return (
        f"warning: everything at {one_line(address)} is trusted in full: whoever reaches that scheduler or its workers "
        f"can run code as you, here and there{open_to_all}"
    )


def _plain(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    try:
        json_bytes(dict(arguments))
    except ReplyError as error:
        raise PocketganError(f"the arguments of {name} cannot be sent: {error}") from error
    return dict(arguments)


def _settle(results: ResultsFolder, job: _Job, data: object, accept: Accept | None, largest: int) -> Outcome:
    """Keep what came back, or why nothing did."""
    name = job.names[0]
    try:
        reply = unpack(data, largest)
        if reply.product is not None and accept is not None:
            _ask(accept, job.task, reply.product)
    except PocketganError as error:
        reply = Reply(None, one_line(str(error)), "", 0.0)
    if reply.product is None:
        return results.fail(job.digest, name, reply)
    return results.keep(job.digest, name, reply.product, reply.seconds)


def _ask(accept: Accept, task: Task, product: Product) -> None:
    """What `accept` trips over is the product's fault: it ends this task, and not the others."""
    try:
        accept(task, product)
    except PocketganError:
        raise
    except Exception as error:
        raise ReplyError(f"its result cannot be used: {type(error).__name__}: {error}") from error
