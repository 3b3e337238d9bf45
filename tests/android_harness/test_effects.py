"""The library for apps makes of a bitmap what `pocketgan apply` makes of the same picture."""

from __future__ import annotations

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
from pocketgan.bundle.signature import sign


@pytest.fixture(autouse=True)
def library() -> None:
    reason = android_app.left_out()
    if reason:
        pytest.skip(f"left out: android_harness/bundle ({reason})")


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A folder with a signed bundle, its key and pictures: of the model's own size, larger, tall, tiny, transparent."""
    bundle = tmp_path / "effect.pgb"
    api.export("resnet6", "onnx", bundle, ngf=4, input=(3, 32, 48), name="small", io=["tensor", "image"], workers=1)
    key = Ed25519PrivateKey.generate()
    private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(*private))
    public = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "key.pub").write_bytes(key.public_key().public_bytes(*public))
    sign(bundle, tmp_path / "key.pem")
    noise = np.random.default_rng(5)
    (tmp_path / "pictures").mkdir()
    for name, shape in {"own": (32, 48, 3), "large": (211, 301, 3), "tall": (90, 10, 3), "tiny": (3, 2, 3)}.items():
        Image.fromarray(noise.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / "pictures" / f"{name}.png")
    veil = noise.integers(0, 256, (40, 40, 4), dtype=np.uint8)
    # Bitmaps hold colours multiplied by their alpha: where that is small, few of their bits are left.
    veil[..., 3] = np.where(veil[..., 3] > 127, 255, 0)
    Image.fromarray(veil, "RGBA").save(tmp_path / "pictures" / "veil.png")
    return tmp_path


def test_bitmaps_become_what_python_makes_of_them(given: Path) -> None:
    done = android_effects.run_tests("ExportedEffectTest", effect=given)
    assert done.returncode == 0, done.stdout + done.stderr
    entry = (given / "entry").read_text().removesuffix(" on cpu")
    (given / "expected").mkdir()
    names = apply_bundle(given / "effect.pgb", given / "pictures", given / "expected", entry)
    assert len(names) == 5
    for name in names:
        made, expected = (np.asarray(Image.open(given / folder / name).convert("RGB")) for folder in ("made", "expected"))
        assert made.shape == expected.shape
        difference = np.abs(made.astype(int) - expected)
        # The runtimes of the two languages are builds of their own: their floats may round to the next level. Pillow
        # scales what is tall by columns first and rounds in between, which a network of random weights enlarges.
        worst, mean = (8, 2) if name == "tall.png" else (1, 0.1)
        assert difference.max() <= worst, name
        assert difference.mean() <= mean, name
