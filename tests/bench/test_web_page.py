"""The page in the system's Chromium, measuring real bundles."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chromium import PATIENCE_S, chromium, free_port, local_url, needs_chromium, until
from concept_pack import DEFAULT, pack_of_concepts
from fake_page import measuring
from ort_web import ort_web

from pocketgan.bench.devices.web.addresses import lan_address
from pocketgan.bench.jobs import EVERY_CONCEPT, JobOptions
from pocketgan.bench.journal import read_results
from pocketgan.bench.schema.job import Warmup
from pocketgan.bundle.reader import open_bundle

pytestmark = [needs_chromium, pytest.mark.slow]
SHORT = JobOptions(iterations=6, rounds=2, runs=1, warmup=Warmup(iterations=2, timeout_s=0))


@pytest.fixture(scope="module")
def runtime() -> Path:
    return ort_web()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium("--enable-unsafe-webgpu") as opened:
        yield opened


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A phone of its own: nothing is kept between two tests."""
    context = browser.new_context()
    opened = context.new_page()
    opened.set_default_navigation_timeout(1000 * PATIENCE_S)
    opened.problems = []
    opened.on("pageerror", lambda problem: opened.problems.append(str(problem)))
    yield opened
    context.close()


def is_over(page: Any) -> Any:
    return lambda: page.get_attribute("body", "data-step") == "over"


def shown(page: Any) -> int:
    """How many results the page shows; those of one model are one row."""
    return int(page.get_attribute("#results", "data-results"))


def hide(page: Any, hidden: bool) -> None:
    """As the system hides a tab; headless browsers show all of theirs."""
    page.evaluate(
        """hidden => {
          const value = hidden ? 'hidden' : 'visible';
          Object.defineProperty(document, 'visibilityState', { value, configurable: true });
          document.dispatchEvent(new Event('visibilitychange'));
        }""",
        hidden,
    )


def test_two_models_are_measured_with_two_threads_and_their_outputs_are_right(
    make_bundle: Any, runtime: Path, page: Any, tmp_path: Path
) -> None:
    bundles = [make_bundle("student", size=32, layers=2), make_bundle("unpruned", size=32, layers=4)]
    options = JobOptions(iterations=6, rounds=3, runs=1, warmup=Warmup(iterations=2, timeout_s=0), threads=2)
    with measuring(bundles, tmp_path / "r.jsonl", runtime, options) as session:
        page.goto(session.url)
        results = session.wait_beside(page)
        until(page, is_over(page))
        rows = page.locator("#results th").all_inner_texts()
    assert [result.errors for result in results] == [[], []]
    assert page.problems == []
    for result in results:
        assert (len(result.frames), result.page.threads, result.page.isolated) == (6, 2, True)
        # A 3x3 convolution in float32: rounding alone.
        assert result.parity.max_abs_error < 1e-4
        assert result.parity_after.psnr_db > 35
        assert len(result.cold_load_ns) == 1
        assert result.runtime_version == "1.30.0"
        assert result.page.timer_step_ns <= 100_000
    assert results[0].process == results[1].process
    assert [row.split("\n") for row in rows] == [
        ["student onnx-fp32", "WebAssembly, 2 threads"],
        ["unpruned onnx-fp32", "WebAssembly, 2 threads"],
    ]


def test_every_concept_of_a_pack_is_held_against_its_own_golden_output(
    runtime: Path, page: Any, tmp_path: Path
) -> None:
    pack = pack_of_concepts(tmp_path / "unpacked", tmp_path / "effects.pgb", wrong="sepia")
    options = replace(SHORT, concepts=(EVERY_CONCEPT,))
    with measuring([pack], tmp_path / "r.jsonl", runtime, options) as session:
        page.goto(session.url)
        results = {str(result.job.concept): result for result in session.wait_beside(page)}
    assert list(results) == [DEFAULT, "sepia", "mirror-blue"]
    assert [len(results[name].frames) for name in results] == [6, 0, 6]
    assert results["sepia"].errors[0].startswith("wrong output")
    for name in (DEFAULT, "mirror-blue"):
        assert (results[name].errors, results[name].parity.max_abs_error < 1e-5) == ([], True)


