"""Evaluations within a training: the best state ships, whatever was killed, resumed or lengthened on the way."""

import json

import pytest
import torch
from accelerate import Accelerator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pocketgan.errors import ModelError
from pocketgan.training.evaluations import BEST, EVALUATIONS, Evaluation, Evaluations, best_of
from pocketgan.training.fit import FitOptions, fit
from pocketgan.training.measuring import Measuring
from pocketgan.training.programs import Optimiser

PROBE = torch.linspace(-1, 1, 3 * 4 * 4).reshape(1, 3, 4, 4)


class Pictures:
    def __len__(self):
        return 7

    def sample(self, index, random):
        return {"input": torch.from_numpy(random.standard_normal((3, 4, 4))).float()}


class KilledError(Exception):
    """Ends a training inside a step, as a kill would."""


class Rising:
    """A program whose one weight rises by 0.1 a step, from 0: Adam's steps have the size of the rate.

    A second weight depends on the random stream. It is killed in step `last`, counted from 1.
    """

    def __init__(self, last=None):
        self.left = last
        self.generator = torch.nn.Module()
        self.generator.level = torch.nn.Parameter(torch.zeros(1))
        self.generator.noise = torch.nn.Parameter(torch.zeros(5))

    def networks(self):
        return {"generator": self.generator}

    def memories(self):
        return {}

    def optimisers(self):
        return {"generator": Optimiser(("generator",), 0.1, decay=0.0)}

    def losses(self, batch):
        if self.left is not None:
            self.left -= 1
            if not self.left:
                raise KilledError
        drawn = torch.nn.functional.dropout(self.generator.noise - batch["input"].mean(), 0.5)
        yield "generator", {"level": -self.generator.level.sum(), "noise": drawn.square().sum()}

    def output(self, images):
        return self.generator.level.reshape(1, 1, 1, 1).expand(1, 3, 4, 4)


def level(generate):
    return float(generate(PROBE).mean())


def nearest_to(goal):
    """Measures that are best where the level is nearest to a goal."""
    return lambda generate: {"l1": abs(level(generate) - goal), "miou": -abs(level(generate) - goal)}


