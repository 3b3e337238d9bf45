"""What a person sees of the page in each of its states: nothing keeps anybody out, and it fits a phone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from axe import needs_axe, violations
from chromium import chromium, needs_chromium
from fake_page import fake_runtime
from page_states import STATES, show_state

from pocketgan.bench.devices.web.gathering import WebDevices
from pocketgan.bench.devices.web.options import WebOptions

# Apple's and Google's guidelines ask for 44 points and 48 dp.
SMALLEST_TARGET_PX = 48


@pytest.fixture(scope="module")
def screens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    """A phone's browser, and the address of a page that has no session."""
    device = WebDevices(WebOptions(port=0, ort_web=fake_runtime(tmp_path_factory.mktemp("screens") / "runtime")))
    with device.open(), chromium() as browser:
        page = browser.new_page(viewport={"width": 390, "height": 844})
        yield page, device.urls[-1]


@needs_chromium
@needs_axe
@pytest.mark.slow
@pytest.mark.parametrize("state", STATES)
def test_no_state_keeps_anybody_out(screens: tuple[Any, str], state: str) -> None:
    page, url = screens
    show_state(page, url, state)
    page.emulate_media(color_scheme="light")
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page, "color-contrast") == []


@needs_chromium
@needs_axe
@pytest.mark.slow
def test_what_keeps_people_out_is_found(screens: tuple[Any, str]) -> None:
    page, url = screens
    show_state(page, url, "done")
    page.evaluate("document.getElementById('see').textContent = ''")
    assert [one.split(":")[0] for one in violations(page)] == ["button-name"]


@needs_chromium
@pytest.mark.slow
def test_a_phone_shows_the_whole_width_and_large_targets(screens: tuple[Any, str]) -> None:
    page, url = screens
    for state in ("done", "another tab"):
        show_state(page, url, state)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        for target in page.locator("button:visible, select:visible").all():
            box = target.bounding_box()
            assert min(box["width"], box["height"]) >= SMALLEST_TARGET_PX
