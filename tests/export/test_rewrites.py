"""Each rewrite computes what the module does, to 126 dB, changes nothing of its source, and leaves alone what it
does not fit."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from pocketgan.errors import ExportError  # noqa: E402
from pocketgan.export.canonical import canonical  # noqa: E402
from pocketgan.export.entry import export  # noqa: E402
from pocketgan.export.golden import label_maps  # noqa: E402
from pocketgan.export.rewrites import REWRITES, rewrite, rewrites_at  # noqa: E402
from pocketgan.export.targets import TARGETS  # noqa: E402
from pocketgan.export.tracing import trace  # noqa: E402
from pocketgan.training.generators import build, spec_by_name, vanishing  # noqa: E402

EXACT_DB = 126.0
IMAGES = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1
IMAGE = (IMAGES[:1],)
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
    return source, found, math.inf if error == 0 else 10 * math.log10(2.0**2 / error)


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


class _Attention(nn.Module):
    """Self-attention over (n, t, 12) with 3 heads, written out or by torch's own function."""

    def __init__(self, own):
        super().__init__()
        self.own, self.parts = own, nn.ModuleList(nn.Linear(12, 12) for _ in range(3))

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        query, key, value = (part(tokens).unflatten(2, (3, 4)).transpose(1, 2) for part in self.parts)
        if self.own:
            found = torch.softmax(query @ key.transpose(-1, -2) * 0.5, -1) @ value
        else:
            found = nn.functional.scaled_dot_product_attention(query, key, value)
        return found.transpose(1, 2).flatten(2).transpose(1, 2).unflatten(2, x.shape[2:])


class _Nearest(nn.Module):
    def __init__(self, *then, factor=2):
        super().__init__()
        self.factor, self.then = factor, nn.Sequential(*then)

    def forward(self, x):
        return self.then(nn.functional.interpolate(x, scale_factor=self.factor, mode="nearest"))


class _Down(nn.Module):
    def forward(self, x):
        return x[:, :, ::2, ::2] + x[:, :, ::2, ::2].relu()


class _Scalars(nn.Module):
    """Numbers that go into a layer, and numbers that cannot."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(12, 12, 1) for _ in range(6))

    def forward(self, x):
        a, b, c, d, e, f = (layer(x) for layer in self.layers)
        return (1 + a) * (b * 0.5) + (c - 2) * (2 - d) + e / 3 + 2 / (f.square() + 1)


class _Chunks(nn.Module):
    def forward(self, x):
        a, b, c = x.chunk(3, 1)
        d, e = x.split([5, 7], 1)
        return a * b + c + d.mean() - e.mean()


class _Constants(nn.Module):
    """A text whose keys depend on nothing that comes in."""

    def __init__(self):
        super().__init__()
        self.key, self.text = nn.Linear(6, 12), nn.Parameter(torch.randn(5, 6))

    def forward(self, x):
        return x * self.key(self.text).relu().mean(0)[None, :, None, None]


class _Twice(nn.Module):
    """Sums of what is no convolution."""

    def forward(self, x):
        return (x + x) + 1 + (x + 1)


class _Branches(nn.Module):
    """Three branches that start alike, two of which end alike, as an IncRes block's."""

    def __init__(self):
        super().__init__()
        self.starts = nn.ModuleList(nn.Conv2d(12, width, 1, bias=width != 4) for width in (3, 4, 6))
        self.middle = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.ends = nn.ModuleList(nn.Conv2d(width, 12, 1) for width in (3, 4, 6))
        self.other = nn.Conv2d(12, 12, 3, padding=1)

    def forward(self, x):
        a, b, c = (start(x).relu() for start in self.starts)
        return self.ends[0](a) + self.ends[1](b) + self.ends[2](self.middle(c)) + self.other(x)


_aten = torch.ops.aten
UP = {"stride": 2, "padding": 1}


@pytest.mark.parametrize(
    ("name", "module", "before", "after"),
    [("merge-siblings", _Branches(), 8, 6), ("merge-sums", _Branches(), 8, 6)],
)
def test_parallel_convolutions_become_one(settle, name, module, before, after):
    example = (torch.randn(1, 12, 10, 16, generator=torch.Generator().manual_seed(0)),)
    source, found, psnr = _rewritten(settle(module), [name], example)
    assert psnr > EXACT_DB
    assert len(_calls(source, CONVOLUTION, example)) == before
    assert len(_calls(found, CONVOLUTION, example)) == after


