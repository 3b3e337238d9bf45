"""Core ML packs: one package, a function a concept, branches beside shared weights."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pocketgan.errors import ExportError
from pocketgan.export.mil import Program
from pocketgan.export.packs.coreml import function_names, with_branches, write_functions
from pocketgan.export.targets import find_target
from pocketgan.export.targets.target import Form
from pocketgan.export.tracing import trace

EXAMPLE = (torch.zeros(1, 3, 16, 16),)
RANK = 2


class Network(nn.Module):
    """Every kind of layer that adapters change, and a text."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 48, 3, 2, 1)
        self.mix = nn.Linear(48, 48)
        self.up = nn.ConvTranspose2d(48, 32, 4, 2, 1)
        self.head = nn.Conv2d(32, 3, 3, padding=1)
        self.text = nn.Parameter(torch.randn(48))

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.down(image)).permute(0, 2, 3, 1)
        x = torch.relu(self.mix(x) + self.text).permute(0, 3, 1, 2)
        return torch.tanh(self.head(torch.relu(self.up(x))))


def networks() -> tuple[nn.Module, nn.Module]:
    """A base, and a concept of it: products of rank 2 in three layers, and another text."""
    torch.manual_seed(0)
    base = Network().eval().requires_grad_(False)
    concept = copy.deepcopy(base)
    concept.down.weight += (0.1 * torch.randn(48, RANK) @ torch.randn(RANK, 27)).view(48, 3, 3, 3)
    concept.mix.weight += 0.1 * torch.randn(48, RANK) @ torch.randn(RANK, 48)
    product = (0.1 * torch.randn(32, RANK) @ torch.randn(RANK, 48 * 16)).view(32, 48, 4, 4)
    concept.up.weight += product.transpose(0, 1)
    concept.text.copy_(torch.randn(48))
    return base, concept


def graph(network: nn.Module) -> Any:
    return trace(network, EXAMPLE).module(check_guards=False)


def test_branches_beside_the_bases_weights_draw_the_concept() -> None:
    base, concept = networks()
    traced = graph(base)
    branched = with_branches(traced, graph(concept))
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(branched(image), concept(image), atol=1e-5, rtol=0)
    torch.testing.assert_close(traced(image), base(image), atol=0, rtol=0)
    numbers = {name: tensor.numel() for name, tensor in branched.named_parameters()}
    added = sum(numbers.values()) - sum(tensor.numel() for tensor in base.parameters())
    assert added == RANK * (48 + 27) + RANK * (48 + 48) + RANK * (32 + 48 * 16)


def test_a_package_of_two_functions_shares_their_weights(tmp_path: Path) -> None:
    base, concept = networks()
    target, packages = find_target("coreml", "fp32")[0], {}
    for function, one in (("main", base), ("concept_1_ink", concept)):
        (tmp_path / function).mkdir()
        branched = with_branches(graph(base), graph(one))
        target.export(branched, EXAMPLE, Form("fp32", ios=18), tmp_path / function)
        packages[function] = tmp_path / function / "model.mlpackage"
    (tmp_path / "pack").mkdir()
    whole = write_functions(packages, tmp_path / "pack")
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 16, 16)).astype(np.float32)
    for function, one in (("main", base), ("concept_1_ink", concept)):
        output = Program.read(whole, function).run({"image": image})["output"]
        np.testing.assert_allclose(output, one(torch.from_numpy(image)).numpy(), atol=1e-5)
    weights = "Data/com.apple.CoreML/weights/weight.bin"
    alone = (packages["main"] / weights).stat().st_size
    # 4 bytes for each of the branches' 1,942 numbers, and a header and padding a tensor.
    assert (whole / weights).stat().st_size < alone + 4 * 1942 + 16 * 128


def test_a_function_that_there_is_not_is_refused_with_those_there_are(tmp_path: Path) -> None:
    (tmp_path / "main").mkdir()
    find_target("coreml", "fp32")[0].export(graph(networks()[0]), EXAMPLE, Form("fp32"), tmp_path / "main")
    with pytest.raises(ExportError, match="has no function ink; it has main"):
        Program.read(tmp_path / "main" / "model.mlpackage", "ink")


def test_networks_of_two_forms_share_nothing() -> None:
    base, _ = networks()
    other = nn.Sequential(base, nn.ReLU()).eval()
    with pytest.raises(ExportError, match="another one than the base's"):
        with_branches(graph(base), graph(other))


def test_functions_have_names_that_core_ml_takes_and_the_default_is_main() -> None:
    assert function_names(["comic-ink", "night", "comic.ink"], "night") == {
        "comic-ink": "concept_0_comic_ink",
        "night": "main",
        "comic.ink": "concept_2_comic_ink",
    }
