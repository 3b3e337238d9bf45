"""What tests of training programs share."""

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from pocketgan.training.fit import FitOptions, fit


class StopError(Exception):
    """Ends a training inside a step, as a kill would."""


def state(program):
    """A copy of everything in a program that a training changes."""
    modules = {**program.networks(), **program.memories()}
    return {f"{name}.{key}": value.clone() for name, m in modules.items() for key, value in m.state_dict().items()}


def kill_in_the_fourth_step(program):
    """The same program, until it is killed between the two phases of a step, after the checkpoint of the second."""
    losses, steps = program.losses, iter(range(100))

    def until_killed(batch):
        phases = losses(batch)
        yield next(phases)
        if next(steps) == 3:
            raise StopError
        yield from phases

    program.losses = until_killed
    return program


@pytest.fixture
def assert_resumes_bit_for_bit(tmp_path):
    """Trains whole, and killed and resumed: both end in the same bits. `make(seed)` gives a fresh program."""

    def check(make, data, precision="no", unlabelled=None, **more):
        def alone():
            AcceleratorState._reset_state()  # it remembers the first precision of a process
            return Accelerator(cpu=True, mixed_precision=precision)

        whole, first, second = make(0), make(0), make(9)
        options = FitOptions(5, 2, seed=3, checkpoint_every=2, sample_every=100, **more)
        fit(whole, data, options, tmp_path / "whole", label="whole", accelerator=alone(), unlabelled=unlabelled)
        with pytest.raises(StopError):
            fit(
                kill_in_the_fourth_step(first),
                data,
                options,
                tmp_path / "killed",
                label="killed",
                accelerator=alone(),
                unlabelled=unlabelled,
            )
        fit(second, data, options, tmp_path / "killed", label="killed", accelerator=alone(), unlabelled=unlabelled)
        expected, found = state(whole), state(second)
        assert expected.keys() == found.keys()
        assert [key for key in expected if not torch.equal(expected[key], found[key])] == []
        return expected

    yield check
    AcceleratorState._reset_state()
