"""Weights of CAT's, GAN Compression's and OMGD's networks: exact where a family here can express them, else refused."""

import pytest
import torch
from public_cat import (
    SOURCES,
    WHOLE,
    CatGenerator,
    CatSpadeGenerator,
    Separable,
    batch_norm,
    instance_norm,
    mobile,
    tracking_instance_norm,
)
from torch import nn
from trained_weights import seeded

from pocketgan.errors import ModelError
from pocketgan.training.reference import import_checkpoint


def test_the_networks_of_these_tests_have_the_published_numbers_of_parameters():
    # CAT's teachers: 8.14 M and 55.59 M; GAN Compression's mobile ResNet of 16 channels: 0.137 M
    teacher = dict.fromkeys((1, 3, 5), 256 // 6)
    ends = [min(1024, 1024 >> i) // 6 for i in (0, 0, 0, 1, 2, 3, 4)]
    inside = dict.fromkeys((1, 3, 5), 128 // 6)
    with torch.device("meta"):
        incres = CatGenerator(batch_norm, False, [(teacher, teacher)] * 9, 64, (128, 256), (128, 64))
        stages = [(dict.fromkeys((1, 3, 5), width),) * 2 for width in ends]
        spade = CatSpadeGenerator(36, 64, stages, [(inside, inside)] * 7)
        narrow = mobile(instance_norm, [64] * 9, 16, (32, 64), (32, 16))
    millions = [sum(p.numel() for p in net.parameters()) / 1e6 for net in (incres, spade, narrow)]
    assert millions == pytest.approx([8.14, 55.59, 0.137], abs=5e-3)


def saved(module, path, prefix=""):
    torch.save({f"{prefix}{name}": tensor for name, tensor in module.state_dict().items()}, path)
    return path


@pytest.mark.parametrize("source", SOURCES)
def test_an_imported_network_computes_what_the_source_computes(source, tmp_path):
    family, make = SOURCES[source]
    module = seeded(make())
    size = (5, 64, 128) if family == "incres-spade" else (3, 32, 48)
    x = torch.rand(2, *size, generator=torch.Generator().manual_seed(5)) * 2 - 1
    module.train()(x)  # spectral vectors and running statistics are those of a network in training
    module.eval()
    imported = import_checkpoint(saved(module, tmp_path / "G.pth", "module."), family, size[1:])
    with torch.no_grad():
        expected, actual = module(x), imported.module(x)
    assert expected.std() > 1e-2
    assert torch.allclose(actual, expected, atol=4e-6, rtol=0)


def test_cats_spade_of_five_doublings_is_read_where_it_is_told(tmp_path):
    module = seeded(CatSpadeGenerator(4, 2, [WHOLE] * 7, [WHOLE] * 7, doublings=5)).eval()
    x = torch.rand(1, 4, 64, 64, generator=torch.Generator().manual_seed(5))
    imported = import_checkpoint(saved(module, tmp_path / "G.pth"), "incres-spade", (64, 64), levels=5)
    with torch.no_grad():
        assert torch.allclose(imported.module(x), module(x), atol=2e-6, rtol=0)


def test_a_student_keeps_the_widths_of_its_file_and_says_what_its_network_never_used(tmp_path):
    family, make = SOURCES["CAT's student"]
    imported = import_checkpoint(saved(make(), tmp_path / "G.pth"), family)
    widths = imported.spec.widths
    assert {name: widths[name] for name in ("stem", "down1", "down2", "up1", "up2")} == {
        "stem": 5, "down1": 7, "down2": 9, "up1": 6, "up2": 3,
    }  # fmt: skip
    block1 = {name: width for name, width in widths.items() if name.startswith("block1.") and width}
    assert block1 == {"block1.plain3": 3, "block1.depthwise1": 1, "block1.depthwise5": 4}
    # The second block has no branches left, and passes on what it gets: its norm computes nothing.
    assert {name.rpartition(".")[0] for name in imported.ignored} == {"features.1.pw_bn"}


def test_a_member_of_a_supernet_is_what_the_first_channels_of_its_layers_compute(tmp_path):
    whole = seeded(mobile(instance_norm, [16] * 9)).eval()
    # 3_3_4_2_3_4_2_1: the stem's channels, twice the next, four times those at a quarter of the size, and back
    member = mobile(instance_norm, [8] * 3 + [12] * 3 + [16] * 3, 3, (6, 16), (4, 1)).eval()
    first = {
        name: whole.state_dict()[name][tuple(slice(n) for n in tensor.shape)]
        for name, tensor in member.state_dict().items()
    }
    member.load_state_dict(first)
    path = saved(whole, tmp_path / "G.pth")
    imported = import_checkpoint(path, "mobile-resnet9", (32, 32), channels=[3, 3, 4, 2, 3, 4, 2, 1])
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(5)) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(imported.module(x), member(x), atol=2e-6, rtol=0)
    with pytest.raises(ModelError, match=r"no such channels: down2 20 \(at most 16\)"):
        import_checkpoint(path, "mobile-resnet9", channels=[3, 3, 5, 2, 2, 1])
    with pytest.raises(ModelError, match="--channels are those of"):
        import_checkpoint(path, "mobile-resnet9", channels=[3, 3, 5])


class Expansion(nn.Module):
    """OMGD's: 1x1 to four times the width, conv3, 1x1 back, dropout, conv3, each with norm and ReLU."""

    def __init__(self, channels):
        super().__init__()
        wide = 4 * channels

        def step(inputs, outputs, kernel):
            return [nn.Conv2d(inputs, outputs, kernel), instance_norm(outputs), nn.ReLU()]

        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), *step(channels, wide, 1), *step(wide, wide, 3), *step(wide, channels, 1),
            nn.Dropout(), nn.ReflectionPad2d(1), *step(channels, channels, 3)[:2],
        )  # fmt: skip