def test_the_address_loses_its_secret_and_no_script_sees_the_token(
    make_bundle: Any, runtime: Path, page: Any, tmp_path: Path
) -> None:
    with measuring([make_bundle()], tmp_path / "r.jsonl", runtime, SHORT) as session:
        page.goto(session.url)
        session.wait_beside(page)
        assert page.evaluate("location.href") == session.url.split("#")[0]
        assert page.evaluate("document.cookie") == ""
        (cookie,) = page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")


def test_wrong_output_is_found_before_any_clock(make_bundle: Any, runtime: Path, page: Any, tmp_path: Path) -> None:
    bundles = [make_bundle("right"), make_bundle("wrong", wrong_by=0.5)]
    with measuring(bundles, tmp_path / "r.jsonl", runtime, SHORT) as session:
        page.goto(session.url)
        right, wrong = session.wait_beside(page)
    assert (len(right.frames), right.errors) == (6, [])
    assert not wrong.frames
    # 10 log10(2^2 / 0.5^2) = 12.04 dB
    assert wrong.errors == ["wrong output: 12.0 dB from the golden output, 30.0 dB is the floor"]


def test_what_is_no_model_is_the_error_of_its_result(
    make_bundle: Any, runtime: Path, page: Any, tmp_path: Path
) -> None:
    with measuring([make_bundle(model=b"no model at all")], tmp_path / "r.jsonl", runtime, SHORT) as session:
        page.goto(session.url)
        (result,) = session.wait_beside(page)
    assert result.errors[0].startswith("the runtime refused the model: ")


def test_a_reload_measures_nothing_twice_and_loses_nothing(
    make_bundle: Any, runtime: Path, page: Any, tmp_path: Path
) -> None:
    options = JobOptions(iterations=6, rounds=1, runs=3, warmup=Warmup(iterations=1, timeout_s=0))
    with measuring([make_bundle(size=32)], tmp_path / "r.jsonl", runtime, options) as session:
        page.goto(session.url)
        until(page, lambda: shown(page) >= 1)
        page.reload()
        (result,) = session.wait_beside(page)
        # What was measured before the reload is shown as well.
        until(page, lambda: is_over(page)() and shown(page) == 3)
    assert (len(result.frames), result.errors) == (6, [])
    assert [one.job.run for one in read_results([session.out]).results] == [0, 1, 2]


def test_a_hidden_page_begins_again_once_it_is_in_front(
    make_bundle: Any, runtime: Path, page: Any, tmp_path: Path
) -> None:
    options = JobOptions(mode="sustained", duration_s=1, warmup=Warmup(iterations=1, timeout_s=0))
    with measuring([make_bundle(size=32)], tmp_path / "r.jsonl", runtime, options) as session:
        page.goto(session.url)
        until(page, lambda: page.get_attribute("body", "data-step") == "measuring")
        hide(page, True)
        until(page, lambda: page.inner_text("#title") == "Paused")
        # Or the host would take it for hung after some minutes.
        with page.expect_request(lambda sent: "its page is hidden" in (sent.post_data or "")):
            pass
        hide(page, False)
        (result,) = session.wait_beside(page)
    assert result.errors == []
    assert result.page.begun_again == 1
    assert all(state.visible for state in result.conditions)


