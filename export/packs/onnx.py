"""A pack's entry for ONNX Runtime: one file of weights, and a small model a concept that holds what is its own.

W + Reshape(B A) stands in the graph; ONNX Runtime computes it once, when the session is made, so that a frame takes
what it takes without.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pocketgan.errors import ExportError
from pocketgan.export.packs.change import Change, changes, products, stored_type
from pocketgan.export.targets.onnx import MODEL_FILE, WEIGHTS_FILE

# Smaller ones, shapes among them, stay in the models: runtimes read those before they open other files.
_LEAST_SHARED_BYTES = 1024
# As onnx itself aligns large ones, so that a runtime can map them.
_ALIGNMENT = 64


class OnnxPack:
    """The models of an entry, read from the exports of the base and of every concept.

    Args:
        base: `model.onnx` of the base.
        concepts: theirs, by name.
    Raises:
        ExportError: the exports differ by more than by constants.
    """

    def __init__(self, base: Path, concepts: Mapping[str, Path]) -> None:
        self._base = constants_of(_load(base))
        self._models = {name: _load(path) for name, path in concepts.items()}
        self._changes: dict[str, dict[str, Change]] = {}
        shape = _structure(_load(base))
        for name, model in self._models.items():
            own = constants_of(model)
            if _structure(model) != shape or {key: value.shape for key, value in own.items()} != {
                key: value.shape for key, value in self._base.items()
            }:
                raise ExportError(f"the graph of {name} is another one than the base's: no weights can be shared")
            self._changes[name] = changes(self._base, own, alone=True)
        needed = {
            key
            for key, value in self._base.items()
            if value.nbytes >= _LEAST_SHARED_BYTES
            and any(key not in one or one[key].uses_base for one in self._changes.values())
        }
        self._offsets: dict[str, int] = {}
        end = 0
        for key in sorted(needed):
            self._offsets[key] = -(-end // _ALIGNMENT) * _ALIGNMENT
            end = self._offsets[key] + self._base[key].nbytes

    def write_weights(self, folder: Path) -> None:
        """Write the shared file to `folder`."""
        with (folder / WEIGHTS_FILE).open("wb") as file:
            for key, offset in self._offsets.items():
                file.write(bytes(offset - file.tell()))
                file.write(self._base[key].tobytes())

    def products(self, name: str) -> list[dict[str, int]]:
        """A concept's products; see `change.products`."""
        return products(self._changes[name])

    def write_model(self, name: str, path: Path, halved: Collection[str]) -> None:
        """Write a concept's model beside the shared file, the factors of `halved` in float16."""
        import onnx
        from onnx import numpy_helper

        model, own = onnx.ModelProto(), self._changes[name]
        model.CopyFrom(self._models[name])
        graph, nodes = model.graph, list(model.graph.node)
        made: list[Any] = []
        initializers = []
        for tensor in list(graph.initializer):
            key = tensor.name
            change = own.get(key)
            if change is not None and change.factors is not None:
                base = self._initializer(f"{key}.base", key, tensor) if change.added else None
                parts, steps = _product(key, change, stored_type(change, key in halved), base)
                initializers += parts
                made += steps
            elif change is None and key in self._offsets:
                initializers.append(self._initializer(key, key, tensor))
            else:
                initializers.append(numpy_helper.from_array(numpy_helper.to_array(tensor), key))
        del graph.initializer[:], graph.node[:]
        graph.initializer.extend(initializers)
        graph.node.extend([*made, *nodes])
        path.write_bytes(model.SerializeToString(deterministic=True))

    def _initializer(self, name: str, key: str, like: Any) -> Any:
        """A tensor in the shared file, or in the model where it is small."""
        import onnx
        from onnx import numpy_helper

        if key not in self._offsets:
            return numpy_helper.from_array(self._base[key], name)
        told = {"location": WEIGHTS_FILE, "offset": self._offsets[key], "length": self._base[key].nbytes}
        tensor = onnx.TensorProto(name=name, data_type=like.data_type, dims=like.dims)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for word, value in told.items():
            tensor.external_data.add(key=word, value=str(value))
        return tensor


def constants_of(model: Any) -> dict[str, np.ndarray]:
    """A model's constants by name."""
    from onnx import numpy_helper

    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def _load(path: Path) -> Any:
    import onnx

    if path.name != MODEL_FILE:
        raise ExportError(f"{path.name} is no single ONNX model")
    return onnx.load(path)


def _structure(model: Any) -> list[bytes]:
    return [node.SerializeToString(deterministic=True) for node in model.graph.node]


def _product(key: str, change: Change, dtype: type[np.floating[Any]], base: Any) -> tuple[list[Any], list[Any]]:
    """Initializers and nodes that compute the constant `key`."""
    from onnx import helper, numpy_helper

    assert change.factors is not None
    factors = change.factors.stored(dtype)
    shape, axis = factors.shape, factors.axis
    moved = (shape[axis], *shape[:axis], *shape[axis + 1 :])
    parts = [
        numpy_helper.from_array(np.ascontiguousarray(factors.b), f"{key}.b"),
        numpy_helper.from_array(np.ascontiguousarray(factors.a), f"{key}.a"),
    ]
    steps, names = [], [f"{key}.b", f"{key}.a"]

    def add(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        steps.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    if factors.b.dtype != change.dtype:
        to = helper.np_dtype_to_tensor_dtype(change.dtype)
        names = [add("Cast", [one], f"{one}.cast", to=to) for one in names]
    last = add("MatMul", names, f"{key}.product")
    if moved != (shape[axis], factors.a.shape[1]):
        parts.append(numpy_helper.from_array(np.array(moved, np.int64), f"{key}.shape"))
        last = add("Reshape", [last, f"{key}.shape"], f"{key}.reshaped")
    if axis:
        order = [*range(1, axis + 1), 0, *range(axis + 1, len(shape))]
        last = add("Transpose", [last], f"{key}.turned", perm=order)
    if base is not None:
        parts.append(base)
        last = add("Add", [base.name, last], f"{key}.sum")
    steps[-1].output[0] = key
    return parts, steps