def deep_teacher():
    module = mobile(instance_norm, [16] * 9)
    module.model.insert(7, Expansion(8))
    return module


def mobile_spade():
    module = nn.Module()
    module.head_0 = nn.Module()
    module.head_0.norm_0 = nn.Module()
    module.head_0.norm_0.mlp_gamma = Separable(4, 4)
    return module


OWN = "give .*a function of your own"
TRACKED = r"down_sampling\.2 is an instance norm with running statistics, .*" + OWN
MIXED = r"model\.2 is a batch norm and model\.10\.conv_block\.1\.conv\.1 an instance norm, .*" + OWN
REFUSED = {
    "a deep teacher": ("mobile-resnet9", deep_teacher, "OMGD's deep teachers, .*" + OWN),
    "a mobile SPADE": ("gaugan", mobile_spade, "GAN Compression's mobile SPADE, .*" + OWN),
    "tracked statistics": ("incres9", lambda: CatGenerator(tracking_instance_norm, True, [WHOLE] * 9), TRACKED),
    "norms of two kinds": ("mobile-resnet9", lambda: mobile(batch_norm, [16] * 9), MIXED),
    "other kernels": ("incres9", lambda: CatGenerator(batch_norm, False, [({7: 2}, {})] * 9), "kernels of 1, 3, 5"),
    "another family": (
        "mobile-resnet9",
        lambda: CatGenerator(batch_norm, False, [WHOLE] * 9),
        r"missing model\.1\.weight, .*; unexpected down_sampling\.1\.weight, .*; .*: --family incres9",
    ),
    "half a file": (
        "incres9",
        lambda: nn.ModuleDict({"down_sampling": CatGenerator(batch_norm, False, [WHOLE]).down_sampling}),
        r"missing .*up_sampling",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_family_here_computes_is_refused_in_one_line_that_says_what_to_do(case, tmp_path):
    family, make, message = REFUSED[case]
    with pytest.raises(ModelError, match=message) as caught:
        import_checkpoint(saved(make(), tmp_path / "G.pth"), family)
    assert "\n" not in str(caught.value)
