"""Clusters that someone else started: addresses, warnings, certificates."""

from __future__ import annotations

import socket
import time

import parallel_tasks as tasks
import pytest

from pocketgan.errors import PocketganError
from pocketgan.recipe.recipe import Recipe
from pocketgan.training.parallel import Task, open_pool, trust_warning


def use(address, out):
    with open_pool(address=address, threads=1) as pool:
        return pool.map(tasks.draw, {f"n{i}": Task({"number": i}) for i in range(4)}, out, version="1")


def test_an_address_that_does_not_answer_is_one_line_within_seconds(tmp_path, capsys):
    with socket.socket() as silent:  # takes connections and never speaks
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(PocketganError) as told:
            use(address, tmp_path)
    assert time.monotonic() - started < 10
    assert str(told.value) == f"the cluster at {address} does not answer within 1 s; start it with: dask scheduler"
    assert capsys.readouterr().err == f"{trust_warning(address)}\n"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr("pocketgan.training.task_clusters.CONNECT_S", 1.0)


@pytest.mark.parametrize(
    "address", ["", "localhost", "localhost:8786", "http://localhost:8786", "inproc://x:1", "tcp://a b:1", "tcp://h"]
)
def test_what_is_no_address_is_told_so(address):
    with (
        pytest.raises(PocketganError, match=r"is no address; wanted tcp://HOST:PORT or tls://HOST:PORT"),
        open_pool(address=address),
    ):
        pass


def test_an_encrypted_cluster_without_certificates_is_told_how_to_name_them(tmp_path):
    with pytest.raises(PocketganError, match="DASK_DISTRIBUTED__COMM__TLS__CA_FILE"):
        use("tls://127.0.0.1:9", tmp_path)


@pytest.fixture(scope="module")
def cluster():
    """A scheduler and workers that someone else started."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=0, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        yield cluster


def test_a_cluster_that_is_elsewhere_is_warned_of_and_used(cluster, tmp_path, capsys):
    with pytest.raises(PocketganError, match=r"has no workers; start some: dask worker tcp://"):
        use(cluster.scheduler_address, tmp_path)
    capsys.readouterr()
    cluster.scale(1)
    cluster.wait_for_workers(1, timeout=20)
    rows = use(cluster.scheduler_address, tmp_path)
    assert all(row.ok for row in rows.values())
    assert capsys.readouterr().err.startswith(f"warning: everything at {cluster.scheduler_address} is trusted in full")


def test_the_warning_says_what_encryption_changes():
    assert "no password and no encryption" in trust_warning("tcp://10.0.0.1:8786")
    assert "no password" not in trust_warning("tls://10.0.0.1:8786")
    assert "can run code as you" in trust_warning("tls://10.0.0.1:8786")


def test_no_recipe_can_name_a_cluster():
    def names(schema):
        if isinstance(schema, dict):
            yield from schema.get("properties", {})
            for inner in schema.values():
                yield from names(inner)
        elif isinstance(schema, list):
            for inner in schema:
                yield from names(inner)

    assert {"workers"} <= set(names(Recipe.model_json_schema()))
    assert not {"address", "scheduler", "cluster"} & set(names(Recipe.model_json_schema()))
