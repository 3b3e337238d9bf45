"""ExecuTorch's lowering without the work that changes nothing."""

from __future__ import annotations

import gc

import pytest
import torch

pytest.importorskip("executorch")

from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower

from pocketgan.export.canonical import canonical, trace
from pocketgan.export.targets.lowering import fast_lowering
from pocketgan.training.generators import build, spec_by_name


def _lowered(program):
    return to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch().buffer


@pytest.mark.slow
def test_bytes_are_those_of_the_plain_lowering():
    example = (torch.zeros(1, 3, 16, 16),)
    program = trace(canonical(build(spec_by_name("resnet6", ngf=4, height=16, width=16)), example), example)
    with fast_lowering():
        fast = _lowered(program)
    assert fast == _lowered(program)


def test_the_garbage_collector_is_as_before():
    assert gc.isenabled()
    with pytest.raises(ValueError, match="broken"), fast_lowering():
        raise ValueError("broken")
    assert gc.isenabled()
