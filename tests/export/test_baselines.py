"""Diffusion editors, component by component: tiny ones here, Stable Diffusion's size under `make bench`."""

from __future__ import annotations

import json
import shutil
import time
from itertools import pairwise
from typing import Any

import kotlin_harness
import numpy as np
import onnxruntime
import pytest
from adb_device import SimulatedPhone
from adb_server import HOW_TO_GET_ADB, SOURCES, adb_server, program
from android_phones import ANDROID_13
from jvm_phone import JvmPhone, JvmTransport
from native_runner import build, library, why_not_buildable

pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import torch

from pocketgan.bench.check import verify_bundle
from pocketgan.bench.devices import find_device
from pocketgan.bench.devices.android import SHELL_FOLDER
from pocketgan.bench.devices.local import LocalDevice
from pocketgan.bench.devices.phone_runner import LIBRARY, PROGRAM
from pocketgan.bench.jobs import JobOptions
from pocketgan.bench.journal import read_results
from pocketgan.bench.schema.job import Warmup
from pocketgan.bench.session import measure
from pocketgan.bench.statistics import frame_times, percentile
from pocketgan.bundle.check import check
from pocketgan.bundle.packing import pack_folder
from pocketgan.bundle.reader import open_bundle
from pocketgan.errors import ExportError, ModelError
from pocketgan.export.baselines import diffusion_bundle
from pocketgan.export.diffusion import TEXT, UNET, VAE, Editor

