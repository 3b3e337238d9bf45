"""Core ML programs computed on torch: they agree with their source, and whatever is broken is found."""

from __future__ import annotations

import struct

import numpy as np
import pytest

torch = pytest.importorskip("torch")
ct = pytest.importorskip("coremltools")
nn = torch.nn

from coremltools.converters.mil import Builder  # noqa: E402
from coremltools.proto import Model_pb2  # noqa: E402

from pocketgan.errors import ExportError, ParityError  # noqa: E402
from pocketgan.export.canonical import canonical  # noqa: E402
from pocketgan.export.entry import export  # noqa: E402
from pocketgan.export.mil import Program, run_package  # noqa: E402
from pocketgan.export.tracing import trace  # noqa: E402

pytestmark = pytest.mark.slow  # importing coremltools takes seconds

WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"
MODEL = "Data/com.apple.CoreML/model.mlmodel"


def _converted(module, example, folder, precision=ct.precision.FLOAT32, target=ct.target.iOS16):
    program = trace(canonical(module, example), example).run_decompositions({})
    model = ct.convert(
        program,
        inputs=[ct.TensorType(name="image", shape=tuple(example[0].shape))],
        outputs=[ct.TensorType(name="output")],
        convert_to="mlprogram",
        minimum_deployment_target=target,
        compute_precision=precision,
        skip_model_load=True,
    )
    model.save(str(folder / "model.mlpackage"))
    return folder / "model.mlpackage"


def _error(module, example, package, **options):
    with torch.no_grad():
        expected = module.eval()(*example).numpy()
    found = run_package(package, {"image": example[0].numpy()}, **options)["output"]
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max())


class _Everything(nn.Module):
    """What generators do not do, but a user's own network may."""

    def __init__(self):
        super().__init__()
        self.same = nn.Conv2d(6, 6, 3, padding="same", groups=2)
        self.strided = nn.Conv2d(6, 8, 3, stride=2, padding=2, dilation=2)
        self.grown = nn.ConvTranspose2d(8, 6, 4, stride=2, padding=1, groups=2)
        self.pointwise = nn.Conv2d(6, 8, 1, bias=False)
        self.prelu, self.group = nn.PReLU(6), nn.GroupNorm(2, 6)

    def forward(self, x):
        x = self.group(self.prelu(self.same(x)))
        y = self.strided(x) + self.pointwise(nn.functional.max_pool2d(x, 3, 2, 1) + nn.functional.avg_pool2d(x, 2))
        y = self.grown(y)
        a, b = torch.cat([x, y], 1).chunk(2, 1)
        z = nn.functional.silu(a) * torch.sigmoid(b) - nn.functional.elu(a).clamp(-0.5, 2) / (b.abs() + 1)
        z = nn.functional.interpolate(z, scale_factor=2, mode="nearest")
        z = nn.functional.pixel_unshuffle(z, 2)
        z = nn.functional.interpolate(z, scale_factor=2, mode="bilinear", align_corners=False)
        return nn.functional.pixel_shuffle(z, 2).mean(1, keepdim=True).tanh()


def test_float32_program_agrees_with_torch(network, example, tmp_path):
    assert _error(network, example, _converted(network, example, tmp_path)) <= 1e-5


def test_other_operators_agree_with_torch(settle, tmp_path):
    module = settle(_Everything())
    example = (torch.randn(1, 6, 12, 20, generator=torch.Generator().manual_seed(3)),)
    assert _error(module, example, _converted(module, example, tmp_path)) <= 1e-5


def test_float16_is_rounded_after_each_operation(network, example, tmp_path):
    package = _converted(network, example, tmp_path, ct.precision.FLOAT16)
    rounded, stored = (_error(network, example, package, rounding=rounding) for rounding in (True, False))
    assert 1e-5 < stored < rounded < 1e-2


def _compressions():
    from coremltools.optimize import coreml as optimize

    def quantised(package, **options):
        config = optimize.OptimizationConfig(optimize.OpLinearQuantizerConfig(weight_threshold=8, **options))
        return optimize.linear_quantize_weights(package, config)

    def palettised(package, **options):
        config = optimize.OptimizationConfig(optimize.OpPalettizerConfig(weight_threshold=8, **options))
        return optimize.palettize_weights(package, config)

    def pruned(package):
        config = optimize.OptimizationConfig(optimize.OpMagnitudePrunerConfig(target_sparsity=0.5, weight_threshold=8))
        return optimize.prune_weights(package, config)

    iOS16, iOS18 = ct.target.iOS16, ct.target.iOS18
    return {
        "int8": (iOS16, lambda m: quantised(m, mode="linear_symmetric")),
        "int8 with zero points": (iOS16, lambda m: quantised(m, mode="linear")),
        "6 bits": (iOS16, lambda m: palettised(m, nbits=6, mode="uniform")),
        "4 bits, a palette a group": (
            iOS18,
            lambda m: palettised(m, nbits=4, mode="uniform", granularity="per_grouped_channel", group_size=4),
        ),
        "int4 blocks": (iOS18, lambda m: quantised(m, dtype="int4", granularity="per_block", block_size=4)),
        "int8, iOS 18": (iOS18, lambda m: quantised(m, mode="linear")),
        "sparse": (iOS16, pruned),
        "sparse, iOS 18": (iOS18, pruned),
    }


