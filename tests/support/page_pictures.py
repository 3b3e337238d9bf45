"""The pictures of docs/web.md, made anew: `python tests/support/page_pictures.py docs`.

Every state of the page in headless Chromium, side by side on sheets. What they say is made up; on the camera's screen a
model runs, and a photo stands in for a camera.
"""

from __future__ import annotations

import base64
import io
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from chromium import chromium, until
from concept_pack import pack_of_concepts
from fake_page import QUICK, fake_runtime, measuring
from ort_web import ort_web
from page_states import STATES, show_state
from PIL import Image
from skimage import data

from pocketgan.bench.devices.web.gathering import WebDevices
from pocketgan.bench.devices.web.options import WebOptions
from pocketgan.bench.jobs import EVERY_CONCEPT

Size = tuple[int, int]
PHONE, DESK = (390, 844), (1400, 760)
CAMERA, NO_CAMERA = "camera", "camera refused"
# On a phone: the way that all goes, what comes between, and where it ends.
SHEETS: Mapping[str, tuple[str, Sequence[str]]] = {
    "web-390": ("light", ["connecting", "ready", "fetching", "checking", "measuring", "sending", "done", CAMERA]),
    "web-390-dark": ("dark", ["hidden", "begun again", "no network", "nothing heard"]),
    "web-390-end": (
        "light",
        [
            "not isolated",
            "ended early",
            "session over",
            "wrong session",
            "another tab",
            "forgotten",
            "failed",
            NO_CAMERA,
        ],
    ),
}
_SHEET = """<style>
body {{ margin: 0; padding: 16px; width: max-content; background: #d3dae1; font: 600 18px system-ui, sans-serif }}
div {{ display: grid; grid-template-columns: repeat({across}, {width}px); gap: 16px }}
figure {{ margin: 0 }} figcaption {{ padding-bottom: 4px }} img {{ display: block; width: 100% }}
</style><div>{figures}</div>"""
_FIGURE = '<figure><figcaption>{state}</figcaption><img src="data:image/png;base64,{png}"></figure>'
_REFUSE = (
    "() => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError'); }; }"
)
# Few enough for a small file, enough for letters without steps and for a photo.
_COLOURS = 128


def make_pictures(folder: Path) -> None:
    """Write the sheets."""
    states = [state for _, states in SHEETS.values() for state in states]
    assert sorted(states) == sorted([*STATES, CAMERA, NO_CAMERA]), "each state of the page is on one sheet"
    with tempfile.TemporaryDirectory() as scratch, _browser(Path(scratch)) as browser:
        shooting = _Shooting(browser, Path(scratch))
        for name, (scheme, shown) in SHEETS.items():
            _save(_sheet(browser, shooting.of(shown, PHONE, scheme), PHONE[0], across=4), folder / f"{name}.png")
        _save(_sheet(browser, shooting.of(states, DESK, "light"), DESK[0] // 2, across=3), folder / "web-1400.png")


class _Shooting:
    """Takes pictures of states."""

    def __init__(self, browser: Any, scratch: Path) -> None:
        self._browser, self._scratch = browser, scratch
        self._runs = 0

    def of(self, states: Sequence[str], size: Size, scheme: str) -> Mapping[str, bytes]:
        """A PNG of each, in this order."""
        viewport = {"width": size[0], "height": size[1]}
        page = self._browser.new_page(viewport=viewport, color_scheme=scheme)
        device = WebDevices(WebOptions(port=0, ort_web=fake_runtime(self._scratch / "runtime")))
        found = {}
        with device.open():
            for state in STATES.keys() & set(states):
                show_state(page, device.urls[-1], state)
                found[state] = page.screenshot(full_page=True)
        if {CAMERA, NO_CAMERA} & set(states):
            self._measure(page)
            page.click("#see")
            page.select_option("#concept", "sepia")
            until(page, lambda: page.inner_text("#fps") != "–" and not page.inner_text("#live-words"))
            page.wait_for_timeout(2500)
            found[CAMERA] = page.screenshot(full_page=True)
            page.evaluate(_REFUSE)
            page.select_option("#concept", "plain")
            until(page, lambda: page.is_visible("#retry"))
            found[NO_CAMERA] = page.screenshot(full_page=True)
        page.close()
        return {state: found[state] for state in states}

    def _measure(self, page: Any) -> None:
        """A pack of effects, so that there is something to see on the camera."""
        self._runs += 1
        home = self._scratch / str(self._runs)
        photo = np.asarray(Image.fromarray(data.astronaut()).resize((256, 256)), "f4").transpose(2, 0, 1)[None]
        pack = pack_of_concepts(home / "unpacked", home / "effects.pgb", picture=photo / 127.5 - 1)
        with measuring([pack], home / "r.jsonl", ort_web(), replace(QUICK, concepts=(EVERY_CONCEPT,))) as session:
            page.goto(session.url)
            session.wait_beside(page)
        until(page, lambda: page.is_visible("#see"))


@contextmanager
def _browser(scratch: Path) -> Iterator[Any]:
    """Chromium, whose camera sees a photo (NASA's, which scikit-image brings)."""
    height, width = 480, 640
    photo = Image.fromarray(data.astronaut()).resize((width, width)).crop((0, 0, width, height))
    light, blue, red = (np.asarray(one) for one in photo.convert("YCbCr").split())
    planes = [light, blue[::2, ::2], red[::2, ::2]]
    frame = b"FRAME\n" + b"".join(plane.tobytes() for plane in planes)
    video = scratch / "camera.y4m"
    video.write_bytes(b"YUV4MPEG2 W%d H%d F20:1 Ip A1:1 C420jpeg\n" % (width, height) + frame * 20)
    flags = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with chromium(*flags, f"--use-file-for-fake-video-capture={video}") as browser:
        yield browser


def _sheet(browser: Any, shots: Mapping[str, bytes], width: int, across: int) -> Image.Image:
    figures = [_FIGURE.format(state=state, png=base64.b64encode(png).decode()) for state, png in shots.items()]
    page = browser.new_page(viewport={"width": 100, "height": 100})
    page.set_content(_SHEET.format(across=min(across, len(shots)), width=width, figures="".join(figures)))
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))
    page.close()
    return picture.convert("RGB")


def _save(picture: Image.Image, path: Path) -> None:
    picture.quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {picture.width}x{picture.height}, {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    make_pictures(Path(sys.argv[1]))
