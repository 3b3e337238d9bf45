"""Importing the public projects' weights: exact in every layout, and one clear line for everything else."""

import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from torch.nn.utils import spectral_norm
from torch.nn.utils.parametrizations import spectral_norm as parametrised_spectral_norm
from trained_weights import seeded

from pocketgan.errors import ModelError
from pocketgan.training.generators.files import load_generator
from pocketgan.training.reference import import_checkpoint

WIDTH = 4


# Networks with the module names of the public projects, written from the papers: what their state dicts look like.


def batch_norm(channels):
    return nn.BatchNorm2d(channels)


def instance_norm(channels):
    return nn.InstanceNorm2d(channels)


class Residual(nn.Module):
    def __init__(self, channels, norm, bias, dropout):
        super().__init__()
        middle = [nn.Dropout(0.5)] if dropout else []
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm(channels), nn.ReLU(), *middle,
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm(channels),
        )  # fmt: skip

    def forward(self, x):
        return x + self.conv_block(x)


def sequence(inputs, width, norm, bias, levels, blocks, dropout=False, head=True):
    steps = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, width, 7, bias=bias), norm(width), nn.ReLU()]
    for i in range(levels):
        c = width * 2**i
        steps += [nn.Conv2d(c, 2 * c, 3, 2, 1, bias=bias), norm(2 * c), nn.ReLU()]
    steps += [Residual(width * 2**levels, norm, bias, dropout) for _ in range(blocks)]
    for i in range(levels, 0, -1):
        c = width * 2**i
        steps += [nn.ConvTranspose2d(c, c // 2, 3, 2, 1, 1, bias=bias), norm(c // 2), nn.ReLU()]
    if head:
        steps += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
    return nn.Sequential(*steps)


class Wrapped(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)


class UNetLevel(nn.Module):
    """One level with all deeper ones inside; `outer` and `inner` are the widths above and below."""

    def __init__(self, outer, inner, norm, bias, deeper=None, inputs=None):
        super().__init__()
        self.outermost = inputs is not None
        down = nn.Conv2d(inputs or outer, inner, 4, 2, 1, bias=bias)
        if self.outermost:
            up = nn.ConvTranspose2d(2 * inner, outer, 4, 2, 1)
            steps = [down, deeper, nn.ReLU(), up, nn.Tanh()]
        elif deeper is None:
            up = nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=bias)
            steps = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, norm(outer)]
        else:
            up = nn.ConvTranspose2d(2 * inner, outer, 4, 2, 1, bias=bias)
            steps = [nn.LeakyReLU(0.2), down, norm(inner), deeper, nn.ReLU(), up, norm(outer), nn.Dropout()]
        self.model = nn.Sequential(*steps)

    def forward(self, x):
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


def unet(levels, norm=batch_norm, bias=False):
    widths = [WIDTH * min(2**i, 8) for i in range(levels)]
    level = None
    for i in range(levels - 1, 0, -1):
        level = UNetLevel(widths[i - 1], widths[i], norm, bias, level)
    return Wrapped(UNetLevel(3, widths[0], norm, bias, level, inputs=3))


class Enhancer(nn.Module):
    def __init__(self, inputs, width):
        super().__init__()
        wide = 2 * width
        self.model = sequence(inputs, wide, instance_norm, True, 4, 9, head=False)
        self.model1_1 = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(inputs, width, 7), instance_norm(width), nn.ReLU(),
            nn.Conv2d(width, wide, 3, 2, 1), instance_norm(wide), nn.ReLU(),
        )  # fmt: skip
        self.model1_2 = nn.Sequential(
            *(Residual(wide, instance_norm, True, False) for _ in range(3)),
            nn.ConvTranspose2d(wide, width, 3, 2, 1, 1), instance_norm(width), nn.ReLU(),
            nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh(),
        )  # fmt: skip

    def forward(self, x):
        half = functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        return self.model1_2(self.model(half) + self.model1_1(x))


