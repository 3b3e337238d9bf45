"""A network with every kind of layer that generators have, small enough to be exported in a second."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from pocketgan.bundle.manifest import Entry
from pocketgan.export.entry import export

torch = pytest.importorskip("torch")
nn = torch.nn


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def _settle(module: nn.Module) -> nn.Module:
    """Seeded weights, and running statistics as after a training."""
    random = torch.Generator().manual_seed(7)
    for parameter in module.parameters():
        parameter.data.normal_(0, 0.3, generator=random)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.5, generator=random)
            norm.running_var.uniform_(0.5, 2, generator=random)
    return module


@pytest.fixture
def settle() -> Callable[[nn.Module], nn.Module]:
    return _settle


def _liven(module: nn.Module, images: torch.Tensor) -> nn.Module:
    """Seeded weights of gain 1, norms that differ by channel, and the images' own running statistics.

    Fresh generators of several families give 1e-5 and less, with which any file would agree.

    Args:
        images: (n, c, h, w), two at least.
    """
    random = torch.Generator().manual_seed(7)
    spreads: list[tuple[nn.Module, float]] = []
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0, math.sqrt(2 / parameter[0].numel()), generator=random)
        else:
            parameter.data.normal_(*((1, 0.2) if name.endswith("weight") else (0, 0.1)), generator=random)
    hooks = []
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            hooks.append(layer.register_forward_hook(lambda layer, _, out: spreads.append((layer, float(out.std())))))
    with torch.no_grad():
        module.train()(images)
        module.eval()(images)
        last, spread = spreads[-1]
        for parameter in last.parameters():
            parameter.mul_(0.5 / spread)
    for hook in hooks:
        hook.remove()
    return module


@pytest.fixture
def liven() -> Callable[[nn.Module, torch.Tensor], nn.Module]:
    return _liven


def _network() -> nn.Module:
    """3x32x32 -> 3x32x32 in [-1, 1]: padding, convolutions both ways, BN with and without scale, instance norm."""
    return _settle(
        nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(3, 8, 3, bias=False),
            nn.BatchNorm2d(8, affine=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(8, 8, 3, stride=2, padding=1),
            nn.InstanceNorm2d(8, affine=True),
            nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(inplace=True),
            nn.Conv2d(6, 3, 1),
            nn.Tanh(),
        )
    )


def _example() -> tuple[torch.Tensor, ...]:
    return (torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1,)


@pytest.fixture
def network() -> nn.Module:
    return _network()


@pytest.fixture
def example() -> tuple[torch.Tensor, ...]:
    return _example()


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Entry, Path]]:
    """The entry and the bundle's folder of `network` in a target's default form, which is exported once."""

    @cache
    def once(target: str) -> tuple[Entry, Path]:
        folder = tmp_path_factory.mktemp(target)
        return export(_network(), target, folder=folder, example=_example()).entry, folder

    return once
