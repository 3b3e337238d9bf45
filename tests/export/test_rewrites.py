"""Each rewrite computes what the module does, to 126 dB, changes nothing of its source, and leaves alone what it
does not fit."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from pocketgan.errors import ExportError  # noqa: E402
from pocketgan.export import export  # noqa: E402
from pocketgan.export.canonical import canonical, trace  # noqa: E402
from pocketgan.export.parity import PEAK  # noqa: E402
from pocketgan.export.rewrites import REWRITES, rewrite  # noqa: E402
from pocketgan.export.targets import TARGETS  # noqa: E402
from pocketgan.training.generators import build, spec_by_name  # noqa: E402

EXACT_DB = 126.0
IMAGE = (torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1,)
CONVOLUTION, SHUFFLE = torch.ops.aten.conv2d.default, torch.ops.aten.pixel_shuffle.default


class _Sum(nn.Module):
    """norm(a(x) + b(x) + c(x)), the convolutions with and without bias, one of them transposed."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.Conv2d(3, 6, 1)
        self.c = nn.ConvTranspose2d(3, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)

    def forward(self, x):
        return self.norm(self.a(x) + self.b(x) + self.c(x))


class _SumReadTwice(_Sum):
    """The sum goes past the norm too, so that the norm cannot move into the convolutions."""

    def forward(self, x):
        total = self.a(x) + self.b(x)
        return total + self.norm(total)


class _SumOfOthers(_Sum):
    def forward(self, x):
        return self.norm(self.a(x) + torch.relu(self.b(x)))


def _head(kernel=7, outputs=3, activation=None, pad=True, **options):
    pads = [nn.ReflectionPad2d(kernel // 2)] if pad else []
    last = [] if activation is None else [activation]
    return nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), *pads, nn.Conv2d(8, outputs, kernel, **options), *last)


def _with_statistics(module):
    """Fresh weights, which amplify no rounding, and running statistics as after a training."""
    random = torch.Generator().manual_seed(7)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.1, generator=random)
            norm.running_var.uniform_(0.5, 1.5, generator=random)
    return module


def _rewritten(module, names, example=IMAGE):
    """The canonical module, the rewritten one, and their agreement in dB, which is computed in float64."""
    source = canonical(module, example)
    before = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    found = rewrite(source, example, names)
    with torch.no_grad():
        expected, output = source(*example), found(*example)
    assert all(torch.equal(tensor, before[name]) for name, tensor in source.state_dict().items())
    assert output.shape == expected.shape
    error = float((output.double() - expected.double()).square().mean())
    return source, found, math.inf if error == 0 else 10 * math.log10(PEAK**2 / error)


def _calls(module, target, example=IMAGE):
    return [node for node in trace(module, example).graph.nodes if node.target == target]


def test_norm_of_a_sum_is_folded_into_all_its_convolutions(settle):
    _, found, psnr = _rewritten(settle(_Sum()), ["fold-norms-of-sums"])
    assert psnr > EXACT_DB
    assert not _calls(found, torch.ops.aten.batch_norm.default)


@pytest.mark.parametrize("kind", [_SumReadTwice, _SumOfOthers])
def test_norm_of_another_sum_stays(settle, kind):
    source, found, _ = _rewritten(settle(kind()), ["fold-norms-of-sums"])
    assert found is source


@pytest.mark.parametrize("name", ["strided-heads-2x2", "strided-heads-2x4"])
@pytest.mark.parametrize(
    "module",
    [
        _head(activation=nn.Tanh()),
        _head(kernel=3, outputs=1, activation=nn.Sigmoid()),
        _head(kernel=5, outputs=4),
        _head(pad=False, padding=3, activation=nn.Tanh()),
    ],
)
def test_narrow_head_is_strided(settle, name, module):
    source, found, psnr = _rewritten(settle(module), [name])
    assert psnr > EXACT_DB
    last = _calls(found, CONVOLUTION)[-1]
    assert last.args[3] == [2, int(name[-1])]
    assert len(found.state_dict()) == len(source.state_dict())


@pytest.mark.parametrize(
    ("module", "example"),
    [
        (_head(outputs=8), IMAGE),
        (_head(kernel=1), IMAGE),
        (_head(stride=2), IMAGE),
        (_head(dilation=2, pad=False), IMAGE),
        (nn.Sequential(_head(), nn.Conv2d(3, 8, 3)), IMAGE),
        (_head(activation=nn.Tanh()), (torch.rand(1, 3, 16, 21),)),
    ],
)
def test_other_last_convolutions_stay(module, example):
    source, found, _ = _rewritten(module, ["strided-heads-2x2"], example)
    assert found is source


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["incres9", "resnet9", "resnet9-bn"])
def test_generators_compute_the_same_in_every_targets_form(target, name):
    module = _with_statistics(build(spec_by_name(name, ngf=6, height=16, width=24)))
    _, found, psnr = _rewritten(module, TARGETS[target].rewrites)
    assert psnr > EXACT_DB
    if TARGETS[target].rewrites:
        assert not _calls(found, torch.ops.aten.batch_norm.default)


def test_targets_name_rewrites_that_there_are():
    assert {name for target in TARGETS.values() for name in target.rewrites} <= REWRITES.keys()


def test_unknown_rewrite_is_one_line():
    with pytest.raises(ExportError, match="no rewrite 'faster'"):
        rewrite(nn.Conv2d(3, 3, 1), IMAGE, ["faster"])


def test_an_export_can_be_plain(settle, tmp_path):
    onnx = pytest.importorskip("onnx")

    def operators(folder, **options):
        artifact = export(settle(_head(activation=nn.Tanh())), "onnx", folder=folder, example=IMAGE, **options)
        assert artifact.entry.parity.passed
        model = onnx.load(folder / artifact.entry.components[0].entry_point)
        return {node.op_type for node in model.graph.node}

    assert "Transpose" in operators(tmp_path / "rewritten")
    assert "Transpose" not in operators(tmp_path / "plain", rewrites=())