class SourceSpade(nn.Module):
    def __init__(self, channels, labels):
        super().__init__()
        self.param_free_norm = nn.BatchNorm2d(channels, affine=False)
        self.mlp_shared = nn.Sequential(nn.Conv2d(labels, 128, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(128, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(128, channels, 3, padding=1)

    def forward(self, x, labels):
        shared = self.mlp_shared(functional.interpolate(labels, size=x.shape[2:], mode="nearest"))
        return self.param_free_norm(x) * (1 + self.mlp_gamma(shared)) + self.mlp_beta(shared)


class SourceSpadeBlock(nn.Module):
    def __init__(self, inputs, outputs, labels, spectral):
        super().__init__()
        middle = min(inputs, outputs)
        self.conv_0 = spectral(nn.Conv2d(inputs, middle, 3, padding=1))
        self.conv_1 = spectral(nn.Conv2d(middle, outputs, 3, padding=1))
        self.norm_0, self.norm_1 = SourceSpade(inputs, labels), SourceSpade(middle, labels)
        if inputs != outputs:
            self.conv_s = spectral(nn.Conv2d(inputs, outputs, 1, bias=False))
            self.norm_s = SourceSpade(inputs, labels)

    def forward(self, x, labels):
        around = self.conv_s(self.norm_s(x, labels)) if hasattr(self, "conv_s") else x
        x = self.conv_0(functional.leaky_relu(self.norm_0(x, labels), 0.2))
        return around + self.conv_1(functional.leaky_relu(self.norm_1(x, labels), 0.2))


class SourceGauGan(nn.Module):
    def __init__(self, labels, width, doublings, spectral):
        super().__init__()
        self.doublings = doublings
        wide = 16 * width
        self.fc = nn.Conv2d(labels, wide, 3, padding=1)
        self.head_0, self.G_middle_0, self.G_middle_1 = (
            SourceSpadeBlock(wide, wide, labels, spectral) for _ in range(3)
        )
        for i in range(4):
            self.add_module(f"up_{i}", SourceSpadeBlock(wide >> i, wide >> (i + 1), labels, spectral))
        self.conv_img = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, labels):
        def up(x):
            return functional.interpolate(x, scale_factor=2, mode="nearest")

        small = [size // 2**self.doublings for size in labels.shape[2:]]
        x = self.head_0(self.fc(functional.interpolate(labels, size=small, mode="nearest")), labels)
        x = self.G_middle_0(up(x), labels)
        x = self.G_middle_1(up(x) if self.doublings == 6 else x, labels)
        for i in range(4):
            x = getattr(self, f"up_{i}")(up(x), labels)
        return torch.tanh(self.conv_img(functional.leaky_relu(x, 0.2)))


def cyclegan(*options):
    return Wrapped(sequence(3, WIDTH, *options))


SOURCES = {
    "resnet9": ("resnet9", lambda: cyclegan(instance_norm, True, 2, 9), (3, 32, 48), None),
    "resnet9 with dropout": ("resnet9", lambda: cyclegan(batch_norm, False, 2, 9, True), (3, 32, 48), None),
    "resnet6": ("resnet6", lambda: Wrapped(sequence(1, WIDTH, batch_norm, False, 2, 6)), (1, 32, 32), None),
    "unet128": ("unet128", lambda: unet(7), (3, 128, 128), None),
    "unet128 with instance norm": ("unet128", lambda: unet(7, instance_norm, True), (3, 128, 128), None),
    "unet256": ("unet256", lambda: unet(8), (3, 256, 256), None),
    "pix2pixhd": ("pix2pixhd", lambda: Wrapped(sequence(6, WIDTH, instance_norm, True, 4, 9)), (6, 64, 128), None),
    "pix2pixhd-local": ("pix2pixhd-local", lambda: Enhancer(5, WIDTH), (5, 128, 128), None),
    "gaugan": ("gaugan", lambda: SourceGauGan(7, WIDTH, 6, spectral_norm), (7, 64, 128), None),
    "gaugan, parametrised": ("gaugan", lambda: SourceGauGan(4, 2, 6, parametrised_spectral_norm), (4, 64, 64), None),
    "gaugan, normal": ("gaugan", lambda: SourceGauGan(4, 2, 5, lambda conv: conv), (4, 64, 64), 5),
}  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_an_imported_network_computes_what_the_source_computes(source, prefix, tmp_path):
    family, make, (channels, height, width), levels = SOURCES[source]
    module = seeded(make())
    x = torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(5)) * 2 - 1
    module.train()(x)  # spectral vectors are those of a network in training
    module.eval()
    torch.save({f"{prefix}{name}": tensor for name, tensor in module.state_dict().items()}, tmp_path / "G.pth")
    imported = import_checkpoint(tmp_path / "G.pth", family, (height, width), levels)
    with torch.no_grad():
        expected, actual = module(x), imported.module(x)
    assert expected.std() > 1e-2
    assert torch.allclose(actual, expected, atol=2e-6, rtol=0)
    assert imported.ignored == ()


def test_spectral_norm_without_its_second_vector_is_folded_too(tmp_path):
    module = seeded(SourceGauGan(4, 2, 6, spectral_norm)).eval()
    state = {name: tensor for name, tensor in module.state_dict().items() if not name.endswith("_v")}
    torch.save(state, tmp_path / "G.pth")
    folded = import_checkpoint(tmp_path / "G.pth", "gaugan").module.get_parameter("stages.head.conv0.weight")
    original, u = state["head_0.conv_0.weight_orig"], state["head_0.conv_0.weight_u"]
    sigma = (original.flatten(1).T @ u).norm()  # v is the normalised W'u
    assert torch.allclose(folded, original / sigma, rtol=1e-5)


def test_statistics_that_old_instance_norms_kept_are_left_out_and_named(tmp_path):
    state = Wrapped(sequence(3, WIDTH, instance_norm, True, 2, 9)).state_dict()
    torch.save({**state, "model.2.running_mean": torch.zeros(WIDTH)}, tmp_path / "G.pth")
    imported = import_checkpoint(tmp_path / "G.pth", "resnet9")
    assert imported.spec.norm == "instance"
    assert imported.ignored == ("model.2.running_mean",)


def run(*arguments):
    command = [str(Path(sys.executable).parent / "pocketgan"), "import-checkpoint", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_writes_a_model_file_and_describes_it(tmp_path):
    torch.save(Wrapped(sequence(3, WIDTH, batch_norm, False, 2, 9)).state_dict(), tmp_path / "G.pth")
    done = run(
        tmp_path / "G.pth", "--family", "resnet9", "--input", "3x64x64", "--out", tmp_path / "m.safetensors", "--json"
    )
    told = json.loads(done.stdout)
    loaded = load_generator(tmp_path / "m.safetensors")
    assert (loaded.spec.height, loaded.spec.norm, loaded.trained) == (64, "batch", True)
    assert told["params"] == sum(p.numel() for p in loaded.module.parameters())


class Evil:
    def __reduce__(self):
        return print, ("code ran",)


def damaged_files(folder):
    """Files by what is wrong with them, and what the error says."""
    good = folder / "good.pth"
    torch.save(Wrapped(sequence(3, WIDTH, instance_norm, True, 2, 9)).state_dict(), good)
    data = good.read_bytes()
    (folder / "truncated.pth").write_bytes(data[: len(data) // 2])
    (folder / "empty.pth").write_bytes(b"")
    (folder / "text.pth").write_text("<html>404 not found</html>")
    (folder / "code.pth").write_bytes(pickle.dumps({"model.1.weight": Evil()}))
    torch.save({"model.1.weight": Evil()}, folder / "zipped_code.pth")
    torch.save(nn.Linear(2, 2), folder / "module.pth")
    torch.save([torch.zeros(2)], folder / "list.pth")
    torch.save({"epoch": 3}, folder / "nothing.pth")
    torch.save(unet(7).state_dict(), folder / "unet.pth")
    wrong = Wrapped(sequence(3, WIDTH, instance_norm, True, 2, 9)).state_dict()
    torch.save({**wrong, "model.12.conv_block.1.weight": torch.zeros(2, 2)}, folder / "shape.pth")
    torch.save({**wrong, "extra.weight": torch.zeros(2)}, folder / "extra.pth")
    torch.save({**wrong, "model.1.weight": torch.full((WIDTH, 3, 7, 7), float("inf"))}, folder / "inf.pth")
    torch.save({**wrong, "model.1.weight": torch.zeros(1, 1, 1, 1).expand(1 << 40, 3, 7, 7)}, folder / "bomb.pth")
    torch.save({**wrong, "model.12.conv_block.1.weight": torch.zeros(1 << 22, 1)}, folder / "wide.pth")
    torch.save({**wrong, "model.1.bias": torch.zeros(WIDTH).to_sparse()}, folder / "sparse.pth")
    with zipfile.ZipFile(folder / "zip.pth", "w") as archive:
        archive.writestr("a.txt", "hello")
    save_file({"x": torch.zeros(1)}, folder / "other.safetensors")
    return {
        "truncated.pth": "damaged", "empty.pth": "damaged", "text.pth": "refused|damaged", "code.pth": "is refused",
        "zipped_code.pth": "refused: it asks for", "module.pth": "refused: it asks for", "list.pth": "holds a list",
        "nothing.pth": "no tensors", "unet.pth": "does not hold a resnet9", "shape.pth": "has the shapes 2x2 and",
        "bomb.pth": "damaged: model.1.weight has a shape of more", "sparse.pth": "as a sparse tensor",
        "wide.pth": "has the shapes 4194304x1 and",
        "extra.pth": "unexpected extra.weight", "inf.pth": "not finite", "zip.pth": "damaged",
        "other.safetensors": "does not hold a resnet9", "absent.pth": "there is no file",
    }  # fmt: skip


def test_every_wrong_file_ends_in_one_clear_line(tmp_path, capfd):
    for name, message in damaged_files(tmp_path).items():
        with pytest.raises(ModelError, match=message) as caught:
            import_checkpoint(tmp_path / name, "resnet9")
        assert "\n" not in str(caught.value), name
        assert len(str(caught.value)) < 400, name
    assert "code ran" not in capfd.readouterr().out


def test_the_command_refuses_hostile_files_and_writes_nothing(tmp_path):
    damaged_files(tmp_path)
    out = tmp_path / "m.safetensors"
    for name in ("truncated.pth", "code.pth"):
        done = run(tmp_path / name, "--family", "resnet9", "--out", out)
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1
        assert "code ran" not in done.stdout
        assert not out.exists()


def test_a_checkpoint_of_another_family_lists_what_is_missing(tmp_path):
    torch.save(Wrapped(sequence(3, WIDTH, instance_norm, True, 2, 6)).state_dict(), tmp_path / "G.pth")
    with pytest.raises(ModelError, match="it has 6 blocks: --family resnet6"):
        import_checkpoint(tmp_path / "G.pth", "resnet9")
    with pytest.raises(ModelError, match=r"missing down_sampling\.1\.weight, .*; unexpected model\.1\.bias, "):
        import_checkpoint(tmp_path / "G.pth", "incres9")
    with pytest.raises(ModelError, match="no public checkpoint has the layout of 'e2gan'"):
        import_checkpoint(tmp_path / "G.pth", "e2gan")
