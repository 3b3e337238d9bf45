"""What is known to leave Apple's Neural Engine. Core ML decides on the device, and tells of it only there (Xcode's
performance report, MLComputePlan); Apple publishes no list, since placement changes with chip, system and sizes
(https://github.com/apple/coremltools/issues/1780). The table holds observations, each with its system and source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.fx import Node
from torch.fx.passes.infra.partitioner import CapabilityBasedPartitioner
from torch.fx.passes.operator_support import OperatorSupportBase

from pocketgan.export.lint.reading import Left, Reading, grouped, left
from pocketgan.export.origins import operator
from pocketgan.export.tracing import trace

ACCELERATOR = "Neural Engine"
_ISSUES = "https://github.com/apple/coremltools/issues"
_LARGEST_SIZE, _LARGEST_RANK = 16_384, 5


@dataclass(frozen=True)
class KnownFall:
    """Operators that were seen to leave the Neural Engine.

    Attributes:
        fits: whether a node is one of them.
        since: the oldest system on which it was seen; nothing later says that it has changed.
    """

    fits: Callable[[Node], bool]
    why: str
    change: str
    since: str
    source: str


def _named(*names: str) -> Callable[[Node], bool]:
    return lambda node: operator(node) in names


def _dilated(node: Node) -> bool:
    dilation: Any = node.args[5] if operator(node) == "conv2d" and len(node.args) > 5 else ()
    return any(step != 1 for step in (dilation if isinstance(dilation, list | tuple) else [dilation]))


def _large(node: Node) -> bool:
    return any(size > _LARGEST_SIZE for shape in _shapes(node) for size in shape)


KNOWN_FALLS: tuple[KnownFall, ...] = (
    KnownFall(
        _named("lstm", "gru", "rnn_tanh", "rnn_relu"),
        "recurrent layers run on the CPU",
        "convolutions or attention",
        "iOS 16",
        f"{_ISSUES}/1780",
    ),
    KnownFall(
        _named("grid_sampler", "grid_sampler_2d"),
        "resample runs on the CPU",
        "warp in the app, before or after the network",
        "iOS 16",
        f"{_ISSUES}/1875",
    ),
    KnownFall(
        _named("embedding", "index_select", "gather"),
        "gather runs on the CPU",
        "slices at fixed places, or a product by one-hot rows",
        "iOS 14, and in compute plans of iOS 16 programs",
        f"{_ISSUES}/1103",
    ),
    KnownFall(
        _named("scatter", "scatter_add", "index_put", "index_put_"),
        "scatter falls off the Neural Engine",
        "slices and a concatenation",
        "iOS 18",
        "coremltools 9.0, converters/mil/frontend/torch/ops.py, index_put",
    ),
    KnownFall(
        _dilated,
        "dilated convolutions were seen to leave it",
        "a larger or a second convolution without dilation",
        "iOS 13",
        "github.com/hollance/neural-engine, docs/unsupported-layers.md",
    ),
    KnownFall(
        _large,
        f"a side of more than {_LARGEST_SIZE}",
        "keep height and width apart: a flattened image of 256 x 256 has 65,536",
        "iOS 14",
        f"{_ISSUES}/1003, and ONNX Runtime's Core ML provider",
    ),
)


def read(module: nn.Module, example: tuple[Tensor, ...]) -> dict[str, Reading]:
    """What the Neural Engine takes, as far as the table knows.

    Raises:
        NotImplementedError: coremltools has no conversion for an operator; its frame names the node.
    """
    from coremltools.converters.mil.frontend.torch import is_torch_fx_node_supported

    program = trace(module, example).run_decompositions({})
    nodes = [node for node in program.graph.nodes if node.op == "call_function" and "getitem" not in str(node.target)]
    for node in nodes:
        if not is_torch_fx_node_supported(node):
            raise NotImplementedError(operator(node))
        if any(len(shape) > _LARGEST_RANK for shape in _shapes(node)):
            raise ValueError(f"Core ML takes tensors of at most {_LARGEST_RANK} dimensions ({_ISSUES}/1723)")
    fallen = {node: fall for node in nodes for fall in _falls(node)}
    return {
        ACCELERATOR: Reading(
            taken=len(nodes) - len(fallen),
            total=len(nodes),
            subgraphs=_pieces(program.graph_module, fallen),
            falls=grouped(list(fallen.values()), ACCELERATOR),
        )
    }


def _falls(node: Node) -> Iterator[Left]:
    for fall in KNOWN_FALLS:
        if fall.fits(node):
            yield left(node, fall.why, since=fall.since, source=fall.source, change=fall.change)
            return


def _shapes(node: Node) -> list[tuple[int, ...]]:
    value = node.meta.get("val")
    parts = value if isinstance(value, tuple | list) else (value,)
    return [tuple(part.shape) for part in parts if isinstance(part, Tensor)]


def _pieces(graph_module: Any, fallen: dict[Node, Left]) -> int:
    """In how many pieces the rest of the graph is."""

    class Supported(OperatorSupportBase):
        def is_node_supported(self, submodules: Any, node: Node) -> bool:
            return node.op == "call_function" and node not in fallen

    return len(
        CapabilityBasedPartitioner(graph_module, Supported(), allows_single_node_partition=True).propose_partitions()
    )


READERS = {"coreml": ((ACCELERATOR,), read)}
