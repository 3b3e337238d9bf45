"""The loop: resumed runs equal undisturbed ones, programs do what they say, failures keep what was there."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import semi_supervised
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors import safe_open

from pocketgan import processor
from pocketgan.errors import ModelError, PocketganError, StorageError
from pocketgan.training import state
from pocketgan.training.checkpoint import load_checkpoint, save_checkpoint
from pocketgan.training.discriminators import PatchDiscriminator
from pocketgan.training.fit import CHECKPOINT, FitOptions, fit
from pocketgan.training.generators import build, spec_by_name
from pocketgan.training.processes import join
from pocketgan.training.programs import Optimiser
from pocketgan.training.programs.pix2pix import Pix2Pix
from pocketgan.training.state import TrainingState, decay_at

SPEC = spec_by_name("incres9", ngf=6, height=32, width=32)


class Colours:
    """Flat pictures whose target is their negative."""

    def __len__(self):
        return 5

    def sample(self, index, random):
        image = (
            torch.full((3, 32, 32), (index - 2) / 3.0)
            + 0.1 * torch.from_numpy(random.standard_normal((3, 32, 32))).float()
        )
        return {"input": image, "target": -image}


def program(seed=0):
    return Pix2Pix(
        build(SPEC, seed), PatchDiscriminator(6, 4, layers=2, seed=seed), optimiser=Optimiser(("generator",), 1e-3)
    )


def options(steps, **more):
    return FitOptions(steps, 2, seed=3, checkpoint_every=3, sample_every=100, **more)


@pytest.mark.parametrize(
    ("layout", "precision", "decay"),
    [
        (torch.contiguous_format, "no", 0.0),
        (torch.contiguous_format, "no", 0.9),
        (torch.channels_last, "no", 0.9),
        (torch.channels_last, "bf16", 0.9),
    ],
)
def test_a_resumed_training_equals_an_undisturbed_one_bit_for_bit(
    assert_resumes_bit_for_bit, monkeypatch, layout, precision, decay
):
    monkeypatch.setattr(state, "memory_format", lambda device: layout)
    assert_resumes_bit_for_bit(program, Colours(), precision, average_decay=decay)


class Grey:
    """Inputs without targets."""

    def __len__(self):
        return 7

    def sample(self, index, random):
        return {"unlabelled": torch.full((3, 32, 32), index / 7) + 0.01 * float(random.standard_normal())}


def test_inputs_without_targets_are_the_same_after_a_resume(assert_resumes_bit_for_bit):
    made = []

    def make(seed):
        made.append(semi_supervised.fresh(seed))
        return made[-1]

    assert_resumes_bit_for_bit(make, Colours(), unlabelled=Grey(), unlabelled_batch_size=3)
    whole, killed, resumed = (
        [(len(batch["input"]), [round(x.item(), 5) for x in batch["unlabelled"][:, 0, 0, 0]]) for batch in program.seen]
        for program in made
    )
    assert [pairs for pairs, _ in whole] == [2] * 5
    assert [len(inputs) for _, inputs in whole] == [3] * 5
    assert killed[:2] + resumed == whole  # the checkpoint was made after the second step
    epoch = [value for _, inputs in whole for value in inputs][:7]
    assert {round(value * 7) for value in epoch} == set(range(7))


@pytest.fixture
def bf16():
    """An accelerator of that precision on the CPU."""
    yield join("bf16", cpu=True)
    AcceleratorState._reset_state()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_with_bf16_pictures_and_all_that_is_kept_are_float32(tmp_path, monkeypatch, bf16, layout):
    monkeypatch.setattr(state, "memory_format", lambda device: layout)
    made = program()
    last_maps, pictures = [], []
    made.generator.head.register_forward_hook(lambda module, inputs, output: last_maps.append(output.dtype))
    made.discriminator.register_forward_pre_hook(lambda module, inputs: pictures.append(inputs[0].dtype))
    fit(made, Colours(), options(3, average_decay=0.9, keep_last=True), tmp_path, label="t", accelerator=bf16)
    assert set(last_maps) == {torch.bfloat16}
    assert set(pictures) == {torch.float32}
    with safe_open(tmp_path / CHECKPOINT, "pt") as file:
        kinds = {key: file.get_tensor(key).dtype for key in file.keys()}  # noqa: SIM118 (not a dict)
    assert {key.split("/")[0] for key in kinds} == {"network", "optimiser", "average"}
    assert {kind for key, kind in kinds.items() if not key.endswith("num_batches_tracked")} == {torch.float32}


@pytest.mark.parametrize(
    ("features", "told"),
    [
        ("avx2 fma", ["does not pay", "An Old One", "neither AMX nor AVX-512 BF16"]),
        ("avx512f avx512bw avx512vl avx512dq avx512_bf16", ["may not pay", "without AMX"]),
        ("avx512f avx512bw avx512vl avx512dq avx512_bf16 amx_tile amx_bf16", []),
    ],
)
def test_bf16_works_on_every_processor_and_a_note_says_where_it_does_not_pay(
    tmp_path, monkeypatch, capsys, bf16, features, told
):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nmodel name\t: An Old One\nflags\t\t: {features}\n")
    monkeypatch.setattr(processor, "CPUINFO", cpuinfo)
    fit(program(), Colours(), options(1), tmp_path, label="t", accelerator=bf16)
    err = capsys.readouterr().err
    assert all(words in err for words in told)
    assert ("pay" in err) == bool(told)


def test_the_layout_of_tensors_in_memory_changes_nothing_but_rounding(tmp_path, monkeypatch):
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        monkeypatch.setattr(state, "memory_format", lambda device, layout=layout: layout)
        made = program()
        fit(made, Colours(), options(2), tmp_path / str(layout), label="t", accelerator=Accelerator(cpu=True))
        results.append({key: value.float() for key, value in made.generator.state_dict().items()})
    # Adam's first steps have the size of the rate wherever a gradient is not zero.
    assert all(torch.allclose(results[0][k], results[1][k], atol=4e-3) for k in results[0])
    close = [torch.isclose(results[0][k], results[1][k], atol=1e-4).float().mean() for k in results[0]]
    assert sum(close) / len(close) > 0.95


def test_training_brings_the_loss_down_and_writes_scalars_and_samples(tmp_path):
    made = program()
    pair = Colours().sample(4, np.random.default_rng(0))
    source, target = pair["input"][None], pair["target"][None]
    before = (made.generator.train()(source) - target).abs().mean().item()
    picture = lambda p: np.zeros((8, 8, 3), np.uint8)  # noqa: E731
    fit(made, Colours(), options(40), tmp_path, label="t", accelerator=Accelerator(cpu=True), picture=picture)
    assert (made.generator(source) - target).abs().mean().item() < 0.8 * before
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert (tmp_path / "samples" / "step_000040.png").is_file()


def test_the_generator_phase_leaves_the_discriminator_alone_and_the_other_way_round():
    made = program()
    sample = Colours().sample(0, np.random.default_rng(0))
    batch = {key: value[None] for key, value in sample.items()}
    for phase, terms in made.losses(batch):
        own = list(made.networks()[phase].parameters())
        gradients = torch.autograd.grad(sum(terms.values()), own, allow_unused=True, retain_graph=True)
        assert any(g is not None and g.abs().sum() > 0 for g in gradients)
        assert all(p.grad is None for network in made.networks().values() for p in network.parameters())


def test_rates_are_constant_and_then_fall_to_zero():
    rates = [Optimiser(("g",), 1.0, decay=0.5).rate(step, 10) for step in range(10)]
    assert rates[:5] == [1.0] * 5
    assert rates[5:] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])


def test_a_diverged_training_says_so(tmp_path):
    class Broken(Colours):
        def sample(self, index, random):
            return {name: value * float("nan") for name, value in super().sample(index, random).items()}

    with pytest.raises(ModelError, match="diverged"):
        fit(program(), Broken(), options(2), tmp_path, label="t", accelerator=Accelerator(cpu=True))


class Still:
    """A program that learns nothing: its network is what a test makes it, and its norm sees flat maps of 4 last."""

    def __init__(self):
        self.conv = torch.nn.Conv2d(3, 3, 1)
        self.generator = torch.nn.Sequential(self.conv, torch.nn.BatchNorm2d(3, momentum=1.0))

    def networks(self):
        return {"generator": self.generator}

    def memories(self):
        return {}

    def optimisers(self):
        return {"generator": Optimiser(("generator",), 0.0)}

    def losses(self, batch):
        yield "generator", {"l1": self.generator(batch["input"]).abs().mean()}
        self.generator[1](torch.full((2, 3, 2, 2), 4.0))

    def output(self, images):
        return self.generator(images)


@pytest.fixture
def averaged():
    """A network whose weights were 0 before the first step and 1 from then on, after nine steps."""
    made = Still()
    torch.nn.init.zeros_(made.conv.weight)
    training = TrainingState(made, Accelerator(cpu=True), steps=9, averaged="generator", average_decay=0.999)
    torch.nn.init.ones_(made.conv.weight)
    for step in range(9):
        training.step([{"input": torch.zeros(3, 2, 2)}], step)
    return made.generator, training


# The start's share is the product of (1 + t) / (10 + t): after nine steps 9! 9! / 18! = 1 / 48620.
CAUGHT_UP = 1 - 1 / 48620


def test_an_average_catches_up_with_its_network_in_weights_and_in_statistics(averaged):
    network, training = averaged
    assert decay_at(0, 0.999) == pytest.approx(1 / 10)
    assert decay_at(90, 0.999) == pytest.approx(91 / 100)
    assert decay_at(100_000, 0.999) == 0.999
    training.finish()
    assert network[0].weight.unique().item() == pytest.approx(CAUGHT_UP, abs=1e-6)
    # From a mean of 0 and a variance of 1 to the flat maps' 4 and 0.
    assert network[1].running_mean.tolist() == pytest.approx([4 * CAUGHT_UP] * 3, abs=1e-5)
    assert network[1].running_var.tolist() == pytest.approx([1 - CAUGHT_UP] * 3, abs=1e-6)


def test_pictures_show_what_will_ship_and_leave_the_training_as_it_is(averaged):
    network, training = averaged
    with training.evaluation():
        assert network[0].weight.unique().item() == pytest.approx(CAUGHT_UP, abs=1e-6)
        assert not network.training
    assert network[0].weight.unique().item() == 1
    assert network.training


def test_a_checkpoint_holds_no_number_that_is_not_finite(tmp_path):
    class Breaking(Pix2Pix):
        """Its sixth step, whose losses are finite, leaves a weight that is not."""

        steps = 0

        def losses(self, batch):
            yield from super().losses(batch)
            self.steps += 1
            if self.steps == 6:
                with torch.no_grad():
                    next(self.generator.parameters())[0] = float("inf")

    broken = Breaking(build(SPEC, 0), PatchDiscriminator(6, 4, layers=2, seed=0))
    with pytest.raises(ModelError, match=r"t diverged: generator is not finite at step 6; lower the learning rate"):
        fit(broken, Colours(), options(9), tmp_path, label="t", accelerator=Accelerator(cpu=True))
    with safe_open(tmp_path / CHECKPOINT, "pt") as file:
        assert file.metadata()["step"] == "3"
        assert all(torch.isfinite(file.get_tensor(key)).all() for key in file.keys())  # noqa: SIM118 (not a dict)


def test_a_longer_training_at_a_constant_rate_goes_on_from_a_finished_one_bit_for_bit(tmp_path):
    def steady():
        return Pix2Pix(build(SPEC), PatchDiscriminator(6, 4, layers=2), optimiser=Optimiser((), 1e-3, decay=0.0))

    whole, short, longer = steady(), steady(), steady()
    cpu = Accelerator(cpu=True)
    fit(whole, Colours(), options(5, average_decay=0.9), tmp_path / "a", label="a", accelerator=cpu)
    for made, steps in ((short, 3), (longer, 5)):
        fit(made, Colours(), options(steps, average_decay=0.9, keep_last=True), tmp_path / "b", "b", accelerator=cpu)
    expected, found = whole.generator.state_dict(), longer.generator.state_dict()
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path):
    class Three:
        num_processes = 3

    with pytest.raises(PocketganError, match=r"batch_size 2 cannot .* multiple of 3"):
        fit(program(), Colours(), options(2), tmp_path, label="t", accelerator=Three())
    uneven = FitOptions(2, 3, seed=0, unlabelled_batch_size=4)
    with pytest.raises(PocketganError, match=r"unlabelled_batch_size 4 cannot .* multiple of 3"):
        fit(program(), Colours(), uneven, tmp_path, label="t", accelerator=Three(), unlabelled=Grey())


def test_a_checkpoint_that_does_not_fit_counts_as_none(tmp_path):
    (tmp_path / CHECKPOINT).write_bytes(b"half a file")
    assert load_checkpoint(tmp_path / CHECKPOINT, {}, {}, {}) == 0
    save_checkpoint(tmp_path / CHECKPOINT, 5, {"generator": torch.nn.Linear(2, 2)}, {}, {})
    assert load_checkpoint(tmp_path / CHECKPOINT, {"generator": torch.nn.Linear(3, 3)}, {}, {}) == 0


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True
        ).returncode
    )
    if not mounted:
        pytest.skip("mounting a tmpfs needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_leaves_the_checkpoint_before_it(small_disk: Path):
    path = small_disk / CHECKPOINT
    small, large = {"g": torch.nn.Linear(100, 100)}, {"g": torch.nn.Linear(1000, 1000)}
    save_checkpoint(path, 1, small, {}, {})
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"disk is full.*the checkpoint before it is intact"):
        save_checkpoint(path, 2, large, {}, {})
    assert path.read_bytes() == before
    assert [path.name for path in small_disk.iterdir()] == [CHECKPOINT]
