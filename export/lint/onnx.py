"""What ONNX Runtime's execution providers for phones take, by the tables that it ships with its usability checker.

The tables list operators with notes; notes about attributes that our exports have are checked here, others are told as
`unchecked`. What a provider leaves runs on ONNX Runtime's own CPU kernels.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pocketgan.export.lint.reading import Left, Reading, grouped
from pocketgan.export.origins import unwrapped

# Provider: its table, and the most dimensions that it takes (as in the checker).
_TABLES = {
    "NNAPI": ("nnapi_supported_ops.md", 999),
    "Core ML": ("coreml_supported_mlprogram_ops.md", 5),
}
# Words of a note, and what must hold of a node's attributes and constant inputs for it.
_Check = Callable[[dict[str, Any], list[Any]], bool]
_NOTES: tuple[tuple[str, str, _Check], ...] = (
    ("Pad", "Only constant mode", lambda attributes, _: attributes.get("mode", b"constant") == b"constant"),
    ("ConvTranspose", "output_padding must", lambda attributes, _: not any(attributes.get("output_padding", ()))),
    ("DepthToSpace", "Only DCR mode", lambda attributes, _: attributes.get("mode", b"DCR") == b"DCR"),
    ("Slice", "must be constant", lambda _, inputs: all(one is not None for one in inputs[1:])),
    # "bilinear" is what opset 20 renamed to "linear".
    ("GridSample", "'mode' of 'linear'", lambda attributes, _: attributes.get("mode", b"linear").endswith(b"linear")),
    ("Split", "evenly divide", lambda _, inputs: len({*(inputs[1] if len(inputs) > 1 else ())}) < 2),
)
# Notes that hold for whatever torch.onnx writes of a static graph: weights, pads and shapes are constants, images 2-D.
_ALWAYS = ("constant", "Only 2D", "Only 1D/2D", "fixed shape", "epislon", "fp32", "bool", "float")


def read(module: nn.Module, example: tuple[Tensor, ...]) -> dict[str, Reading]:
    """What each provider takes of the module's ONNX model.

    Raises:
        Exception: whatever torch.onnx raises for a module that it cannot convert.
    """
    import onnx

    from pocketgan.export.targets.onnx import converted

    model = onnx.shape_inference.infer_shapes(converted(module, example))
    return {provider: _reading(model.graph, provider, *entry) for provider, entry in _TABLES.items()}


def _reading(graph: Any, provider: str, table: str, most_dimensions: int) -> Reading:
    from onnxruntime.tools.mobile_helpers import usability_checker

    constants = _constants(graph)
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in (*graph.value_info, *graph.output)}
    fallen: list[Left] = []
    unchecked: dict[str, None] = {}

    class Checked(usability_checker._SupportedOpsChecker):
        def is_op_supported(self, node: Any) -> bool:
            return super().is_op_supported(node) and not self.refused(node)

        def refused(self, node: Any) -> str:
            """The note of the table that the node breaks; empty where none."""
            note = self._ops.get(f"{node.domain or 'ai.onnx'}:{node.op_type}", "")
            for operator, words, holds in _NOTES:
                if node.op_type == operator and words in note:
                    if not holds(_attributes(node), [constants.get(name) for name in node.input]):
                        return next(sentence.strip() for sentence in note.split(".") if words in sentence)
                    return ""
            if note and not any(words in note for words in _ALWAYS):
                unchecked[node.op_type] = None
            return ""

    checker = Checked(Path(usability_checker.__file__).with_name(table))
    info = usability_checker.check_partitioning(graph, checker, False, most_dimensions)
    taken = {id(node) for group in info.supported_groups for node in group}
    for node in graph.node:
        if id(node) in taken:
            continue
        why, change = checker.refused(node), ""
        if not why and any(ranks.get(name, 0) > most_dimensions for name in node.input):
            why, change = (
                f"more than {most_dimensions} dimensions",
                "merge dimensions before it, and part them after it",
            )
        fallen.append(_left(node, why, change))
    return Reading(
        taken=info.num_supported_nodes,
        total=info.num_nodes,
        subgraphs=info.num_partitions,
        falls=grouped(fallen, provider),
        unchecked=list(unchecked),
    )


def _left(node: Any, why: str, change: str) -> Left:
    notes = {note.key: note.value for note in node.metadata_props}
    scopes = ast.literal_eval(notes.get("pkg.torch.onnx.name_scopes", "[]"))
    kinds = ast.literal_eval(notes.get("pkg.torch.onnx.class_hierarchy", "[]"))
    path = unwrapped(scopes[-2], kinds) if len(scopes) > 1 else ""
    is_layer = len(kinds) > 1 and kinds[-2].startswith("torch.nn.modules.")
    layer = kinds[-2].rpartition(".")[2] if is_layer else node.op_type
    return Left(layer, f"{path} {scopes[-1] if scopes else node.name}", node.op_type, path, why, change=change)


def _attributes(node: Any) -> dict[str, Any]:
    import onnx

    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _constants(graph: Any) -> dict[str, Any]:
    import onnx

    return {tensor.name: onnx.numpy_helper.to_array(tensor).ravel().tolist() for tensor in graph.initializer}


READERS = {"onnx": (tuple(_TABLES), read)}
