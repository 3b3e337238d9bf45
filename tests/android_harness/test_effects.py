"""The library for apps: what it makes of pictures, the README's example, and the file that apps take."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import android_app
import android_effects
import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image

from pocketgan import api
from pocketgan.apply import apply_bundle
from pocketgan.bench.devices.session_folder import write_session
from pocketgan.bench.schema.job import Job, Warmup
from pocketgan.bench.schema.session import Group, Session
from pocketgan.bundle.reader import open_bundle
from pocketgan.bundle.signature import sign

README = (android_app.ROOT / "README.md").read_text()
EXAMPLE = android_effects.BUNDLE / "src" / "test" / "kotlin" / "pocketgan" / "effects" / "example" / "PosterActivity.kt"


@pytest.fixture
def library() -> None:
    reason = android_app.left_out()
    if reason:
        pytest.skip(f"left out: android_harness/bundle ({reason})")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a signed bundle, its key and pictures: of the model's own size, larger, tall, tiny, transparent."""
    folder = tmp_path_factory.mktemp("given")
    bundle = folder / "effect.pgb"
    api.export("resnet6", "onnx", bundle, ngf=4, input=(3, 32, 48), name="small", io=["tensor", "image"], workers=1)
    key = Ed25519PrivateKey.generate()
    private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(*private))
    public = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    (folder / "key.pub").write_bytes(key.public_key().public_bytes(*public))
    sign(bundle, folder / "key.pem")
    noise = np.random.default_rng(5)
    (folder / "pictures").mkdir()
    for name, shape in {"own": (32, 48, 3), "large": (211, 301, 3), "tall": (90, 10, 3), "tiny": (3, 2, 3)}.items():
        Image.fromarray(noise.integers(0, 256, shape, dtype=np.uint8)).save(folder / "pictures" / f"{name}.png")
    veil = noise.integers(0, 256, (40, 40, 4), dtype=np.uint8)
    # Bitmaps hold colours multiplied by their alpha: where that is small, few of their bits are left.
    veil[..., 3] = np.where(veil[..., 3] > 127, 255, 0)
    Image.fromarray(veil, "RGBA").save(folder / "pictures" / "veil.png")
    return folder


def test_bitmaps_become_what_python_makes_of_them(library: None, given: Path) -> None:
    done = android_effects.run_tests("ExportedEffectTest", effect=given)
    assert done.returncode == 0, done.stdout + done.stderr
    entry = (given / "entry").read_text().removesuffix(" on cpu")
    (given / "expected").mkdir()
    names = apply_bundle(given / "effect.pgb", given / "pictures", given / "expected", entry)
    assert len(names) == 5
    for name in names:
        made, expected = (
            np.asarray(Image.open(given / folder / name).convert("RGB")) for folder in ("made", "expected")
        )
        assert made.shape == expected.shape
        difference = np.abs(made.astype(int) - expected)
        # The runtimes of the two languages are builds of their own: their floats may round to the next level. Pillow
        # scales what is tall by columns first and rounds in between, which a network of random weights enlarges.
        worst, mean = (8, 2) if name == "tall.png" else (1, 0.1)
        assert difference.max() <= worst, name
        assert difference.mean() <= mean, name


def test_the_readme_shows_the_example_that_is_compiled_in_twenty_lines() -> None:
    blocks = re.findall(r"```kotlin\n(.*?)```", README, re.DOTALL)
    shown = next(block for block in blocks if "class PosterActivity" in block)
    source = EXAMPLE.read_text()
    assert shown == source[source.index("class PosterActivity") :]
    assert len(shown.splitlines()) <= 20


def test_the_readme_names_the_versions_of_the_build() -> None:
    pom = ET.parse(android_app.ROOT / "pom.xml").getroot()
    namespace = pom.tag.removesuffix("project")
    asked = dict(re.findall(r'implementation\("[\w.]+:([\w-]+):([\d.]+)"\)', README))
    for library, name in {"kotlinx-serialization-json": "serialization", "onnxruntime-android": "onnxruntime"}.items():
        assert asked[library] == pom.findtext(f"{namespace}properties/{namespace}{name}.version")
    version = pom.findtext(f"{namespace}version")
    assert f"pocketgan-effects-{version}.aar" in README


def test_an_app_takes_one_file(library: None) -> None:
    with zipfile.ZipFile(android_effects.AAR) as aar:
        assert {"AndroidManifest.xml", "classes.jar", "R.txt", "proguard.txt"} <= set(aar.namelist())
        assert ET.fromstring(aar.read("AndroidManifest.xml")).get("package") == "org.pocketgan.effects"
        jars = [name for name in aar.namelist() if name.endswith(".jar")]
        classes = {name for jar in jars for name in zipfile.ZipFile(io.BytesIO(aar.read(jar))).namelist()}
    for name in ("effects/Effects", "bundle/Bundle", "onnxruntime/OnnxRuntimeEngine", "executorch/ExecuTorchEngine"):
        assert f"pocketgan/{name}.class" in classes
    # The runtimes are the app's own, and so are Kotlin's libraries.
    assert not [name for name in classes if name.startswith(("ai/", "org/pytorch/", "kotlin/", "kotlinx/"))]


@pytest.mark.heavy  # R8 alone takes 20 s of processor time
def test_what_r8_leaves_of_the_library_reads_bundles_and_runs_models(
    library: None, given: Path, tmp_path: Path
) -> None:
    shrunk = android_effects.shrunk(tmp_path)
    with zipfile.ZipFile(shrunk) as jar:
        names = jar.namelist()
    assert "pocketgan/effects/Effects.class" not in names, "nothing was renamed"
    with open_bundle(given / "effect.pgb") as bundle:
        job = Job(bundle=bundle.digest, entry="onnx-fp32", via="app", iterations=4, warmup=Warmup(timeout_s=0.2))
        write_session(tmp_path / "s", Session(name="s", groups=[Group(jobs=[job])]), [(bundle, job)], there={})
    java = shutil.which("java")
    assert java is not None
    command = [
        java,
        "-XX:+UseSerialGC",
        "-Xss8m",
        "-cp",
        str(shrunk),
        "pocketgan.jvm.MainKt",
        "session",
        str(tmp_path / "s"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in (tmp_path / "s" / "results.jsonl").read_text().splitlines()]
    (result,) = [line for line in lines if line["record"] == "result"]
    assert result["errors"] == []
    assert len(result["frames"]) == 4
    assert result["parity"]["psnr_db"] is None or result["parity"]["psnr_db"] > 100
