"""Training LoRA on a concept's pairs: the base stays, the branches learn, a kill costs nothing that shows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from concepts import SPEC, base_of, concept_of
from safetensors import safe_open

from pocketgan.errors import DataError, ModelError
from pocketgan.pictures import write_image
from pocketgan.training.adapter import Ranks, trained_parameters, weights_digest
from pocketgan.training.adapter_files import load_adapter
from pocketgan.training.adapting import AdaptOptions, adapt, adapt_folder, adaptation
from pocketgan.training.fit import CHECKPOINT, FitOptions, fit
from pocketgan.training.generators import build
from pocketgan.training.generators.files import save_generator
from pocketgan.training.lora import attach
from pocketgan.training.processes import join
from pocketgan.training.state import TrainingState

RANKS = Ranks(1, 2, 1, 2, 2)
OPTIONS = AdaptOptions(6, RANKS, batch_size=2, learning_rate=1e-2, ndf=4, seed=3, checkpoint_every=2)


@pytest.fixture(autouse=True)
def _forget_precision():
    yield
    AcceleratorState._reset_state()


def concept(text="the negative"):
    return concept_of(name="negative", text=text)


class Negatives:
    """Flat pictures whose target is their negative."""

    def __len__(self):
        return 6

    def sample(self, index, random):
        image = torch.full((3, 32, 32), (index - 2.5) / 3) + 0.1 * torch.from_numpy(random.random((3, 32, 32))).float()
        return {"input": image, "target": -image}


def batch():
    return Negatives().sample(4, np.random.default_rng(9))["input"][None]


def test_adapting_leaves_the_base_bit_identical_with_adapters_off(tmp_path):
    own = base_of()
    images = batch()
    with torch.no_grad():
        before = own.module(images)
    state = {name: tensor.clone() for name, tensor in own.module.state_dict().items()}
    adapter = adapt(own, Negatives(), concept(), OPTIONS, tmp_path, join(cpu=True))
    adapted = attach(own, adapter)
    with torch.no_grad():
        on = adapted(images)
        with adapted.off():
            off = adapted(images)
    assert torch.equal(off, before)
    assert not torch.equal(on, before)
    assert all(torch.equal(tensor, state[name]) for name, tensor in own.module.state_dict().items())


def test_norms_keep_the_bases_statistics_in_the_network_that_trains(tmp_path):
    own = base_of()
    program = adaptation(own, concept(), OPTIONS)
    fit(program, Negatives(), FitOptions(3, 2, seed=0), tmp_path, "adapt", join(cpu=True))
    trained = program.generator.base.state_dict()
    norms = [name for name in own.module.state_dict() if "running" in name or "tracked" in name]
    assert norms
    assert all(torch.equal(trained[name], own.module.state_dict()[name]) for name in norms)


def test_every_branch_learns(tmp_path):
    adapter = adapt(base_of(), Negatives(), concept(), OPTIONS, tmp_path, join(cpu=True))
    assert all(b.abs().max() > 0 for _, b in adapter.factors.values())


def test_a_concept_is_learnt(tmp_path):
    longer = replace(OPTIONS, steps=60, lambda_gan=0.0, ranks=Ranks(2, 4, 2, 4, 4))
    own = base_of()
    adapter = adapt(own, Negatives(), concept(), longer, tmp_path, join(cpu=True))
    images = batch()
    adapted = attach(own, adapter)
    with torch.no_grad():
        learnt = (adapted(images) + images).abs().mean()
        with adapted.off():
            before = (adapted(images) + images).abs().mean()
    assert learnt < 0.8 * before


def test_a_resumed_adaptation_equals_an_undisturbed_one_bit_for_bit(assert_resumes_bit_for_bit):
    assert_resumes_bit_for_bit(lambda seed: adaptation(base_of(), concept(), OPTIONS), Negatives(), average_decay=0.9)


def test_checkpoints_hold_branches_and_discriminator_alone(tmp_path):
    adapt(base_of(), Negatives(), concept(), replace(OPTIONS, steps=3), tmp_path, join(cpu=True))
    with safe_open(tmp_path / CHECKPOINT, "pt") as file:
        names = [name for name in file.keys() if name.startswith("network/generator/")]  # noqa: SIM118
        held = sum(file.get_tensor(name).numel() for name in names)
    assert held == trained_parameters(SPEC, RANKS)


def test_a_text_of_another_encoder_than_the_bases_is_refused():
    own = base_of()
    own.metadata.update(text_encoder="CLIP", text_encoder_digest="ef" * 32)
    with pytest.raises(
        ModelError, match=r"the base was trained with text features of CLIP \(efefefefefef\), not of sentences"
    ):
        adaptation(own, concept(), OPTIONS)


@pytest.fixture
def given(tmp_path):
    """A base's file and a folder of pairs."""
    save_generator(tmp_path / "base.safetensors", build(SPEC), SPEC, {"trained": "yes"})
    random = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for index in range(count):
            picture = random.integers(0, 256, (32, 32, 3)).astype(np.uint8)
            write_image(tmp_path / "pairs" / split / f"{index}.png", np.concatenate([picture, 255 - picture], 1))
    return tmp_path / "base.safetensors", tmp_path / "pairs"


