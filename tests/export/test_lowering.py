"""ExecuTorch's lowering without the work that changes nothing."""

from __future__ import annotations

import gc

import pytest

pytest.importorskip("executorch")

from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower

from pocketgan.export.canonical import canonical
from pocketgan.export.targets.lowering import fast_lowering
from pocketgan.export.tracing import trace


def _lowered(program):
    return to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch().buffer


@pytest.mark.slow
def test_bytes_are_those_of_the_plain_lowering(network, example):
    program = trace(canonical(network, example), example)
    with fast_lowering():
        fast = _lowered(program)
    assert fast == _lowered(program)


def test_the_garbage_collector_is_as_before():
    assert gc.isenabled()
    with pytest.raises(ValueError, match="broken"), fast_lowering():
        raise ValueError("broken")
    assert gc.isenabled()
