"""Networks of other people do what ours never do; every target computes what they mean."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from pocketgan.errors import ExportError, ParityError  # noqa: E402
from pocketgan.export.canonical import canonical  # noqa: E402
from pocketgan.export.entry import export  # noqa: E402
from pocketgan.export.golden import golden_outputs, natural_images  # noqa: E402
from pocketgan.export.rewrites import rewrite, rewrites_at  # noqa: E402
from pocketgan.export.tracing import trace  # noqa: E402
from pocketgan.training.generators.own import measured_cost  # noqa: E402

IMAGE = (torch.from_numpy(natural_images(3, 20, 24)),)


class _Reordered(nn.Module):
    """Channels by a list of indices, a table looked up by stored ones, a mask of truth values."""

    def __init__(self):
        super().__init__()
        self.conv, self.table = nn.Conv2d(3, 3, 3, padding=1), nn.Parameter(torch.randn(43))
        rows, columns = torch.arange(20), torch.arange(24)
        self.register_buffer("place", rows[:, None] - columns[None] + 23)
        self.register_buffer("seen", rows[:, None] < 2 * columns[None])

    def forward(self, x):
        turned = self.conv(x[:, [2, 0, 1]]) + self.table[self.place.view(-1)].view(20, 24)
        return torch.where(self.seen.logical_not(), turned, 0.5 * turned)


class _Pooled(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 3, 3, padding=1)

    def forward(self, x):
        pooled = nn.functional.max_pool2d(self.first(x), 2) + nn.functional.avg_pool2d(self.first(x), [2, 2])
        return self.last(nn.functional.interpolate(pooled, scale_factor=2))


class _ChangesItsInput(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        x.add_(1).div_(2)
        x[:, :1] = 1 - x[:, :1]
        return self.conv(x).tanh() + 0.25 * x


class _OwnStatistics(nn.Module):
    """Norms that measure one picture, and norms with what they have measured."""

    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 3, 1)
        self.batch = nn.BatchNorm2d(6, track_running_stats=False)
        self.instance = nn.InstanceNorm2d(6, affine=True, track_running_stats=True)
        self.register_buffer("mean", torch.randn(6))
        self.register_buffer("variance", torch.rand(6) + 0.5)

    def forward(self, x):
        x = self.instance(self.batch(self.conv(x)))
        return self.last(nn.functional.instance_norm(x, self.mean, self.variance, use_input_stats=False))


def _weight_norm():
    return nn.Sequential(
        nn.utils.weight_norm(nn.Conv2d(3, 6, 3, padding=1)), nn.ReLU(), nn.utils.spectral_norm(nn.Conv2d(6, 3, 1))
    )


def _made(kind):
    torch.manual_seed(3)
    network = kind()
    for norm in network.modules():
        if isinstance(norm, nn.InstanceNorm2d):
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 4)
    return network.eval()


KINDS = [_Reordered, _Pooled, _ChangesItsInput, _OwnStatistics, _weight_norm]


@pytest.mark.parametrize("kind", KINDS)
def test_canonical_and_rewritten_forms_compute_the_same(kind):
    network = _made(kind)
    with torch.no_grad():
        expected = network(IMAGE[0].clone())
        for names in ((), ("constants", "scalars", "whole-kernels", "norms")):
            given = IMAGE[0].clone()
            found = rewrite(canonical(network, IMAGE), IMAGE, names)(given)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
            assert torch.equal(given, IMAGE[0])


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "executorch-xnnpack", "coreml", "executorch-coreml"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_target_computes_the_same(kind, target, tmp_path):
    pytest.importorskip("executorch")
    pytest.importorskip("coremltools")
    made = export(_made(kind), target, "fp32", folder=tmp_path, example=IMAGE, bound=True)
    assert made.entry.parity.passed


def test_indices_and_masks_keep_their_type():
    found = rewrite(canonical(_made(_Reordered), IMAGE), IMAGE, ["constants"])
    types = {tensor.dtype for tensor in found.state_dict().values()}
    assert types == {torch.float32, torch.int64, torch.bool}


def test_a_pool_says_its_stride():
    nodes = trace(canonical(_made(_Pooled), IMAGE), IMAGE).graph.nodes
    strides = [list(node.args[2]) for node in nodes if "pool2d" in str(node.target)]
    assert strides == [[2, 2], [2, 2]]


def test_a_graph_that_changed_its_input_gives_one_output():
    program = trace(canonical(_made(_ChangesItsInput), IMAGE), IMAGE).run_decompositions({})
    assert len(program.graph_signature.output_specs) == 1


def test_an_instance_norm_with_statistics_is_a_scale_and_a_shift():
    norm = nn.InstanceNorm2d(3, affine=True, track_running_stats=True).eval()
    norm.running_mean[:], norm.running_var[:] = torch.tensor([0.5, 0, -1]), torch.tensor([4.0, 1, 0.25])
    norm.weight.data[:], norm.bias.data[:] = torch.tensor([1.0, 2, 3]), torch.tensor([0.0, 1, 2])
    found = canonical(norm, IMAGE)(torch.ones(1, 3, 20, 24))[0, :, 0, 0]
    torch.testing.assert_close(found, torch.tensor([0.25, 3, 14]), atol=1e-3, rtol=0)


def test_folding_weight_norms_leaves_the_source_alone():
    network = nn.Sequential(nn.utils.weight_norm(nn.Conv2d(3, 6, 3)))
    network(torch.randn(1, 3, 8, 8)).sum().backward()
    names = set(network.state_dict())
    canonical(network, IMAGE)
    assert set(network.state_dict()) == names
    assert network[0].weight_g.grad is not None


def test_weight_norm_costs_what_its_plain_layer_costs():
    cost = measured_cost(nn.Sequential(nn.utils.weight_norm(nn.Conv2d(3, 6, 3, padding=1))), (3, 8, 8))
    assert (cost.params, cost.macs) == (6 * 3 * 9 + 6, 6 * 3 * 9 * 64)


class _Noise(nn.Module):
    def forward(self, x):
        return x + 0.1 * torch.randn_like(x)


class _Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return x * self.calls


@pytest.mark.parametrize(("part", "name"), [(_Noise(), "_Noise"), (_Counts(), "_Counts")])
def test_a_network_that_answers_twice_differently_is_refused_by_its_part(part, name):
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(nn.ReLU(), part), nn.Conv2d(3, 3, 1))
    with pytest.raises(ExportError, match=rf"is random: .* from 1\.1 \({name}\) on"):
        golden_outputs(network, IMAGE[0].numpy())


def test_dropout_that_eval_mode_does_not_end_is_random():
    class Always(nn.Module):
        def forward(self, x):
            return nn.functional.dropout(x, 0.5, training=True)

    with pytest.raises(ExportError, match=r"from its own forward \(Always\) on"):
        golden_outputs(Always(), IMAGE[0].numpy())


@pytest.mark.slow
def test_a_core_ml_average_pool_with_ceil_mode_is_exact(tmp_path):
    pytest.importorskip("coremltools")
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True))
    made = export(module, "coreml", "fp32", folder=tmp_path, example=(torch.zeros(1, 3, 10, 13),), bound=True)
    assert made.entry.parity.passed
    with pytest.raises(ParityError, match="below the floor of 100 dB"):
        export(
            module, "coreml", "fp32", folder=tmp_path / "plain", example=(torch.zeros(1, 3, 10, 13),), bound=True,
            rewrites=(),
        )  # fmt: skip


@pytest.mark.parametrize("shape", [(7, 7), (8, 11), (6, 10)])
@pytest.mark.parametrize(
    "pool",
    [
        nn.AvgPool2d(2, stride=3, ceil_mode=True),
        nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True),
        nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
        nn.AvgPool2d((2, 3), divisor_override=4),
        nn.MaxPool2d(2, stride=2, ceil_mode=True),
    ],
)
def test_pools_are_rewritten_exactly(pool, shape):
    image = (torch.randn(1, 3, *shape, generator=torch.Generator().manual_seed(0)),)
    torch.testing.assert_close(rewrite(pool, image, ["whole-kernels"])(*image), pool(*image))


@pytest.mark.parametrize("norm", [nn.InstanceNorm2d(8, affine=True), nn.GroupNorm(2, 8), nn.LayerNorm(24)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 3000.0])
def test_norms_of_any_size_hold_in_float16(norm, scale):
    image = (scale * torch.randn(1, 8, 20, 24, generator=torch.Generator().manual_seed(0)).half().float(),)
    with torch.no_grad():
        expected = norm(*image)
        found = rewrite(canonical(norm, image), image, rewrites_at("fp16", ["norms"])).half()(image[0].half()).float()
    assert float((found - expected).square().mean()) < 1e-5  # 50 dB of values of variance 1


@pytest.mark.slow
@pytest.mark.parametrize("target", ["executorch-xnnpack", "onnx", "coreml"])
def test_float16_survives_activations_beyond_its_squares(target, tmp_path):
    """As fast neural style has them, which works on pixels of 0 to 255."""
    pytest.importorskip("executorch")
    pytest.importorskip("coremltools")

    class Style(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(1)
            self.net = nn.Sequential(nn.Conv2d(3, 6, 7, padding=3), nn.InstanceNorm2d(6), nn.ReLU(), nn.Conv2d(6, 3, 7))

        def forward(self, x):
            return self.net((x + 1) * 1000) / 8

    example = (torch.zeros(1, 3, 32, 32),)
    assert export(Style(), target, "fp16", folder=tmp_path, example=example, bound=True).entry.parity.passed


@pytest.mark.slow
def test_a_file_with_an_operation_that_is_not_known_is_written_unchecked(tmp_path, monkeypatch):
    pytest.importorskip("coremltools")
    from pocketgan.export.mil import program

    known = {name: operator for name, operator in program.OPERATORS.items() if name != "tanh"}
    monkeypatch.setattr(program, "OPERATORS", known)
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Tanh())
    made = export(module, "coreml", folder=tmp_path, example=IMAGE, bound=True)
    assert made.entry.parity is None
    assert made.entry.unchecked.startswith("Core ML's operation 'tanh'")
    assert made.entry.unchecked.endswith("in 1 (Tanh)")
    assert (tmp_path / made.entry.components[0].entry_point).exists()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "6bit"])
def test_core_ml_exports_leave_the_temporary_folder_as_it_was(precision, tmp_path, monkeypatch):
    pytest.importorskip("coremltools")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    module = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.Conv2d(32, 3, 1))
    export(module, "coreml", precision, folder=tmp_path / "made", example=IMAGE)
    with pytest.raises(ParityError):
        export(module, "coreml", precision, folder=tmp_path / "failed", example=IMAGE, floor=500, bound=True)
    assert list(temporary.iterdir()) == []
