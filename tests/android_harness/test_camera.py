"""The app's mode camera and effect screen, under Robolectric: frames of a photo, effects that the exporter wrote."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import android_app
import pytest
import skimage
import torch
from small_pack import write_pack
from torch import nn

from pocketgan import api
from pocketgan.bench.devices.fault import Asked
from pocketgan.bench.devices.session_folder import write_session
from pocketgan.bench.devices.soundness import faults
from pocketgan.bench.schema.job import Job, Warmup
from pocketgan.bench.schema.result import Result
from pocketgan.bench.schema.session import Group, Session
from pocketgan.bundle.reader import open_bundle


class PencilDrawing(nn.Module):
    """Darkens what is darker than its surroundings, and pales the colours."""

    def __init__(self) -> None:
        super().__init__()
        places = torch.arange(15.0) - 7
        bell = torch.exp(-(places**2) / 18)
        kernel = torch.outer(bell, bell)
        self.blur = nn.Conv2d(1, 1, 15, padding=7, bias=False, padding_mode="replicate")
        self.blur.weight.data = (kernel / kernel.sum())[None, None]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        light = (x + 1) / 2
        grey = light[:, :1] * 0.299 + light[:, 1:2] * 0.587 + light[:, 2:] * 0.114
        drawn = torch.clamp((grey + 0.02) / (self.blur(grey) + 0.02), 0, 1) ** 2
        return drawn * (0.55 + 0.45 * light) * 2 - 1


@pytest.fixture(autouse=True)
def app() -> None:
    reason = android_app.left_out()
    if reason:
        pytest.skip(f"left out: android_harness/app ({reason})")


@pytest.fixture(scope="module")
def pencil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("effect") / "pencil.pgb"
    model = PencilDrawing().eval()
    api.export(model, "onnx", path, input=(3, 256, 256), name="pencil", io=["tensor", "image"], workers=1)
    return path


def run(*tests: str, **properties: Path) -> None:
    done = subprocess.run(android_app.tests_of(*tests, **properties), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_host_believes_what_the_app_measures_from_the_camera_to_the_screen(pencil: Path, tmp_path: Path) -> None:
    session = tmp_path / "session"
    with open_bundle(pencil) as bundle:
        jobs = [
            Job(
                bundle=bundle.digest,
                entry=entry,
                mode="camera",
                via="app",
                iterations=None,
                duration_s=1,
                rounds=1,
                cold_repeats=0,
                warmup=Warmup(iterations=2, timeout_s=0.2),
            )
            for entry in ("onnx-fp32", "onnx-fp32-image")
        ]
        groups = [Group(jobs=[job]) for job in jobs]
        write_session(session, Session(name="s", groups=groups), [(bundle, job) for job in jobs], there={})
    run("camera.CameraSessionTest", session=session)
    lines = [json.loads(line) for line in (session / "results.jsonl").read_text().splitlines()]
    found = [line for line in lines if line.pop("record") == "result"]
    results = [Result.model_validate_json(json.dumps(line), strict=True) for line in found]
    assert [result.job for result in results] == jobs
    for result in results:
        expected = Asked(result.job, bundle_name="pencil", runtime="onnxruntime", device_kind="android")
        assert faults(result, expected) == []
        assert result.dropped_frames is not None
        assert sum(frame.display_ns is not None for frame in result.frames) > 1


def test_the_effect_screen_shows_a_photo_as_a_pencil_drawing_and_offers_a_pack(pencil: Path, tmp_path: Path) -> None:
    photo, screenshots = Path(skimage.__file__).parent / "data" / "astronaut.png", tmp_path / "screenshots"
    pack = write_pack(tmp_path / "pack.pgb")
    run("EffectActivityTest", photo=photo, effect=pencil, pack=pack, screenshots=screenshots)
    assert {path.name for path in screenshots.iterdir()} == {"effect-light.png", "effect-dark-lying.png"}
