"""Importing the public projects' weights: exact in every layout, and one clear line for everything else."""

import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from public_pix2pix import SOURCES, WIDTH, SourceGauGan, Wrapped, batch_norm, instance_norm, sequence, unet
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import spectral_norm
from trained_weights import seeded

from pocketgan.errors import ModelError
from pocketgan.training.generators.files import load_generator
from pocketgan.training.reference import import_checkpoint


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
