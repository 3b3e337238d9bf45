"""Training a base as a whole on a concept: what trains, what is frozen, and what file it leaves."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from concepts import SPEC, base_of, concept_of

from pocketgan.errors import DataError, ModelError
from pocketgan.pictures import write_image
from pocketgan.training.adapting import AdaptOptions
from pocketgan.training.base_and_pairs import BaseAndPairs
from pocketgan.training.fine_tuning import ALL_PARTS, fine_tune, fine_tune_folder, fine_tuning, unfrozen_parameters
from pocketgan.training.generators import build, skeleton, spec_by_name
from pocketgan.training.generators.files import LoadedGenerator, load_generator, save_generator
from pocketgan.training.processes import join

OPTIONS = AdaptOptions(4, batch_size=2, learning_rate=1e-2, ndf=4, seed=3, checkpoint_every=2)


@pytest.fixture(autouse=True)
def _forget_precision():
    yield
    AcceleratorState._reset_state()


class Negatives:
    """Flat pictures whose target is their negative."""

    def __len__(self):
        return 6

    def sample(self, index, random):
        image = torch.full((3, 32, 32), (index - 2.5) / 3) + 0.1 * torch.from_numpy(random.random((3, 32, 32))).float()
        return {"input": image, "target": -image}


def changed_modules(before, after):
    """Modules right under the generator of which a weight or a statistic is another one."""
    old, new = before.state_dict(), after.state_dict()
    return {name.split(".")[0] for name in old if not torch.equal(old[name], new[name])}


def test_the_parts_are_the_whole_generator():
    named = [name for names in ALL_PARTS.values() for name in names]
    assert sorted(named) == sorted({name.split(".")[0] for name, _ in skeleton(SPEC).named_parameters()})
    assert unfrozen_parameters(SPEC) == sum(weight.numel() for weight in skeleton(SPEC).parameters())


def test_without_the_head_its_7x7_kernels_train_less():
    spec = spec_by_name("e2gan")
    assert unfrozen_parameters(spec) - unfrozen_parameters(spec, ["head"]) == 64 * 3 * 7 * 7 + 3


def test_fine_tuning_changes_every_module_and_leaves_the_base(tmp_path):
    own = base_of()
    kept = {name: tensor.clone() for name, tensor in own.module.state_dict().items()}
    made = fine_tune(own, Negatives(), concept_of(), OPTIONS, tmp_path, join(cpu=True))
    assert changed_modules(own.module, made.module) == {name for names in ALL_PARTS.values() for name in names} | {
        "concept"
    }
    assert torch.equal(made.module.concept[0], concept_of().tokens)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in own.module.state_dict().items())
    assert not made.module.training


@pytest.mark.parametrize("part", ALL_PARTS)
def test_a_frozen_part_stays_bit_for_bit_and_the_others_learn(tmp_path, part):
    own = base_of()
    made = fine_tune(own, Negatives(), concept_of(), OPTIONS, tmp_path, join(cpu=True), frozen=[part])
    modules = {name for other, names in ALL_PARTS.items() if other != part for name in names}
    assert changed_modules(own.module, made.module) == modules | {"concept"}


def test_a_resumed_fine_tuning_equals_an_undisturbed_one_bit_for_bit(assert_resumes_bit_for_bit):
    assert_resumes_bit_for_bit(lambda seed: fine_tuning(base_of(), concept_of(), OPTIONS, ["rb"]), Negatives())


@pytest.mark.parametrize(
    ("base", "frozen", "words"),
    [
        (base_of(), ["rbs"], "no part is called rbs; there are stem, downsample, rb"),
        (LoadedGenerator(build(spec_by_name("resnet6", ngf=2)), spec_by_name("resnet6", ngf=2), {}), [], "an e2gan"),
        (
            replace(base_of(), metadata={"text_encoder": "CLIP", "text_encoder_digest": "ef" * 32}),
            [],
            "was trained with text features of CLIP",
        ),
    ],
)
def test_what_cannot_be_fine_tuned_is_told(base, frozen, words):
    with pytest.raises(ModelError, match=words):
        fine_tuning(base, concept_of(), OPTIONS, frozen)


@pytest.fixture
def given(tmp_path):
    """A base's file and a folder of pairs."""
    save_generator(tmp_path / "base.safetensors", base_of().module, SPEC, {"trained": "yes"})
    random = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for index in range(count):
            picture = random.integers(0, 256, (32, 32, 3)).astype(np.uint8)
            write_image(tmp_path / "pairs" / split / f"{index}.png", np.concatenate([picture, 255 - picture], 1))
    return tmp_path / "base.safetensors", tmp_path / "pairs"


def test_a_folder_of_pairs_becomes_an_ordinary_model_file(given, tmp_path):
    out = tmp_path / "out" / "whole.safetensors"
    found = fine_tune_folder(given[0], given[1], concept_of(), OPTIONS, out, frozen=["tb"])
    written = load_generator(out)
    assert (found.concept, found.images, found.bytes) == ("ink", 4, out.stat().st_size)
    tb = sum(weight.numel() for weight in skeleton(SPEC).get_submodule("tb").parameters())
    whole = sum(weight.numel() for weight in skeleton(SPEC).parameters())
    assert (found.trained_parameters, found.trained_share) == (whole - tb, (whole - tb) / whole)
    assert (written.spec, written.trained, written.metadata["concept"]) == (SPEC, True, "make it an ink drawing")
    assert written.metadata["base_sha256"] == found.base_digest
    assert [path.name for path in out.parent.iterdir()] == ["whole.safetensors"]


def test_what_is_trained_is_kept_until_the_file_is_there(given, tmp_path, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(BaseAndPairs, "l1", killed)
    out = tmp_path / "out" / "whole.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fine_tune_folder(given[0], given[1], concept_of(), OPTIONS, out)
    assert not out.exists()
    assert out.with_name("whole.safetensors.partial").is_dir()


def test_only_the_chosen_pictures_are_trained_on(given, tmp_path):
    found = fine_tune_folder(given[0], given[1], concept_of(), OPTIONS, tmp_path / "w.safetensors", only=["3.jpg", "1"])
    assert found.images == 2


@pytest.mark.parametrize(
    ("only", "words"),
    [
        (["0.png", "9.png"], r"1 chosen picture has no pair in .*pairs to train on.*: 9.png"),
        ([], "no pictures were chosen"),
        (["2"], "holds 1 pairs to train on, fewer than the 2 of a step"),
    ],
)
def test_a_choice_that_is_not_there_is_told_before_anything_is_written(given, tmp_path, only, words):
    out = tmp_path / "out" / "w.safetensors"
    with pytest.raises(DataError, match=words):
        fine_tune_folder(given[0], given[1], concept_of(), OPTIONS, out, only=only)
    assert not out.parent.exists()
