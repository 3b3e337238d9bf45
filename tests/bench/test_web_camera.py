"""The live camera of the page, in the system's Chromium: its made-up camera, and pictures of our own as one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from axe import needs_axe, violations
from chromium import chromium, needs_chromium, until
from concept_pack import pack_of_concepts
from fake_page import measuring
from ort_web import ort_web

from pocketgan.bench.jobs import EVERY_CONCEPT, JobOptions
from pocketgan.bench.schema.job import Warmup

pytestmark = [needs_chromium, pytest.mark.slow]
WIDE, HIGH = 24, 16
SHORT = JobOptions(iterations=2, rounds=1, runs=1, warmup=Warmup(iterations=1, timeout_s=0), concepts=(EVERY_CONCEPT,))
# A camera of 96x40 pixels that looks where it is told: red on the left half, blue on the right, green beyond 60x40.
OWN_CAMERA = """(facing) => {
  const canvas = document.createElement('canvas');
  Object.assign(canvas, { width: 96, height: 40 });
  const context = canvas.getContext('2d');
  const paint = () => {
    for (const [colour, x, width] of [['#0f0', 0, 18], ['#f00', 18, 30], ['#00f', 48, 30], ['#0f0', 78, 18]]) {
      context.fillStyle = colour;
      context.fillRect(x, 0, width, 40);
    }
  };
  paint();
  setInterval(paint, 50);
  navigator.mediaDevices.getUserMedia = async () => {
    const stream = canvas.captureStream(20);
    const [track] = stream.getVideoTracks();
    track.getSettings = () => ({ facingMode: facing });
    return stream;
  };
}"""
CORNERS = """() => {
  const canvas = document.getElementById('picture');
  const context = canvas.getContext('2d');
  const at = (x) => [...context.getImageData(x, canvas.height / 2, 1, 1).data].slice(0, 3);
  return [canvas.width, canvas.height, at(1), at(canvas.width - 2)];
}"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A page that has measured a pack, one concept of which is drawn wrong."""
    folder = tmp_path_factory.mktemp("camera")
    picture = np.random.default_rng(2).uniform(-1, 1, (1, 3, HIGH, WIDE)).astype("f4")
    pack = pack_of_concepts(folder / "unpacked", folder / "effects.pgb", picture=picture, wrong="mirror-blue")
    with chromium("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream") as browser:
        opened = browser.new_page()
        opened.problems = []
        opened.on("pageerror", lambda problem: opened.problems.append(str(problem)))
        with measuring([pack], folder / "r.jsonl", ort_web(), SHORT) as session:
            opened.goto(session.url)
            session.wait_beside(opened)
        # The computer is gone: models and runtime are in the page.
        until(opened, lambda: opened.is_visible("#see"))
        yield opened
        assert opened.problems == []


@pytest.fixture(autouse=True)
def _numbers_again(page: Any) -> Iterator[None]:
    yield
    if page.is_visible("#close"):
        page.click("#close")


def is_shown(page: Any) -> Any:
    return lambda: page.inner_text("#fps") != "–" and not page.inner_text("#live-words")


def hide(page: Any, hidden: bool) -> None:
    value = "hidden" if hidden else "visible"
    page.evaluate(
        f"""() => {{
          Object.defineProperty(document, 'visibilityState', {{ value: '{value}', configurable: true }});
          document.dispatchEvent(new Event('visibilitychange'));
        }}"""
    )


def test_the_camera_is_shown_through_a_model_with_its_rate(page: Any) -> None:
    page.click("#see")
    until(page, is_shown(page))
    assert float(page.inner_text("#fps")) > 0
    assert int(page.inner_text("#dropped")) >= 0
    # What was drawn wrong is not there to choose.
    assert page.eval_on_selector_all("#concept option", "all => all.map((one) => one.value)") == ["plain", "sepia"]


@needs_axe
def test_the_cameras_screen_keeps_nobody_out(page: Any) -> None:
    page.click("#see")
    until(page, is_shown(page))
    assert violations(page) == []


def test_what_is_hidden_has_neither_camera_nor_model(page: Any) -> None:
    page.evaluate(
        """() => {
          const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
          window.tracks = [];
          navigator.mediaDevices.getUserMedia = async (wanted) => {
            const stream = await ask(wanted);
            window.tracks.push(...stream.getTracks());
            return stream;
          };
        }"""
    )
    page.click("#see")
    until(page, is_shown(page))
    hide(page, True)
    assert page.evaluate("window.tracks.map((one) => one.readyState)") == ["ended"]
    until(page, lambda: not page.workers)
    hide(page, False)
    until(page, is_shown(page))
    assert page.evaluate("window.tracks.map((one) => one.readyState)") == ["ended", "live"]


@pytest.mark.parametrize(("facing", "left", "right"), [("environment", 0, 2), ("user", 2, 0)])
def test_the_middle_is_shown_and_the_front_camera_is_a_mirror(page: Any, facing: str, left: int, right: int) -> None:
    page.evaluate(OWN_CAMERA, facing)
    page.click("#see")
    page.select_option("#concept", "plain")

    def seen() -> Any:
        width, height, *colours = page.evaluate(CORNERS)
        told = [int(np.argmax(colour)) if max(colour) > 150 and sorted(colour)[1] < 90 else None for colour in colours]
        return (width, height) == (WIDE, HIGH) and told == [left, right]

    until(page, seen, 20)


def test_another_effect_is_drawn_at_once(page: Any) -> None:
    page.evaluate(OWN_CAMERA, "environment")
    page.click("#see")
    page.select_option("#concept", "sepia")

    def is_sepia() -> Any:
        *_, (red, green, blue), _ = page.evaluate(CORNERS)
        # Of a pure red, [1, -1, -1]: 0.39 - 0.77 - 0.19 = -0.57, so 55; 0.35 - 0.69 - 0.17 = -0.51, 62; -0.38, 79.
        return all(abs(found - wanted) < 25 for found, wanted in zip((red, green, blue), (55, 62, 79), strict=True))

    until(page, is_sepia, 20)


def test_a_camera_that_is_refused_says_what_to_do(page: Any) -> None:
    page.evaluate(
        """() => {
          navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError'); };
        }"""
    )
    page.click("#see")
    until(page, lambda: page.is_visible("#retry"))
    assert page.inner_text("#live-words").startswith("The camera is not allowed here. Allow it")
