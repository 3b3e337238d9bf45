"""Mixed precision: what each layer's rounding costs, and the search for the file that just meets a floor."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pocketgan.bundle.manifest import Parity  # noqa: E402
from pocketgan.errors import ParityError  # noqa: E402
from pocketgan.export.canonical import canonical  # noqa: E402
from pocketgan.export.golden import natural_images  # noqa: E402
from pocketgan.export.layers import layers_of, owners, rounding_noise  # noqa: E402
from pocketgan.export.mixed import _precisions, _predicted_db, _search, _upgrades  # noqa: E402
from pocketgan.export.parity import run_file  # noqa: E402
from pocketgan.export.rewrites import rewrite  # noqa: E402
from pocketgan.export.targets import Form, find_target  # noqa: E402
from pocketgan.export.tracing import trace  # noqa: E402

IMAGE = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(3)) * 2 - 1


def _graph(module):
    return trace(module, (IMAGE,)).module(check_guards=False)


def test_layers_know_their_weights_and_macs():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.down = torch.nn.Conv2d(3, 4, 3, stride=2, padding=1)
            self.up = torch.nn.ConvTranspose2d(4, 5, 2, stride=2)
            self.line = torch.nn.Linear(5, 6)

        def forward(self, x):
            return self.line(self.up(self.down(x)).flatten(2).transpose(1, 2))

    found = [(layer.name, layer.weights, layer.macs) for layer in layers_of(_graph(Net()))]
    assert found == [
        ("down.weight", 108, 16 * 108),
        ("up.weight", 80, 16 * 80),
        ("line.weight", 30, 64 * 30),
    ]


def test_noise_is_that_of_the_rounded_layer_alone():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(4, 3, 1, bias=False))
    graph = _graph(module)
    layers = layers_of(graph)
    found = rounding_noise(graph, layers, 4, [IMAGE], activations=False)

    with torch.no_grad():
        weight = module[1].weight
        largest = weight.abs().amax((1, 2, 3), keepdim=True)
        step = 2 * largest / 15
        rounded = ((weight + largest) / step).round() * step - largest
        hidden = module[0](IMAGE)
        conv = torch.nn.functional.conv2d
        expected = (conv(hidden, rounded) - conv(hidden, weight)).square().mean()
    assert found[1] == pytest.approx(float(expected), rel=1e-5)
    assert found[0] > 0
    finer = rounding_noise(graph, layers, 8, [IMAGE], activations=False)
    assert all(fine < coarse / 50 for fine, coarse in zip(finer, found, strict=True))


def test_nodes_belong_to_the_last_layer_before_them():
    read = [("pad", []), ("conv1", ["pad"]), ("relu", ["conv1"]), ("conv2", ["relu"]), ("add", ["relu", "conv2"])]
    found = owners(read, {"conv1": 0, "conv2": 1})
    assert found == {"pad": 0, "conv1": 0, "relu": 0, "conv2": 1, "add": 1}


def test_steps_go_up_the_ladder_of_each_layer_and_predict_less_noise_each_time():
    layers = layers_of(_graph(torch.nn.Sequential(*(torch.nn.Conv2d(3, 3, 1) for _ in range(3)))))
    ladder, noise = ("4bit", "6bit", "8bit", "fp16"), [1e-3, 1e-1, 1e-5]
    steps = _upgrades(layers, ladder, noise)
    assert sorted(steps) == [(layer, rung) for layer in range(3) for rung in (1, 2, 3)]
    assert steps[0] == (1, 1)  # as large as the others, and by far the noisiest
    assert [steps.index((1, rung)) for rung in (1, 2, 3)] == sorted(steps.index((1, rung)) for rung in (1, 2, 3))
    assert set(_precisions(layers, ladder, steps).values()) == {"fp16"}
    predicted = _predicted_db(ladder, steps, noise, 2.0)
    assert predicted == sorted(predicted)
    assert predicted[-1] == float("inf")


@pytest.mark.parametrize("floor", [20.0, 25.0, 31.5, 39.0, 59.0])
@pytest.mark.parametrize("error", [-6.0, 0.0, 4.0])
def test_the_first_file_that_passes_is_found_whatever_the_prediction_is_worth(floor, error):
    real = [20 + count for count in range(40)]
    tries: list[int] = []

    def attempt(count):
        tries.append(count)
        return Parity(psnr_db=real[count], max_abs_error=0, floor_db=floor, runtime="none")

    predicted = [0.9 * psnr + error for psnr in real]
    found = _search(predicted, floor, attempt)
    assert real[found] == min(psnr for psnr in real if psnr >= floor)
    assert len(tries) == len(set(tries)) <= 9


def test_a_floor_above_the_highest_precision_is_an_error_that_says_what_that_reaches():
    def attempt(count):
        return Parity(psnr_db=50.0 + count, max_abs_error=0, floor_db=70, runtime="none")

    with pytest.raises(ParityError, match=r"floor of 70 dB cannot be met: the highest precision reaches 53\.0 dB"):
        _search([30, 40, 50, 60], 70, attempt)


class _Padded(torch.nn.Module):
    """Two branches that pad the same tensor, as residual and IncRes blocks do."""

    def __init__(self):
        super().__init__()
        self.first, self.pad = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReflectionPad2d(1)
        self.left, self.right = torch.nn.Conv2d(8, 8, 3), torch.nn.Conv2d(8, 8, 3)
        self.last = torch.nn.Conv2d(8, 3, 1)

    def forward(self, x):
        x = self.first(x).relu()
        return self.last(self.left(self.pad(x)).relu() + self.right(self.pad(x)) + x).tanh()


@pytest.mark.slow
@pytest.mark.parametrize("whole", ["left", ""])
def test_programs_load_and_run_whichever_layer_stays_in_float(whole, liven, tmp_path):
    pytest.importorskip("executorch")
    images = natural_images(3, 24, 24, count=8)
    module, example = liven(_Padded(), torch.from_numpy(images)), (torch.from_numpy(images[:1]),)
    target = find_target("executorch-xnnpack")[0]
    rewritten = rewrite(canonical(module, example), example, target.rewrites)
    found = layers_of(trace(rewritten, example).module(check_guards=False))
    layers = {layer.name: "fp32" if layer.name.startswith(whole) else "int8" for layer in found}
    assert "fp32" in layers.values()
    form = Form("mixed", images[:, None], layers=layers)
    exported = target.export(rewritten, example, form, tmp_path)
    assert (exported.delegation.delegated_fraction, exported.delegation.subgraphs) == (1, 1)
    output = run_file("executorch", tmp_path / exported.entry_point, [images[:1]])[0]
    error = float(np.square(output - module(*example).detach().numpy()).mean())
    psnr_db = 10 * np.log10(2.0**2 / error)
    assert 30 < psnr_db < 90 if whole else psnr_db > 100


def test_xnnpack_rounds_every_layer_but_those_that_stay_in_float(liven):
    pytest.importorskip("executorch")
    from pocketgan.export.targets.executorch import _quantised

    images = natural_images(3, 24, 24, count=2)
    module, example = liven(_Padded(), torch.from_numpy(images)), (torch.from_numpy(images[:1]),)
    names = [layer.name for layer in layers_of(trace(module, example).module(check_guards=False))]
    for kept in ([], names[:1], names[1:3], names):
        layers = {name: "fp32" if name in kept else "int8" for name in names}
        quantised = _quantised(module, example, Form("mixed", images[:, None], layers=layers))
        found = [node for node in quantised.graph.nodes if "dequantize_per_channel" in str(node.target)]
        assert len(found) == len(names) - len(kept)