@pytest.mark.parametrize("name", list(_compressions()))
def test_compressed_weights_are_what_coremltools_decompresses(name, settle, tmp_path):
    """The same package, its weights made dense again by coremltools, computes the same."""
    from coremltools.optimize import coreml as optimize

    module = settle(nn.Sequential(nn.Conv2d(8, 16, 3), nn.ReLU(), nn.ConvTranspose2d(16, 8, 2, stride=2)))
    example = (torch.randn(1, 8, 6, 6, generator=torch.Generator().manual_seed(3)),)
    target, compress = _compressions()[name]
    package = _converted(module, example, tmp_path, target=target)
    small = compress(ct.models.MLModel(str(package), skip_model_load=True))
    small.save(str(tmp_path / "small.mlpackage"))
    dense = optimize.decompress_weights(ct.models.MLModel(str(tmp_path / "small.mlpackage"), skip_model_load=True))
    dense.save(str(tmp_path / "dense.mlpackage"))
    compressed, plain = Program.read(tmp_path / "small.mlpackage"), Program.read(tmp_path / "dense.mlpackage")
    assert any(operator.startswith("constexpr") for operator in compressed.operators)
    assert not any(operator.startswith("constexpr") for operator in plain.operators)
    inputs = {"image": example[0].numpy()}
    np.testing.assert_allclose(compressed.run(inputs)["output"], plain.run(inputs)["output"], atol=1e-5)


def test_corrupted_weights_are_found(network, example, tmp_path):
    folder = export(network, "coreml", folder=tmp_path, example=example).folder / "models/coreml-fp16/model.mlpackage"
    data = (folder / WEIGHTS).read_bytes()
    at = data.index(struct.pack("<I", 0xDEADBEEF))
    (folder / WEIGHTS).write_bytes(data[:at] + bytes(4) + data[at + 4 :])
    with pytest.raises(ExportError, match=f"broken at byte {at}"):
        run_package(folder, {"image": example[0].numpy()})
    (folder / WEIGHTS).write_bytes(data[: at + 8])
    with pytest.raises(ExportError, match="ends before"):
        run_package(folder, {"image": example[0].numpy()})


@pytest.mark.parametrize("what", ["weights", "pad"])
def test_a_wrong_program_misses_its_floor(what, network, example, tmp_path, monkeypatch):
    """As a converter's fault would do it: the file is whole, but computes something else."""
    from pocketgan.export.targets import coreml

    normalise = coreml.normalise

    def spoil(package):
        version = normalise(package)
        if what == "weights":
            data = bytearray((package / WEIGHTS).read_bytes())
            data[-64:] = bytes(64)
            (package / WEIGHTS).write_bytes(data)
        else:
            model = Model_pb2.Model.FromString((package / MODEL).read_bytes())
            function = model.mlProgram.functions["main"]
            operations = function.block_specializations[function.opset].operations
            pads = [found for found in operations if found.type == "const" and "pad" in found.outputs[0].name]
            ints = next(
                found.attributes["val"].immediateValue.tensor.ints
                for found in pads
                if list(found.attributes["val"].immediateValue.tensor.ints.values) == [0, 0, 0, 0, 1, 1, 1, 1]
            )
            ints.values[4:] = [2, 0, 1, 1]
            (package / MODEL).write_bytes(model.SerializeToString())
        return version

    monkeypatch.setattr(coreml, "normalise", spoil)
    with pytest.raises(ParityError, match="below the floor of 60 dB"):
        export(network, "coreml", folder=tmp_path, example=example, bound=True)


def test_unknown_operator_is_named(tmp_path):
    @ct.converters.mil.mil.Builder.program(input_specs=[Builder.TensorSpec(shape=(1, 3, 4, 4))])
    def program(x):
        return Builder.space_to_depth(x=x, block_size=2, name="output")

    model = ct.convert(program, convert_to="mlprogram", skip_model_load=True)
    model.save(str(tmp_path / "model.mlpackage"))
    found = Program.read(tmp_path / "model.mlpackage")
    with pytest.raises(ExportError, match=r"'space_to_depth'.*not known"):
        found.run({next(iter(found.inputs)): np.zeros((1, 3, 4, 4), np.float32)})


def test_wrong_inputs_and_packages_are_one_line(network, example, tmp_path):
    package = _converted(network, example, tmp_path)
    with pytest.raises(ExportError, match="'image' takes 1x3x32x32, not 1x3x8x8"):
        run_package(package, {"image": np.zeros((1, 3, 8, 8), np.float32)})
    with pytest.raises(ExportError, match="'image' takes 1x3x32x32, not nothing"):
        run_package(package, {})
    with pytest.raises(ExportError, match="is no Core ML package"):
        run_package(tmp_path / "none.mlpackage", {})
    (package / MODEL).write_bytes(b"no protobuf")
    with pytest.raises(ExportError, match="is no Core ML package"):
        run_package(package, {})
