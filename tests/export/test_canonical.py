"""The canonical form computes what the source does, and leaves the source alone."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from pocketgan.errors import ExportError  # noqa: E402
from pocketgan.export.canonical import canonical  # noqa: E402
from pocketgan.training.generators import build, spec_by_name  # noqa: E402


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def _norms(module):
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]


def _agree(module, copied, example, atol=2e-6):
    with torch.no_grad():
        expected = module.eval()(*example)
        torch.testing.assert_close(copied(*example), expected, atol=atol, rtol=1e-5)


def test_every_batch_norm_after_a_convolution_is_folded(network, example):
    copied = canonical(network, example)
    assert not _norms(copied)
    _agree(network, copied, example)


def test_source_is_unchanged_to_the_last_bit(network, example):
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    canonical(network, example)
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_result_has_no_gradients_and_is_in_eval_mode(network, example):
    copied = canonical(network, example)
    assert not any(parameter.requires_grad for parameter in copied.parameters())
    assert not any(part.training for part in copied.modules())


def test_parameter_names_start_with_a_letter(network, example):
    assert all(not name[0].isdigit() for name, _ in canonical(network, example).named_parameters())


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_grouped_and_transposed_convolutions_fold_exactly(settle, groups, bias):
    module = settle(
        nn.Sequential(
            nn.Conv2d(4, 6, 3, groups=groups, bias=bias),
            nn.BatchNorm2d(6),
            nn.ConvTranspose2d(6, 4, 3, stride=2, groups=groups, bias=bias),
            nn.BatchNorm2d(4),
        )
    )
    example = (torch.randn(1, 4, 9, 9),)
    copied = canonical(module, example)
    assert not _norms(copied)
    _agree(module, copied, example)


class _ReadTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        x = self.conv(x)
        return x + self.norm(x)


class _RunTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.conv(self.norm(self.conv(x)))


class _Disordered(nn.Module):
    """The norm is registered beside a convolution that it does not follow."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.norm(self.second(self.first(x).relu()))


@pytest.mark.parametrize("kind", [_ReadTwice, _RunTwice])
def test_convolution_that_others_use_is_not_folded(settle, kind):
    module = settle(kind())
    example = (torch.randn(1, 3, 8, 8),)
    copied = canonical(module, example)
    assert len(_norms(copied)) == 1
    _agree(module, copied, example)


def test_norm_is_folded_into_the_convolution_that_it_follows(settle):
    module = settle(_Disordered())
    example = (torch.randn(1, 3, 8, 8),)
    copied = canonical(module, example)
    assert torch.equal(copied.first.weight, module.first.weight)
    assert not torch.equal(copied.second.weight, module.second.weight)
    _agree(module, copied, example)


def test_norm_without_a_convolution_gets_scale_and_shift(settle):
    module = settle(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3, affine=False)))
    example = (torch.randn(1, 3, 8, 8),)
    copied = canonical(module, example)
    assert _norms(copied)[0].affine
    _agree(module, copied, example)


@pytest.mark.parametrize("name", ["resnet9-bn", "incres9"])
def test_generators_lose_every_batch_norm_but_that_of_a_sum(name, settle):
    module = settle(build(spec_by_name(name, ngf=8, height=16, width=16)))
    example = (torch.rand(1, 3, 16, 16),)
    copied = canonical(module, example)
    # The norm after the sum of an IncRes block follows no single convolution.
    assert len(_norms(copied)) == (9 if name == "incres9" else 0)
    # These weights amplify what float32 rounds, layer by layer; a norm left out is off by far more.
    _agree(module, copied, example, atol=1e-3)


def test_input_that_does_not_fit_is_one_line(network):
    with pytest.raises(ExportError, match="input of 1x5x32x32") as caught:
        canonical(network, (torch.zeros(1, 5, 32, 32),))
    assert "\n" not in str(caught.value)