def test_a_page_ends_a_run_that_gives_more_frames_than_it_may_send(
    make_bundle: Any, runtime: Path, page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pocketgan.bench.devices.web.routes.MOST_SAMPLES", 50)
    options = JobOptions(mode="sustained", duration_s=60, warmup=Warmup(iterations=1, timeout_s=0))
    with measuring([make_bundle(size=32)], tmp_path / "r.jsonl", runtime, options) as session:
        page.goto(session.url)
        (result,) = session.wait_beside(page)
    assert result.frames == []
    assert re.fullmatch(r"50 frames, all that a page may send, came in \S+ s: ask for --seconds \d+", result.errors[0])


# Ends the first two workers of a page, without a word, at what they say first of their work.
DYING_WORKERS = """
let left = 2;
window.Worker = class extends Worker {
  constructor(...given) {
    super(...given);
    if (left <= 0) return;
    left -= 1;
    this.addEventListener('message', ({ data }) => { if (data.kind === 'progress') this.terminate(); });
  }
};
"""


def test_a_worker_that_dies_is_no_end_of_the_session(
    make_bundle: Any, runtime: Path, page: Any, tmp_path: Path
) -> None:
    """Of a worker with two models, each is tried alone; the one that ends its worker again has that as its error."""
    page.add_init_script(DYING_WORKERS)
    with measuring([make_bundle("first"), make_bundle("second")], tmp_path / "r.jsonl", runtime, SHORT) as session:
        page.goto(session.url)
        first, second = session.wait_beside(page)
    assert first.errors == ["its worker ended without a word while it measured this"]
    assert (second.errors, len(second.frames)) == ([], 6)


def test_a_network_that_is_gone_for_a_while_loses_nothing(
    make_bundle: Any, runtime: Path, page: Any, tmp_path: Path
) -> None:
    options = JobOptions(iterations=4, rounds=1, runs=4, warmup=Warmup(iterations=1, timeout_s=0))
    cut: set[str] = set()

    def cut_once(route: Any) -> None:
        path = route.request.url.split("/", 3)[3]
        if path in cut:
            route.continue_()
        else:
            cut.add(path)
            route.abort("connectionfailed")

    # What is fetched comes at the second try.
    page.route("**/files/*", cut_once)
    page.route("**/runtime/*", cut_once)
    with measuring([make_bundle(size=32)], tmp_path / "r.jsonl", runtime, options) as session:
        page.goto(session.url)
        until(page, lambda: shown(page) >= 1)
        # The manifest, the model, golden input and output; library, loader and WebAssembly.
        assert len(cut) == 7
        page.context.set_offline(True)
        until(page, lambda: page.get_attribute("body", "data-lost") is not None)
        # Without a network it measures to its end.
        until(page, lambda: shown(page) == 4)
        assert len(read_results([session.out]).results) < 4
        page.context.set_offline(False)
        (result,) = session.wait_beside(page)
    assert (len(result.frames), result.errors) == (4, [])


def test_two_pages_at_once_are_two_devices(make_bundle: Any, runtime: Path, browser: Any, tmp_path: Path) -> None:
    with measuring([make_bundle()], tmp_path / "r.jsonl", runtime, SHORT, phones=2) as session:
        contexts = [browser.new_context() for _ in range(2)]
        pages = [context.new_page() for context in contexts]
        for one in pages:
            one.goto(session.url)
        results = session.wait_beside(pages[0])
        for context in contexts:
            context.close()
    assert len({result.device.name for result in results}) == 2
    assert [(len(result.frames), result.errors) for result in results] == [(6, [])] * 2


def test_a_server_that_was_killed_goes_on_with_resume(
    make_bundle: Any, runtime: Path, page: Any, tmp_path: Path
) -> None:
    """What the browser measured without it is taken over, nothing is measured twice, and nothing is lost."""
    out, port = tmp_path / "r.jsonl", free_port()
    command = [
        sys.executable, "-m", "pocketgan", "bench", str(make_bundle(size=32)), "--device", "web", "--port", str(port),
        "--out", str(out), "--ort-web", str(runtime), "--iterations", "8", "--rounds", "1", "--runs", "4",
        "--warmup", "1", "--warmup-timeout", "0", "--resume",
    ]  # fmt: skip
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    page.goto(local_url(first))
    until(page, lambda: shown(page) >= 1)
    first.kill()
    first.wait()
    # The page measures on without it.
    until(page, lambda: shown(page) == 4)
    second = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    page.goto("about:blank")
    page.goto(local_url(second))
    until(page, lambda: second.poll() is not None)
    assert second.returncode == 0, second.stderr.read()
    results = read_results([out]).results
    assert sorted(result.job.run for result in results) == [0, 1, 2, 3]
    assert [(len(result.frames), result.errors) for result in results] == [(2, [])] * 4
    assert len({result.session for result in results}) == 1
    # All of what the first server did not get was there at once: it is older than the second.
    assert len({result.process.split()[1].split("-")[0] for result in results}) == 1


@pytest.mark.skipif(lan_address() is None, reason="this computer has no network")
def test_a_phone_that_went_past_the_warning_has_threads(
    make_bundle: Any, runtime: Path, browser: Any, tmp_path: Path
) -> None:
    options = replace(SHORT, threads=2)
    with measuring([make_bundle()], tmp_path / "r.jsonl", runtime, options) as session:
        context = browser.new_context(ignore_https_errors=True)
        page = context.new_page()
        page.goto(session.device.urls[0])
        (result,) = session.wait_beside(page)
        context.close()
    assert session.device.urls[0].startswith("https://")
    assert (result.errors, result.page.isolated, result.page.threads) == ([], True, 2)


@pytest.mark.skipif(lan_address() is None, reason="this computer has no network")
def test_a_phone_over_plain_http_is_not_isolated_and_measures_with_one_thread(
    make_bundle: Any, runtime: Path, page: Any, tmp_path: Path
) -> None:
    bundles = [make_bundle("larger", size=256, layers=2), make_bundle("smaller", size=8)]
    options = replace(SHORT, iterations=30)
    with measuring(bundles, tmp_path / "r.jsonl", runtime, options, plain_http=True) as session:
        page.goto(session.device.urls[0])
        larger, smaller = session.wait_beside(page)
        assert "one thread (not isolated)" in page.inner_text("#about")
    assert page.problems == []
    assert (larger.errors, len(larger.frames)) == ([], 30)
    assert (larger.page.isolated, larger.page.gpu) == (False, None)
    # Chromium's clock moves by 100 µs there; a 3x3 convolution of 8x8 pixels takes less.
    assert larger.page.timer_step_ns == 100_000
    assert "shorter than a step of this browser's clock, 100 µs" in smaller.errors[0]


def test_webgpu_of_a_program_is_right_and_marked_simulated(
    make_bundle: Any, runtime: Path, page: Any, tmp_path: Path
) -> None:
    options = JobOptions(iterations=2, rounds=1, runs=1, warmup=Warmup(iterations=1, timeout_s=0), provider="webgpu")
    with measuring([make_bundle(size=16)], tmp_path / "r.jsonl", runtime, options) as session:
        page.goto(session.url)
        until(page, lambda: page.inner_text("#about"))
        if "no WebGPU" in page.inner_text("#about"):
            pytest.skip("this Chromium has no SwiftShader")
        (result,) = session.wait_beside(page)
    assert result.errors == []
    assert result.device.simulated
    assert result.placement.requested == "webgpu"
    assert "swiftshader" in result.page.gpu.lower()
    assert result.parity.max_abs_error < 1e-3


@pytest.mark.parametrize("threads", [1, 2])
def test_what_this_project_exported_agrees_with_its_parity_in_python(
    exported: Path, runtime: Path, page: Any, tmp_path: Path, threads: int
) -> None:
    with measuring([exported], tmp_path / "r.jsonl", runtime, replace(SHORT, threads=threads)) as session:
        page.goto(session.url)
        (result,) = session.wait_beside(page)
    with open_bundle(exported) as bundle:
        parity = bundle.manifest.entry("onnx-fp32").parity
    assert result.errors == []
    assert result.page.threads == threads
    # Both are rounding of float32; the browser's adds in another order.
    assert parity.max_abs_error < 1e-4
    assert result.parity.max_abs_error < 1e-4


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that `pocketgan export` made of a small network."""
    torch = pytest.importorskip("torch")
    from pocketgan import api

    layers = [
        torch.nn.ReflectionPad2d(3), torch.nn.Conv2d(3, 8, 7), torch.nn.InstanceNorm2d(8), torch.nn.ReLU(),
        torch.nn.ConvTranspose2d(8, 3, 3, padding=1), torch.nn.Tanh(),
    ]  # fmt: skip
    out = tmp_path_factory.mktemp("exported") / "small.pgb"
    api.export(torch.nn.Sequential(*layers), "onnx", out, input=(3, 32, 32))
    return out
