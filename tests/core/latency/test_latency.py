"""The latency model: what it fits, what it caches, and the search by latency. test_speedup times real networks."""

import json
import math

import pytest

torch = pytest.importorskip("torch")

from pocketgan.errors import BudgetError, DeviceError, ModelError  # noqa: E402
from pocketgan.latency import measuring  # noqa: E402
from pocketgan.latency.measuring import latency_model, measure_networks, time_modules  # noqa: E402
from pocketgan.latency.platform import Platform  # noqa: E402
from pocketgan.latency.points import layer_points, whole_network  # noqa: E402
from pocketgan.latency.prediction import Unit, fit, units  # noqa: E402
from pocketgan.latency.search import Wish, find_student, parse_budget  # noqa: E402
from pocketgan.pipeline.way import check_recipe  # noqa: E402
from pocketgan.recipe.reading import load_recipe  # noqa: E402
from pocketgan.training.cost import cost  # noqa: E402
from pocketgan.training.generators import build, layers, spec_by_name  # noqa: E402

LAYERS = (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.InstanceNorm2d)
SPEC = spec_by_name("incres9", ngf=24, height=64, width=64)


def device_ms(layer):
    """A device that computes 8 channels at once at 40 products a nanosecond, odd ones one by one at half of that, and
    moves 2 numbers a nanosecond."""
    if layer.kind == "empty":
        return 1e-6
    odd = layer.inputs > 8 and layer.inputs % 4 and layer.groups == 1 and layer.kind == "conv"
    outputs = 2 * layer.outputs if odd else math.ceil(layer.outputs / 8) * 8
    pixels = layer.height * layer.width if layer.kind == "transposed" else layer.out_pixels
    macs = layer.inputs / layer.groups * outputs * layer.kernel**2 * pixels
    return macs / 40e6 + (layer.inputs * layer.height * layer.width + layer.outputs * layer.out_pixels) / 2e6


@pytest.fixture
def device(monkeypatch, tmp_path):
    """Times that are computed, not measured, and a cache of their own; gives the list of what was timed."""
    asked = []

    def times(modules, platform, rounds=1):
        asked.append(len(modules))
        found = []
        for module, (channels, height, width) in modules:
            part = next((part for part in module.modules() if isinstance(part, LAYERS)), None)
            if part is None or isinstance(part, torch.nn.InstanceNorm2d):
                found.append(channels * height * width / 1e6)
                continue
            kind = "transposed" if isinstance(part, torch.nn.ConvTranspose2d) else "conv"
            sizes = part.kernel_size[0], part.stride[0], part.groups
            layer = Unit(kind, channels, part.out_channels, height, width, *sizes)
            found.append(device_ms(layer))
        return found

    def networks(specs, platform, rounds=1):
        return [sum(device_ms(layer) for layer in units(spec) if layer.kind != "norm") for spec in specs]

    monkeypatch.setattr(measuring, "time_modules", times)
    monkeypatch.setattr(measuring, "measure_networks", networks)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return asked


def test_units_have_the_rows_sizes():
    found = units(SPEC)
    rows = list(layers(SPEC))
    assert [(u.inputs, u.outputs, u.kernel, u.groups) for u in found] == [
        (r.inputs, r.outputs, r.kernel, r.groups) for r in rows
    ]
    assert all(
        u.height * u.width == r.in_pixels and u.out_pixels == r.out_pixels for u, r in zip(found, rows, strict=True)
    )
    assert [u.head for u in found] == [False] * (len(rows) - 1) + [True]
    assert {u.group for u in found} == {"conv", "pointwise", "depthwise", "transposed", "head", "norm-batch"}


def test_points_are_distinct_narrower_and_reach_both_kinds_of_kernels():
    spec = spec_by_name("incres9")
    points = layer_points(spec, 6)
    assert len(set(points)) == len(points) < 120
    wide = max(spec.widths.values())
    assert all(1 <= p.inputs <= wide and 1 <= p.outputs <= wide for p in points)
    for group in ("conv", "pointwise", "head", "transposed"):
        inputs = [p.inputs for p in points if p.group == group and p.inputs > 8]
        assert any(n % 4 for n in inputs), group
        assert any(n % 4 == 0 for n in inputs), group
    assert len([p for p in points if p.group == "head"]) >= 5