def test_both_merge_an_incres_generator(liven):
    module = liven(build(spec_by_name("incres9", ngf=6, height=16, width=24)), IMAGES)
    # The head's weights are new by then, without what tracing knows of a tensor.
    names = ["fold-norms-of-sums", "strided-heads-2x4", "merge-siblings", "merge-sums", "winograd"]
    source, found, psnr = _rewritten(module, names)
    assert psnr > EXACT_DB
    assert len(_calls(found, CONVOLUTION)) < len(_calls(source, CONVOLUTION)) - 9 * 4


@pytest.mark.parametrize(
    ("name", "module", "gone"),
    [
        ("reflection-pads", nn.ReflectionPad2d((3, 1, 2, 0)), _aten.pad.default),
        ("reflection-pads", nn.ReplicationPad2d(2), _aten.pad.default),
        ("norms", nn.InstanceNorm2d(12), _aten.instance_norm.default),
        ("norms", nn.InstanceNorm2d(12, affine=True), _aten.instance_norm.default),
        ("norms", nn.GroupNorm(3, 12), _aten.group_norm.default),
        ("norms", nn.LayerNorm(16), _aten.layer_norm.default),
        ("norms", nn.LayerNorm(16, elementwise_affine=False), _aten.layer_norm.default),
        ("grown-convolutions", _Nearest(nn.Conv2d(12, 7, 3, padding=1)), _aten.upsample_nearest2d.vec),
        ("nearest-up", _Nearest(nn.Conv2d(12, 7, 3)), _aten.upsample_nearest2d.vec),
        ("nearest-up", _Nearest(nn.ReLU(), factor=3), _aten.upsample_nearest2d.vec),
        ("nearest-down", _Down(), _aten.slice.Tensor),
        ("attention", _Attention(own=True), _aten.matmul.default),
        ("attention", _Attention(own=False), _aten.scaled_dot_product_attention.default),
        ("scalars", _Scalars(), _aten.sub.Tensor),
        ("chunks", _Chunks(), _aten.chunk.default),
        ("constants", _Constants(), _aten.linear.default),
        ("transposed-as-phases", nn.ConvTranspose2d(12, 5, 3, output_padding=1, **UP), _aten.conv_transpose2d.input),
        ("transposed-as-phases", nn.ConvTranspose2d(12, 5, 4, bias=False, **UP), _aten.conv_transpose2d.input),
        ("transposed-as-phases", nn.ConvTranspose2d(12, 5, 2, stride=2), _aten.conv_transpose2d.input),
        ("transposed-as-phases", nn.ConvTranspose2d(12, 5, 5, stride=3, padding=1), _aten.conv_transpose2d.input),
    ],
)
@pytest.mark.parametrize("size", [(16, 16), (10, 16), (5, 16)])
def test_operator_is_rewritten_exactly(settle, name, module, gone, size):
    example = (torch.randn(1, 12, *size, generator=torch.Generator().manual_seed(size[0])),)
    source, found, psnr = _rewritten(settle(module), [name], example)
    assert psnr > EXACT_DB
    assert _calls(source, gone, example)
    assert not _calls(found, gone, example)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("reflection-pads", nn.ZeroPad2d(2)),
        ("reflection-pads", nn.ReflectionPad2d((1, -1, 0, 0))),
        ("norms", nn.LayerNorm([10, 16])),
        ("nearest-up", _Nearest(nn.ReLU(), factor=(2, 3))),
        ("grown-convolutions", _Nearest(nn.Conv2d(12, 7, 3))),
        ("grown-convolutions", _Nearest(nn.Conv2d(12, 7, 3, padding=1), factor=3)),
        ("grown-convolutions", _Nearest(nn.ReLU())),
        ("scalars", nn.ReLU()),
        ("transposed-as-phases", nn.ConvTranspose2d(12, 6, 4, groups=2, **UP)),
        ("transposed-as-phases", nn.ConvTranspose2d(12, 6, 3, **UP)),
        ("transposed-as-phases", nn.ConvTranspose2d(12, 6, 1, stride=2, output_padding=1)),
        ("merge-sums", _Nearest(nn.Conv2d(12, 3, 1))),
        ("merge-sums", _Twice()),
        ("merge-siblings", _Nearest(nn.Conv2d(12, 3, 1))),
    ],
)
def test_what_does_not_fit_stays(name, module):
    example = (torch.randn(1, 12, 10, 16),)
    source, found, _ = _rewritten(module, [name], example)
    assert found is source