def train(folder, steps=8, measure=None, program=None, every=2, best_by="l1", **more):
    made = program or Rising()
    options = FitOptions(steps, 2, seed=3, checkpoint_every=3, sample_every=100, **more)
    watched = None if measure is None else Measuring(every, measure, best_by)
    fit(made, Pictures(), options, folder, "t", Accelerator(cpu=True), measuring=watched)
    return {name: value.clone() for name, value in made.generator.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def steps_of(folder):
    return [one["step"] for one in json.loads((folder / EVALUATIONS).read_text())]


@pytest.mark.parametrize("best_by", ["l1", "miou"])
def test_the_best_state_ships_and_is_that_of_a_training_that_stopped_there(tmp_path, best_by, capsys):
    shipped = train(tmp_path / "best", measure=nearest_to(0.4), best_by=best_by)
    assert shipped["level"].item() == pytest.approx(0.4, abs=1e-3)
    assert same(shipped, train(tmp_path / "stopped", steps=4))
    assert steps_of(tmp_path / "best") == [2, 4, 6, 8]
    assert f"t: step 4 ships, the best by {best_by}" in capsys.readouterr().err


def test_the_last_state_ships_otherwise_and_measuring_leaves_the_training_as_it_is(tmp_path):
    def disturb(generate):
        torch.rand(5)
        return nearest_to(0.4)(generate)

    plain = train(tmp_path / "plain", steps=5)
    assert same(plain, train(tmp_path / "watched", steps=5, measure=disturb, best_by=None))
    assert steps_of(tmp_path / "watched") == [2, 4, 5]
    assert not (tmp_path / "watched" / BEST).exists()


def test_averages_are_what_is_measured_and_what_ships(tmp_path):
    seen = []

    def measure(generate):
        seen.append(level(generate))
        return {"l1": abs(seen[-1] - 0.3)}

    shipped = train(tmp_path, measure=measure, average_decay=0.9)
    assert seen[-1] < 0.79  # the average is behind the network, whose level is 0.8
    assert shipped["level"].item() == pytest.approx(min(seen, key=lambda one: abs(one - 0.3)))


@pytest.mark.parametrize("step", [4, 5, 8])
@pytest.mark.parametrize("goal", [0.2, 0.4, 0.8])
def test_a_killed_and_resumed_training_chooses_as_an_undisturbed_one(tmp_path, step, goal):
    whole = train(tmp_path / "whole", measure=nearest_to(goal))
    with pytest.raises(KilledError):
        train(tmp_path / "killed", measure=nearest_to(goal), program=Rising(step))
    assert same(whole, train(tmp_path / "killed", measure=nearest_to(goal)))
    assert (tmp_path / "killed" / EVALUATIONS).read_text() == (tmp_path / "whole" / EVALUATIONS).read_text()


def test_what_was_the_best_after_the_last_checkpoint_is_forgotten(tmp_path):
    with pytest.raises(KilledError):
        train(tmp_path, measure=nearest_to(0.4), program=Rising(5))  # step 4 was the best, the checkpoint is of 3
    shipped = train(tmp_path, measure=nearest_to(0.2))
    assert shipped["level"].item() == pytest.approx(0.2, abs=1e-3)


@pytest.mark.parametrize("goal", [0.4, 0.5, 0.6, 0.8])
def test_a_longer_training_chooses_among_all_steps_as_if_it_had_been_longer_at_once(tmp_path, goal):
    long = train(tmp_path / "long", steps=8, measure=nearest_to(goal), keep_last=True)
    train(tmp_path / "short", steps=5, measure=nearest_to(goal), keep_last=True)
    assert steps_of(tmp_path / "short") == [2, 4, 5]
    assert same(long, train(tmp_path / "short", steps=8, measure=nearest_to(goal), keep_last=True))
    assert steps_of(tmp_path / "short") == [2, 4, 6, 8]


def test_a_checkpoint_that_is_the_end_of_a_shorter_training_is_measured(tmp_path):
    with pytest.raises(KilledError):
        train(tmp_path, measure=nearest_to(0.3), program=Rising(4))
    shipped = train(tmp_path, steps=3, measure=nearest_to(0.3))
    assert steps_of(tmp_path) == [2, 3]
    assert shipped["level"].item() == pytest.approx(0.3, abs=1e-3)


def test_a_kill_between_the_best_network_and_its_number_loses_neither(tmp_path, monkeypatch):
    with pytest.raises(KilledError):
        train(tmp_path, measure=nearest_to(0.24), program=Rising(4))

    def killed(self, evaluation):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Evaluations, "add", killed)
        with pytest.raises(KilledError):  # in an evaluation after the last step, whose checkpoint is there
            train(tmp_path, steps=3, measure=nearest_to(0.3))
    shipped = train(tmp_path, steps=3, measure=nearest_to(0.24))
    assert steps_of(tmp_path) == [2, 3]
    assert shipped["level"].item() == pytest.approx(0.2, abs=1e-3)


def test_no_more_networks_are_kept_than_may_ship(tmp_path):
    train(tmp_path, steps=9, measure=nearest_to(0.9), keep_last=True)
    # The best of all, and the best of those that a longer training has too.
    assert {path.stem for path in (tmp_path / BEST).iterdir()} == {"step_000009", "step_000008"}


def test_a_best_network_that_is_gone_is_said_and_not_chosen(tmp_path, capsys):
    train(tmp_path, steps=5, measure=nearest_to(0.2), keep_last=True)
    for path in (tmp_path / BEST).iterdir():
        path.unlink()
    shipped = train(tmp_path, steps=8, measure=nearest_to(0.2), keep_last=True)
    assert "the best network of the first 5 steps is gone; the best of the later ones ships" in capsys.readouterr().err
    assert shipped["level"].item() == pytest.approx(0.6, abs=1e-3)


def test_a_best_network_that_is_damaged_is_an_error(tmp_path):
    train(tmp_path, steps=4, measure=nearest_to(0.2), keep_last=True)
    (tmp_path / BEST / "step_000002.safetensors").write_text("half")
    with pytest.raises(ModelError, match=r"step_000002\.safetensors, .* cannot be read; delete it and run again"):
        train(tmp_path, steps=4, measure=nearest_to(0.2), keep_last=True)


def test_values_go_to_tensorboard_and_to_the_console(tmp_path, capsys):
    train(tmp_path, steps=4, measure=nearest_to(0.4))
    assert "t: step 2: l1 0.2, miou -0.2 (the best l1 so far)" in capsys.readouterr().err
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(one.step, round(one.value, 3)) for one in events.Scalars("evaluation/miou")] == [(2, -0.2), (4, 0.0)]


def test_of_equals_the_earliest_is_the_best():
    some = [Evaluation(step, {"kid": value, "miou": value}) for step, value in ((1, 0.5), (2, 0.1), (3, 0.1), (4, 0.5))]
    assert best_of(some, "kid").step == 2
    assert best_of(some, "miou").step == 1
    assert best_of([], "kid") is None