def test_a_folder_of_pairs_becomes_an_adapter_of_its_base(given, tmp_path):
    out = tmp_path / "out" / "a.safetensors"
    found = adapt_folder(given[0], given[1], concept(), OPTIONS, out)
    assert load_adapter(out).base_digest == found.base_digest == weights_digest(build(SPEC))
    assert (found.concept, found.images, found.bytes) == ("negative", 4, out.stat().st_size)
    assert found.trained_parameters == trained_parameters(SPEC, RANKS)
    assert [path.name for path in out.parent.iterdir()] == ["a.safetensors"]


def test_fewer_pairs_than_a_step_takes_are_told(given, tmp_path):
    with pytest.raises(DataError, match="holds 4 pairs to train on, fewer than the 5 of a step"):
        adapt_folder(given[0], given[1], concept(), replace(OPTIONS, batch_size=5), tmp_path / "a.safetensors")


class KilledError(Exception):
    pass


@pytest.fixture
def killed(given, monkeypatch):
    """Ends an adaptation in the step after its first checkpoint, as a kill would."""
    step = TrainingState.step

    def until_killed(self, samples, number):
        if number == OPTIONS.checkpoint_every:
            raise KilledError
        return step(self, samples, number)

    def kill(out, text):
        with monkeypatch.context() as patch:
            patch.setattr(TrainingState, "step", until_killed)
            with pytest.raises(KilledError):
                adapt_folder(given[0], given[1], concept(text), OPTIONS, out)
        assert not out.exists()

    return kill


@pytest.mark.parametrize(
    ("text", "said"), [("the negative", "going on from step 2 of 6"), ("another text", "is of another training")]
)
def test_a_killed_adaptation_goes_on_if_it_is_the_same(given, killed, tmp_path, capsys, text, said):
    out, whole = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    killed(out, text)
    adapt_folder(given[0], given[1], concept(), OPTIONS, out)
    assert said in capsys.readouterr().err
    adapt_folder(given[0], given[1], concept(), OPTIONS, whole)
    assert out.read_bytes() == whole.read_bytes()


def test_the_discriminator_has_the_rate_of_the_branches_unless_it_is_given_its_own():
    same = adaptation(base_of(), concept(), OPTIONS).optimisers()
    own = adaptation(base_of(), concept(), replace(OPTIONS, discriminator_learning_rate=1e-4)).optimisers()
    assert [same[name].learning_rate for name in ("generator", "discriminator")] == [1e-2, 1e-2]
    assert [own[name].learning_rate for name in ("generator", "discriminator")] == [1e-2, 1e-4]