@pytest.mark.parametrize("target", ["onnx", "executorch-xnnpack", "executorch-vulkan", "coreml", "executorch-coreml"])
def test_e2gan_grows_by_three_transposed_convolutions_in_every_target(settle, target):
    spec = spec_by_name("e2gan", ngf=8, height=32, width=32)
    example = (torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)),)
    names = [name for name in TARGETS[target].rewrites if name != "transposed-as-phases"]
    source, found, psnr = _rewritten(settle(build(spec).eval()), names, example)
    assert psnr > 110.0  # rounding of the whole network in float32
    assert len(_calls(source, _aten.upsample_nearest2d.vec, example)) == 3
    assert not _calls(found, _aten.upsample_nearest2d.vec, example)
    grown = _calls(found, _aten.conv_transpose2d.input, example)
    assert [tuple(node.args[1].meta["val"].shape[2:]) for node in grown] == [(4, 4)] * 3


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("padding", "size"), [(1, (8, 12)), (0, (10, 14)), ((0, 2), (12, 8))])
def test_wide_convolution_has_fewer_products(settle, padding, size, bias):
    module = settle(nn.Conv2d(96, 112, 3, padding=padding, bias=bias))
    example = (torch.randn(1, 96, *size, generator=torch.Generator().manual_seed(0)),)
    _, found, psnr = _rewritten(module, ["winograd"], example)
    assert psnr > 110  # sums of four inputs cost a bit or two of float32
    assert len(_calls(found, CONVOLUTION, example)) == 4 + 16 + 16
    products = [[*node.args[1].meta["val"].shape] for node in _calls(found, CONVOLUTION, example)]
    assert products.count([112, 96, 1, 1]) == 16


@pytest.mark.parametrize(
    ("module", "size"),
    [
        (nn.Conv2d(96, 64, 3, padding=1), (16, 16)),
        (nn.Conv2d(96, 96, 3, padding=1), (15, 16)),
        (nn.Conv2d(96, 96, 3, padding=1), (4, 8)),
        (nn.Conv2d(96, 96, 3, padding=1), (128, 128)),
        (nn.Conv2d(96, 96, 3, padding=1, stride=2), (32, 32)),
        (nn.Conv2d(96, 96, 3, padding=2, dilation=2), (16, 16)),
        (nn.Conv2d(192, 192, 3, padding=1, groups=2), (16, 16)),
        (nn.Conv2d(96, 96, 5, padding=2), (16, 16)),
    ],
    ids=["narrow", "odd", "small", "large", "strided", "dilated", "grouped", "5x5"],
)
def test_convolutions_that_would_gain_nothing_stay(module, size):
    source, found, _ = _rewritten(module, ["winograd"], (torch.randn(1, module.in_channels, *size),))
    assert found is source


def test_sums_of_inputs_are_for_float32_alone():
    names = TARGETS["executorch-xnnpack"].rewrites
    assert rewrites_at("fp32", names) == names
    assert set(names) - set(rewrites_at("int8", names)) == {"winograd"}


def test_large_mean_costs_a_norm_no_precision():
    example = (torch.randn(1, 4, 16, 16) + 1000,)
    _, _, psnr = _rewritten(nn.InstanceNorm2d(4), ["norms"], example)
    # The mean of such numbers is known to 6e-5, which is 90 dB; squares of them would leave 30.
    assert psnr > 80


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["incres9", "resnet9", "resnet9-bn"])
def test_generators_compute_the_same_in_every_targets_form(target, name, liven):
    module = liven(build(spec_by_name(name, ngf=6, height=16, width=24)), IMAGES)
    _, found, psnr = _rewritten(module, TARGETS[target].rewrites)
    assert psnr > EXACT_DB
    if TARGETS[target].rewrites:
        assert not _calls(found, torch.ops.aten.batch_norm.default)


def test_incres_spade_computes_the_same_with_the_norms_of_its_branches_folded(liven):
    maps = torch.from_numpy(label_maps(36, 64, 64))
    spec = spec_by_name("incres-spade", ngf=12, height=64, width=64)
    # One branch of each kind is enough, and takes a fifth of the time.
    left = (".depthwise3", ".spade.plain3")
    module = build(spec.with_widths({name: 0 for name in vanishing(spec) if not name.endswith(left)}))
    liven(module, torch.cat([maps.roll((8 * number, 12 * number), (2, 3)) for number in range(8)]))
    _, found, psnr = _rewritten(module, TARGETS["executorch-xnnpack"].rewrites, (maps,))
    assert psnr > EXACT_DB
    # Those in front of a SPADE's modulation and on a shortcut follow no convolution: 7 and 4.
    assert len(_calls(found, torch.ops.aten.batch_norm.default, (maps,))) == 11


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