# Every kind of layer of the real ones, a few channels wide.
TINY: dict[str, dict[str, Any]] = {
    "unet": {
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "attention_head_dim": 4,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    },
    "vae": {"block_out_channels": (32, 32, 32, 32), "layers_per_block": 1},
    "text_encoder": {
        "hidden_size": 768,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "vocab_size": 1000,
    },
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder in diffusers' layout."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(1)
    UNet2DConditionModel(**{**UNET, **TINY["unet"]}).save_pretrained(folder / "unet")
    AutoencoderKL(**{**VAE, **TINY["vae"]}).save_pretrained(folder / "vae")
    CLIPTextModel(CLIPTextConfig(**{**TEXT, **TINY["text_encoder"]})).save_pretrained(folder / "text_encoder")
    return folder


@pytest.fixture(scope="module")
def tiny(weights, tmp_path_factory):
    """A packed editor of those weights, of two steps with three passes each, of pictures of 64 pixels."""
    folder = tmp_path_factory.mktemp("editor")
    diffusion_bundle(Editor(64, steps=2, weights=str(weights)), folder / "bundle", "tiny-editor")
    assert check(folder / "bundle") == []
    pack_folder(folder / "bundle", folder / "editor.pgb")
    return folder / "editor.pgb"


def test_an_editor_is_four_components_that_compute_what_torch_computes(tiny, weights):
    from diffusers import UNet2DConditionModel

    with open_bundle(tiny) as bundle:
        manifest = bundle.manifest
        inputs, outputs = bundle.golden(manifest.entries[0].golden)
    (entry,) = manifest.entries
    assert (manifest.role, manifest.trained, manifest.diffusion.weights) == ("diffusion", True, str(weights))
    assert (manifest.diffusion.steps, manifest.diffusion.guidance_passes) == (2, 3)
    assert {one.name: one.repeat for one in entry.components} == {"text": 1, "encoder": 1, "denoiser": 6, "decoder": 1}
    assert entry.parity.passed
    assert manifest.cost.macs > manifest.cost.params
    assert verify_bundle(tiny, LocalDevice()) == []
    unet = UNet2DConditionModel.from_pretrained(weights / "unet")
    given = [torch.from_numpy(inputs[name].copy()) for name in ("sample", "timestep", "encoder_hidden_states")]
    with torch.no_grad():
        expected = unet(*given).sample.numpy()
    np.testing.assert_allclose(outputs["noise"], expected, atol=1e-4 * np.abs(expected).max())


def test_half_precision_is_half_the_size(tiny, tmp_path):
    manifest = diffusion_bundle(Editor(64, steps=2, configs=TINY), tmp_path / "half", "tiny", "fp16")
    with open_bundle(tiny) as bundle:
        whole = bundle.manifest.entries[0].bytes
    assert (manifest.trained, manifest.diffusion.weights) == (False, "random")
    assert manifest.entries[0].bytes < 0.6 * whole
    assert manifest.entries[0].parity.psnr_db > 40


def test_edits_are_composed_of_measured_components(tiny, tmp_path):
    options = JobOptions(iterations=18, rounds=1, runs=1)
    (result,) = measure([tiny], LocalDevice(), options, tmp_path / "results.jsonl")
    assert result.composed
    assert result.errors == []
    assert len(result.frames) == 18
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    parts = {line["job"]["component"]: line for line in lines if line["record"] == "result"}
    assert set(parts) == {"text", "encoder", "denoiser", "decoder"}
    assert not any(part["composed"] for part in parts.values())
    inference = {name: [frame["inference_ns"] for frame in part["frames"]] for name, part in parts.items()}
    first = sum(inference["denoiser"][:6]) + sum(inference[name][0] for name in ("text", "encoder", "decoder"))
    assert result.frames[0].inference_ns == first
    assert result.frames[0].pre_ns > 0  # the picture goes in at the encoder
    assert result.frames[0].post_ns > 0


PARTS = ["text", "encoder", "denoiser", "decoder"]
QUICK = JobOptions(iterations=6, rounds=1, runs=1, warmup=Warmup(iterations=1, timeout_s=0))


def must_be_an_edit_of_a_phone(result, journal):
    """Composed by the host of what the phone measured component by component, each against its golden output."""
    assert (result.composed, result.errors, len(result.frames), result.device.simulated) == (True, [], 6, True)
    parts = read_results([journal]).results
    assert [part.job.component for part in parts] == PARTS
    assert all(part.parity.psnr_db is None or part.parity.psnr_db > 60 for part in parts)
    inference = {part.job.component: [frame.inference_ns for frame in part.frames] for part in parts}
    edit = sum(inference["denoiser"]) + sum(inference[name][0] for name in ("text", "encoder", "decoder"))
    assert result.frames[0].inference_ns == edit


def test_an_editor_is_measured_in_a_phones_shell_component_by_component(tiny, tmp_path, monkeypatch):
    """Through the real adb to a simulated phone, by the native runner."""
    adb_path = next(filter(None, map(program, reversed(SOURCES))), None)
    if missing := why_not_buildable() or (None if adb_path else f"no adb: {HOW_TO_GET_ADB}"):
        pytest.skip(missing)
    (tmp_path / "runner").mkdir()
    shutil.copy(build("host", "-DRUNNER_CHECKS=ON") / PROGRAM, tmp_path / "runner")
    (tmp_path / "runner" / LIBRARY).symlink_to(library())
    monkeypatch.setenv("POCKETGAN_RUNNER", str(tmp_path / "runner"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "home").mkdir()
    told = {**ANDROID_13, "getprop": ANDROID_13["getprop"].replace("arm64-v8a", "x86_64")}
    with adb_server(adb_path, tmp_path / "home") as adb, SimulatedPhone(tmp_path / "phone", told) as phone:
        monkeypatch.setattr("pocketgan.bench.devices.android_device.find_adb", lambda: adb)
        adb.connect(phone.serial)
        device = find_device(f"android:{phone.serial}", "shell")
        (result,) = measure([tiny], device, QUICK, tmp_path / "r.jsonl")
        # Each component's files once, the golden tensors with the first.
        (digest,) = (folder.name for folder in phone.at(f"{SHELL_FOLDER}/bundles").iterdir())
        models = phone.at(f"{SHELL_FOLDER}/bundles/{digest}/models/onnx-fp32")
    assert sorted(folder.name for folder in models.iterdir()) == sorted(PARTS)
    must_be_an_edit_of_a_phone(result, tmp_path / "r.jsonl")


def test_an_editor_is_measured_by_the_app_component_by_component(tiny, tmp_path):
    """By the Kotlin core, on this computer's JVM."""
    if reason := kotlin_harness.left_out():
        pytest.skip(f"left out: android_harness/ ({reason})")
    (tmp_path / "session").mkdir()
    transport = JvmTransport(tmp_path / "session")
    (result,) = measure([tiny], JvmPhone(transport, lock_folder=tmp_path), QUICK, tmp_path / "r.jsonl")
    assert transport.starts == 1
    must_be_an_edit_of_a_phone(result, tmp_path / "r.jsonl")


def test_what_it_cannot_be_is_one_line(tmp_path):
    with pytest.raises(ModelError, match="takes pictures of 64 to 1024 pixels in steps of 64, not 100"):
        Editor(size=100)
    with pytest.raises(ExportError, match="has the precisions fp32, fp16, not 'int3'"):
        diffusion_bundle(Editor(64), tmp_path / "a", "x", "int3")
    with pytest.raises(ModelError, match=r"there is no folder nowhere; a hub's id is owner/name"):
        Editor(64, weights="nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"has no weights of text_encoder that can be loaded.*local folder"):
        diffusion_bundle(Editor(64, weights=str(tmp_path / "empty")), tmp_path / "a", "x")
    assert not (tmp_path / "a").exists()


def editing(folder, entry, editor):
    """A function that does a whole edit in this process, as an app would, and returns its milliseconds."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    sessions = {
        one.name: onnxruntime.InferenceSession(
            str(folder / one.entry_point), options, providers=["CPUExecutionProvider"]
        )
        for one in entry.components
    }
    golden = {path.stem: path for path in (folder / "golden").rglob("*.bin")}

    def golden_input(component):
        (spec,) = next(one for one in entry.components if one.name == component).inputs
        return np.fromfile(golden[spec.name], spec.dtype).reshape(spec.shape)

    tokens, picture = golden_input("text"), golden_input("encoder")

    def edit():
        started = time.perf_counter()
        (text,) = sessions["text"].run(None, {"input_ids": tokens})
        (seen,) = sessions["encoder"].run(None, {"image": picture})
        latents = np.random.default_rng(0).standard_normal(seen.shape).astype(np.float32)
        for step in range(editor.steps):
            timestep = np.array([999 - 900 * step // editor.steps], np.int64)
            passes = []
            for use_picture, use_text in ((0, 0), (1, 0), (1, 1))[-editor.guidance_passes :]:
                sample = np.concatenate([latents, seen * np.float32(use_picture)], 1)
                states = text * np.float32(use_text)
                feeds = {"sample": sample, "timestep": timestep, "encoder_hidden_states": states}
                passes.append(sessions["denoiser"].run(None, feeds)[0])
            noise = passes[0] if len(passes) == 1 else passes[0] + 1.5 * (passes[1] - passes[0])
            latents = latents - np.float32(0.1) * noise.astype(np.float32)
        edited = sessions["decoder"].run(None, {"latents": latents})[0]
        np.clip((edited + 1) * 127.5 + 0.5, 0, 255).astype(np.uint8)
        return (time.perf_counter() - started) * 1e3

    return edit


@pytest.mark.heavy
def test_a_real_edit_takes_what_the_composed_one_says(tmp_path):
    """In turns, each composed edit between two real ones, so that what the machine does meanwhile meets both. The first
    real edit after a composed one is not timed: the weights were evicted, as they are in no app."""
    editor = Editor(256, steps=2)
    manifest = diffusion_bundle(editor, tmp_path / "bundle", "diffusion-2-steps")
    pack_folder(tmp_path / "bundle", tmp_path / "editor.pgb")
    options = JobOptions(iterations=6, rounds=1, runs=1, cold_repeats=0, warmup=Warmup(iterations=1, timeout_s=0))
    edit = editing(tmp_path / "bundle", manifest.entries[0], editor)
    edit()
    real, composed = [edit()], []
    for turn in range(2):
        (result,) = measure([tmp_path / "editor.pgb"], LocalDevice(), options, tmp_path / f"{turn}.jsonl")
        composed.append(percentile(frame_times(result.frames), 50) / 1e6)
        edit()
        real.append(edit())
    ratio = percentile([one / (sum(pair) / 2) for one, pair in zip(composed, pairwise(real), strict=True)], 50)
    told = ", ".join(f"{ms / 1e3:.2f}" for ms in composed), ", ".join(f"{ms / 1e3:.2f}" for ms in real)
    print(f"\nan edit of 2 steps at 256x256: composed {told[0]} s, real {told[1]} s, ratio {ratio:.3f}")
    assert ratio == pytest.approx(1, rel=0.05)
