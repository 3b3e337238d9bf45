"""What the page for browsers shows, state by state, as its modules tell it, without a session that takes minutes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chromium import until

ABOUT = {
    "model": "A phone", "browser": "Chrome 156", "isolated": True, "gpu": "of some vendor", "most_threads": 8,
}  # fmt: skip
_JOB = {
    "bundle": "ab" * 32, "entry": "onnx-fp32", "component": None, "concept": None, "mode": "latency",
    "provider": "wasm", "threads": 2, "iterations": 60, "duration_s": None, "run": 0,
}  # fmt: skip
_MEASURING = {"step": "measuring", "detail": "student onnx-fp32", "job": _JOB, "total": 60, "jobs": 6, "answered": 2}


def _result(name: str, frame_ms: float, **changes: Any) -> dict[str, Any]:
    frames = [{"pre_ns": 0, "inference_ns": int(frame_ms * 1e6), "post_ns": 0}]
    job = {**_JOB, **changes.pop("job", {}), "bundle": name}
    manifest = {"name": name, "default_concept": None}
    result = {"job": job, "process": "p-1", "device": {}, "frames": frames, "errors": [], **changes}
    return {"step": "result", "result": result, "work": {"manifest": manifest}}


_RESULTS = [
    _result("student", 21.4),
    _result("student", 9.7, job={"provider": "webgpu", "threads": 1}),
    _result("unpruned", 148.2),
    _result("effects", 22.0, job={"concept": "ink"}),
    _result("foreign", 0, frames=[], errors=["wrong output: 12.0 dB from the golden output, 30.0 dB is the floor"]),
]
_DONE = {"step": "over", "words": "Done. The results are on the computer that asked for them."}

# What `show` of web_harness/view.js is told, one after the other.
STATES: Mapping[str, list[dict[str, Any]]] = {
    "connecting": [{"step": "begin"}],
    "ready": [{"step": "about", "about": ABOUT}, {"step": "waiting"}],
    "fetching": [{"step": "about", "about": ABOUT}, {"step": "files", "done": 12_000_000, "total": 31_000_000}],
    "checking": [
        {"step": "about", "about": ABOUT},
        {**_MEASURING, "at": "comparing", "done": 0, "share": 0.33},
    ],
    "measuring": [
        {"step": "about", "about": ABOUT}, *_RESULTS[:2],
        {**_MEASURING, "at": "measuring", "done": 41, "share": 0.45},
    ],
    "nothing heard": [
        {"step": "about", "about": ABOUT}, {**_MEASURING, "at": "loading", "done": 0, "share": 0.33, "silent": 45},
    ],
    "hidden": [{"step": "about", "about": ABOUT}, *_RESULTS[:2], {"step": "hidden"}],
    "begun again": [
        {"step": "about", "about": ABOUT}, {"step": "hidden"},
        {**_MEASURING, "at": "warming up", "done": 3, "share": 0.34},
    ],
    "no network": [
        {"step": "about", "about": ABOUT}, *_RESULTS[:2],
        {**_MEASURING, "at": "measuring", "done": 41, "share": 0.45}, {"step": "lost"},
    ],
    "sending": [{"step": "about", "about": ABOUT}, *_RESULTS, {"step": "sending"}],
    "done": [{"step": "about", "about": ABOUT}, *_RESULTS, _DONE, {"step": "camera"}],
    "not isolated": [
        {"step": "about", "about": {**ABOUT, "isolated": False, "gpu": None, "most_threads": 1}}, {"step": "waiting"},
    ],
    "ended early": [
        *_RESULTS[:2],
        {"step": "over", "words": "Ended: student: its page was closed. Load this page again to go on."},
    ],
    "session over": [{"step": "over", "words": "the session is over"}],
    "wrong session": [{"step": "failed", "words": "scan its code again", "status": 401}],
    "another tab": [{"step": "failed", "words": "another tab of this browser measures", "status": 409}],
    "forgotten": [{"step": "failed", "words": "no such phone has joined this session", "status": 404}],
    "failed": [{"step": "failed", "words": "This page failed: out of memory"}],
}  # fmt: skip

_SHOW = "([state]) => import('/view.js').then(({ show }) => state.forEach((one) => show(one)))"


def show_state(page: Any, url: str, state: str) -> None:
    """Load the page without its secret, and have it show a state."""
    page.goto(url.split("#")[0])
    until(page, lambda: page.get_attribute("body", "data-step") == "failed")
    page.evaluate(_SHOW, [STATES[state]])
