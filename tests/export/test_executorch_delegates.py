"""ExecuTorch programs for phones: Core ML's is checked here, Vulkan's is lowered whole."""

from __future__ import annotations

import logging

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("executorch")
pytest.importorskip("coremltools")

from pocketgan.errors import ExportError  # noqa: E402
from pocketgan.export.canonical import canonical  # noqa: E402
from pocketgan.export.entry import export  # noqa: E402
from pocketgan.export.golden import natural_images  # noqa: E402
from pocketgan.export.parity import run_file  # noqa: E402
from pocketgan.export.targets import payload  # noqa: E402
from pocketgan.export.targets.executorch import MODEL_FILE, write_program  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture
def small(settle):
    """3x16x16 -> 3x16x16."""
    return settle(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 3, 1)))


@pytest.fixture
def picture():
    return (torch.zeros(1, 3, 16, 16),)


def test_the_core_ml_program_inside_is_evaluated(network, example, tmp_path):
    entry = export(network, "executorch-coreml", "fp32", folder=tmp_path, example=example, bound=True).entry
    assert entry.parity is not None
    assert entry.parity.runtime == "executorch-coreml"
    assert entry.parity.psnr_db is None or entry.parity.psnr_db > 100
    assert entry.delegation is not None
    assert (entry.delegation.delegated_fraction, entry.delegation.subgraphs) == (1, 1)
    assert (entry.runtime, entry.minimum_os) == ("executorch", "iOS 16")


def test_a_wrong_byte_in_the_stored_weights_is_seen(small, picture, tmp_path):
    entry = export(small, "executorch-coreml", "fp32", folder=tmp_path, example=picture).entry
    path = tmp_path / entry.components[0].entry_point
    image = np.ones((1, 3, 16, 16), np.float32)
    right = run_file("executorch-coreml", path, [image])
    weight = small[0].weight.detach().numpy().tobytes()
    data = path.read_bytes()
    assert data.count(weight) == 1
    path.write_bytes(data.replace(weight, np.zeros_like(small[0].weight.detach().numpy()).tobytes()))
    assert np.abs(run_file("executorch-coreml", path, [image]) - right).max() > 0.1


class _PartlyOutside(torch.nn.Module):
    """Core ML's converter has no acosh, so the delegate leaves it outside."""

    def forward(self, x):
        return torch.acosh(x.abs() + 2) * x.sigmoid()


def test_a_graph_that_is_partly_outside_has_no_parity_here(picture, tmp_path):
    entry = export(_PartlyOutside(), "executorch-coreml", folder=tmp_path, example=picture).entry
    assert entry.parity is None
    assert entry.delegation is not None
    assert entry.delegation.delegated_fraction < 1
    assert any("acosh" in name for name in entry.delegation.fallen)


def test_int8_is_calibrated_and_needs_ios_17(small, picture, tmp_path):
    images = np.concatenate([natural_images(3, 16, 16)] * 8)
    export(small, "executorch-coreml", "fp32", folder=tmp_path / "whole", example=picture)
    entry = export(small, "executorch-coreml", "int8", folder=tmp_path / "a", example=picture, calibration=images).entry
    assert entry.minimum_os == "iOS 17"
    assert entry.parity is not None
    assert 30 < entry.parity.psnr_db < 60
    program = (tmp_path / "a" / entry.components[0].entry_point).read_bytes()
    assert small[0].weight.detach().numpy().tobytes() not in program
    with pytest.raises(ExportError, match="int8 activations are calibrated on real inputs"):
        export(small, "executorch-coreml", "int8", folder=tmp_path / "b", example=picture)
    with pytest.raises(ExportError, match="int8 needs iOS 17; iOS 16 is older"):
        export(small, "executorch-coreml", "int8", folder=tmp_path / "c", example=picture, ios=16)


def test_a_packed_folder_is_what_executorch_unpacks(tmp_path):
    from executorch.backends.apple.coreml import executorchcoreml

    folder = tmp_path / payload.FOLDER
    contents = {"metadata.json": b"{}", "model.mlpackage/Manifest.json": b"[1]", "model.mlpackage/Data/w.bin": b"\0\1}"}
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (tmp_path / "out").mkdir()
    assert executorchcoreml.unflatten_directory_contents(payload.pack(folder), str(tmp_path / "out"))
    (root,) = (tmp_path / "out").iterdir()
    found = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert found == contents
    theirs = executorchcoreml.flatten_directory_contents(str(folder))
    assert len(payload.pack(folder)) == len(theirs)


def test_vulkan_takes_the_network_whole(network, example, tmp_path):
    level = logging.root.level
    entry = export(network, "executorch-vulkan", folder=tmp_path, example=example).entry
    assert entry.parity is None
    assert entry.delegation is not None
    assert (entry.delegation.delegated_fraction, entry.delegation.subgraphs) == (1, 1)
    assert b"VulkanBackend" in (tmp_path / entry.components[0].entry_point).read_bytes()
    assert logging.root.level == level


def test_vulkan_float16_stores_float16_weights(settle, tmp_path):
    module = settle(torch.nn.Sequential(torch.nn.Conv2d(64, 64, 3), torch.nn.ReLU()))
    sizes = [
        export(module, "executorch-vulkan", one, folder=tmp_path / one, example=(torch.zeros(1, 64, 8, 8),)).entry.bytes
        for one in ("fp32", "fp16")
    ]
    assert sizes[0] - sizes[1] > 0.45 * 4 * 64 * 64 * 9


def test_vulkan_without_shortcuts_gives_the_same_bytes(small, picture, tmp_path):
    """Neither the fast lowering nor the patterns that are not looked for change anything."""
    from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

    entry = export(small, "executorch-vulkan", "fp32", folder=tmp_path / "a", example=picture, rewrites=()).entry
    write_program(canonical(small, picture), picture, VulkanPartitioner({}), tmp_path)
    assert (tmp_path / MODEL_FILE).read_bytes() == (tmp_path / "a" / entry.components[0].entry_point).read_bytes()