def test_a_fit_predicts_layers_that_it_has_not_seen():
    points = layer_points(SPEC, 6)
    model = fit({p: device_ms(p) for p in points})
    assert model.block == 8
    unseen = [p for p in layer_points(SPEC, 9) if p not in points and p.group in ("conv", "pointwise")]
    errors = sorted(abs(model.alone_ms(p) / device_ms(p) - 1) for p in unseen)
    assert len(unseen) > 10
    assert errors[len(errors) // 2] < 0.05


def test_predictions_add_up_over_layers(device):
    model = latency_model(SPEC, Platform("onnx"))
    true = sum(device_ms(unit) for unit in units(SPEC) if unit.kind != "norm")
    assert model(SPEC) == pytest.approx(true, rel=0.1)


def test_what_layers_do_not_explain_belongs_between_them():
    model = fit({p: device_ms(p) for p in layer_points(SPEC, 6)})
    whole = whole_network(SPEC)
    assert model.corrected(whole, 0.9 * model(whole)) is model
    corrected = model.corrected(whole, 1.5 * model(whole))
    assert corrected(whole) == pytest.approx(1.5 * model(whole))
    assert model(SPEC) < corrected(SPEC) < 1.5 * model(SPEC)


@pytest.mark.parametrize("name", ["unet128", "mobile-resnet9", "resnet9", "gaugan", "e2gan", "pix2pixhd"])
def test_every_family_has_a_latency(device, name):
    spec = spec_by_name(name, ngf=8)
    predicted = latency_model(spec, Platform("onnx"))(spec)
    assert 0 < predicted < 1e5


def test_layers_are_timed_once_and_again_on_request(device):
    first = latency_model(SPEC, Platform("onnx"))(SPEC)
    assert latency_model(SPEC, Platform("onnx"))(SPEC) == first
    assert len(device) == 1
    latency_model(SPEC, Platform("onnx", threads=2))
    latency_model(SPEC, Platform("onnx"), refresh=True)
    assert len(device) == 3


def test_a_broken_cache_is_measured_again(device, tmp_path):
    first = latency_model(SPEC, Platform("onnx"))(SPEC)
    (file,) = (tmp_path / "pocketgan").glob("latency-onnx-*.json")
    assert json.loads(file.read_text())["identity"]["threads"] == 1
    file.write_text(file.read_text()[:1000])
    assert latency_model(SPEC, Platform("onnx"))(SPEC) == first
    assert len(device) == 2


def test_search_by_latency_keeps_the_predicted_budget(device, monkeypatch):
    monkeypatch.setattr("pocketgan.latency.measuring.measure_networks", lambda specs, platform: [1.5])
    model = latency_model(SPEC, Platform("onnx"))
    budget = 0.2 * model(SPEC)
    student = find_student(build(SPEC), SPEC, Wish("latency", budget, target="onnx"))
    assert 0.97 * budget <= student.predicted_ms == student.result.cost == model(student.result.spec) <= budget
    assert student.measured_ms == 1.5
    assert student.result.rule
    with pytest.raises(BudgetError, match=r"smallest cost is [\d.]+ ms"):
        find_student(build(SPEC), SPEC, Wish("latency", budget / 1e3, target="onnx"))


def test_search_by_macs_for_a_target_is_no_slower_than_the_plain_one(device, monkeypatch):
    monkeypatch.setattr("pocketgan.latency.measuring.measure_networks", lambda specs, platform: [1.5])
    budget = cost(SPEC).macs * 0.1
    plain = find_student(build(SPEC), SPEC, Wish("macs", budget))
    suited = find_student(build(SPEC), SPEC, Wish("macs", budget, target="onnx"))
    assert plain.predicted_ms is None
    assert not plain.result.rule
    assert suited.result.cost <= budget
    assert suited.predicted_ms <= latency_model(SPEC, Platform("onnx"))(plain.result.spec)


@pytest.mark.parametrize(
    ("text", "by", "value"), [("2.6G", "macs", 2.6e9), ("12ms", "latency", 12), ("0.5 s", "latency", 500)]
)
def test_budgets_are_read_in_their_unit(text, by, value):
    assert parse_budget(text, by) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "by"), [("12ms", "macs"), ("12", "latency"), ("2.6G", "latency"), ("-1ms", "latency")]
)
def test_budgets_in_another_unit_are_refused(text, by):
    with pytest.raises(BudgetError, match="--budget"):
        parse_budget(text, by)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"by": "watts"}, "--by takes"),
        ({"by": "latency"}, "--target onnx"),
        ({"by": "macs", "widths": "auto"}, "--widths auto needs"),
        ({"by": "macs", "widths": "3"}, "--widths takes"),
    ],
)
def test_wishes_that_do_not_go_together_say_what_to_do(wish, message):
    with pytest.raises(BudgetError, match=message):
        Wish(budget=1.0, **wish)


def test_targets_that_cannot_run_here_are_one_line():
    with pytest.raises(DeviceError, match="on a Mac or a phone"):
        latency_model(SPEC, Platform("coreml"))
    with pytest.raises(DeviceError, match="--threads is at least 1"):
        latency_model(SPEC, Platform("onnx", threads=0))
    plain = spec_by_name("resnet9", ngf=4)
    with pytest.raises(ModelError, match="no scales"):
        find_student(build(plain), plain, Wish("latency", 1.0, target="onnx"))


def test_real_layers_and_networks_are_timed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    slow, fast, deepest = torch.nn.Conv2d(3, 64, 7), torch.nn.Conv2d(3, 4, 1), torch.nn.ConvTranspose2d(8, 8, 4, 2, 1)
    times = time_modules([(slow, (3, 64, 64)), (fast, (3, 64, 64)), (deepest, (8, 1, 1))], Platform("onnx"))
    assert times[0] > 2 * times[1] > 0
    assert times[2] > 0
    small = spec_by_name("resnet9-bn", ngf=4, height=32, width=32)
    assert 0 < measure_networks([small], Platform("onnx"))[0] < 1e3


def test_a_latency_out_of_reach_is_told_before_the_training(device, tmp_path, capsys):
    def recipe(budget):
        (tmp_path / "r.yaml").write_text(
            "{name: x, resolution: 64, data: {source: builtin}, teacher: {steps: 1, ngf: 24},"
            f" compress: {{by: latency, target: onnx, budget: {budget}}}, distill: {{steps: 1}}}}"
        )
        return load_recipe(str(tmp_path / "r.yaml"))

    whole = sum(device_ms(unit) for unit in units(SPEC) if unit.kind != "norm")
    with pytest.raises(BudgetError, match=r"0\.0001 ms cannot be reached.*smallest cost is [\d.]+ ms"):
        check_recipe(recipe("0.0001ms"))
    assert "timing" in capsys.readouterr().err
    with pytest.raises(BudgetError, match="not below the teacher's own cost"):
        check_recipe(recipe(f"{2 * whole}ms"))
    check_recipe(recipe(f"{0.9 * whole}ms"))
    assert len(device) == 1
