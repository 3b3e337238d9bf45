"""The program of an `.mlpackage`: its operations, its constants, and the weights in the file beside it."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pocketgan.errors import ExportError
from pocketgan.export.mil.operators import OPERATORS

_MODEL = Path("Data/com.apple.CoreML/model.mlmodel")
_WEIGHTS = Path("Data/com.apple.CoreML/weights/weight.bin")
# Each tensor of the weight file begins with: sentinel, kind, bytes, where they are.
_HEADER = struct.Struct("<IIQQ")
_SENTINEL = 0xDEADBEEF
# MIL's numbers of its data types (MIL.proto): a numpy type, or the bits of an integer smaller than a byte.
_WHOLE = {
    1: "?", 10: "<f2", 11: "<f4", 12: "<f8", 21: "<i1", 22: "<i2", 23: "<i4", 24: "<i8",
    31: "<u1", 32: "<u2", 33: "<u4", 34: "<u8",
}  # fmt: skip
_BITS = {25: 4, 35: 4, 36: 2, 37: 1, 38: 6, 39: 3}
_STRING, _FLOAT16, _INT4 = 2, 10, 25


class UnknownOperationError(ExportError):
    """The program may be sound: it holds an operation, or a way to use one, that is not known here."""


@dataclass(frozen=True)
class Program:
    """A function of a package.

    Attributes:
        inputs: shapes by name.
        operators: how often each operation occurs, constants left out.
        version: the package's specification version: 7 for iOS 16, 8 for 17, 9 for 18.
    """

    inputs: dict[str, tuple[int, ...]]
    operators: Counter[str]
    version: int
    _block: Any
    _weights: bytes

    @classmethod
    def read(cls, package: Path, name: str = "main") -> Program:
        """Read a function of a package, not yet its weights' values.

        Raises:
            ExportError: this is no package with an ML program, or it has no such function.
        """
        from coremltools.proto import Model_pb2
        from google.protobuf.message import DecodeError

        model = Model_pb2.Model()
        try:
            model.ParseFromString((package / _MODEL).read_bytes())
        except (OSError, DecodeError) as error:
            raise ExportError(f"{package} is no Core ML package: {_MODEL} is missing or broken") from error
        if not model.mlProgram.functions:
            raise ExportError(f"{package} holds a Core ML network of the old kind, not an ML program")
        if name not in model.mlProgram.functions:
            raise ExportError(
                f"{package} has no function {name}; it has {', '.join(sorted(model.mlProgram.functions))}"
            )
        function = model.mlProgram.functions[name]
        block = function.block_specializations[function.opset]
        weights = package / _WEIGHTS
        return cls(
            inputs={entry.name: _shape(entry.type) for entry in function.inputs},
            operators=Counter(operation.type for operation in block.operations if operation.type != "const"),
            version=int(model.specificationVersion),
            _block=block,
            _weights=weights.read_bytes() if weights.exists() else b"",
        )

    def run(self, inputs: Mapping[str, np.ndarray], *, rounding: bool = True) -> dict[str, np.ndarray]:
        """See `run_package`.

        Raises:
            UnknownOperationError: an operation is not known here.
            ExportError: the program is broken, or the inputs are others than it takes.
        """
        values: dict[str, Any] = {}
        for name, shape in self.inputs.items():
            if name not in inputs or tuple(inputs[name].shape) != shape:
                shape_given = "nothing" if name not in inputs else "x".join(map(str, inputs[name].shape))
                raise ExportError(f"input {name!r} takes {'x'.join(map(str, shape))}, not {shape_given}")
            values[name] = torch.from_numpy(np.array(inputs[name])).float()
        outputs = list(self._block.outputs)
        last_read = self._last_read(outputs)
        with torch.no_grad():
            for index, operation in enumerate(self._block.operations):
                self._step(operation, values, rounding)
                for name in last_read.get(index, ()):
                    del values[name]
        return {name: values[name].float().numpy() for name in outputs}

    def _step(self, operation: Any, values: dict[str, Any], rounding: bool) -> None:
        attributes = {name: self._value(value) for name, value in operation.attributes.items() if name != "name"}
        if operation.type == "const":
            results = (attributes["val"],)
        else:
            if operation.type not in OPERATORS:
                name = operation.outputs[0].name
                raise UnknownOperationError(
                    f"Core ML's operation {operation.type!r} ({name}) is not known to this evaluator"
                )
            arguments = {name: self._argument(argument, values) for name, argument in operation.inputs.items()}
            try:
                results = OPERATORS[operation.type](**attributes, **arguments)
            except NotImplementedError as error:
                raise UnknownOperationError(
                    f"Core ML's operation {operation.type!r} ({operation.outputs[0].name}) with {error} is not known "
                    "to this evaluator"
                ) from error
            except (RuntimeError, TypeError, ValueError, KeyError) as error:
                raise ExportError(
                    f"Core ML's operation {operation.type!r} ({operation.outputs[0].name}) cannot be run: {error}"
                ) from error
            results = results if isinstance(results, tuple) else (results,)
        for declared, result in zip(operation.outputs, results, strict=True):
            if isinstance(result, Tensor) and operation.type != "const":
                _check_shape(operation, declared, result)
                if rounding and declared.type.tensorType.dataType == _FLOAT16:
                    result = result.half().float()
            values[declared.name] = result

    def _argument(self, argument: Any, values: dict[str, Any]) -> Any:
        """What one argument stands for: a value, or a list of them."""
        items = [
            values[binding.name] if binding.WhichOneof("binding") == "name" else self._value(binding.value)
            for binding in argument.arguments
        ]
        return items[0] if len(items) == 1 else items

    def _value(self, value: Any) -> Any:
        """Floats as float32 tensors, integers as int64, truth values as bool, text as str."""
        kind, shape = value.type.tensorType.dataType, _shape(value.type)
        if value.WhichOneof("value") == "blobFileValue":
            return _tensor(self._stored(value.blobFileValue.offset, kind, shape))
        tensor = value.immediateValue.tensor
        held = tensor.WhichOneof("value")
        if held is None:
            return _tensor(np.zeros(shape))
        if kind == _STRING:
            return str(tensor.strings.values[0])
        if held == "bytes":
            return _tensor(_decoded(tensor.bytes.values, kind, shape))
        return _tensor(np.array(getattr(tensor, held).values).reshape(shape))

    def _stored(self, offset: int, kind: int, shape: tuple[int, ...]) -> np.ndarray:
        if offset + _HEADER.size > len(self._weights):
            raise ExportError(f"the weight file ends before the tensor at byte {offset}")
        sentinel, _, size, start = _HEADER.unpack_from(self._weights, offset)
        if sentinel != _SENTINEL or start + size > len(self._weights):
            raise ExportError(f"the weight file is broken at byte {offset}")
        return _decoded(self._weights[start : start + size], kind, shape)

    def _last_read(self, kept: list[str]) -> dict[int, list[str]]:
        """By index of an operation, the names that no later one reads."""
        last: dict[str, int] = {}
        for index, operation in enumerate(self._block.operations):
            read = [binding.name for argument in operation.inputs.values() for binding in argument.arguments]
            for name in [*read, *(output.name for output in operation.outputs)]:
                if name:
                    last[name] = index
        names: dict[int, list[str]] = {}
        for name, index in last.items():
            if name not in kept:
                names.setdefault(index, []).append(name)
        return names


def _shape(type_: Any) -> tuple[int, ...]:
    return tuple(int(dimension.constant.size) for dimension in type_.tensorType.dimensions)


def _decoded(data: bytes, kind: int, shape: tuple[int, ...]) -> np.ndarray:
    """Stored bytes as numbers; integers smaller than a byte lie side by side, the lowest bits first."""
    count = int(np.prod(shape))
    if kind in _WHOLE:
        numbers = np.frombuffer(data, _WHOLE[kind])
    elif kind in _BITS:
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[: count * _BITS[kind]]
        numbers = bits.reshape(-1, _BITS[kind]).astype(np.int64) @ (1 << np.arange(_BITS[kind]))
        if kind == _INT4:
            numbers = np.where(numbers > 7, numbers - 16, numbers)
    else:
        raise ExportError(f"Core ML's data type {kind} is not known to this evaluator")
    if len(numbers) != count:
        raise ExportError(f"a constant of {count} numbers is stored as {len(numbers)}")
    return numbers.reshape(shape)


def _tensor(array: np.ndarray) -> Tensor:
    if array.dtype == bool:
        return torch.from_numpy(array.copy())
    return torch.from_numpy(array.astype(np.float32 if array.dtype.kind == "f" else np.int64))


def _check_shape(operation: Any, declared: Any, result: Tensor) -> None:
    shape = _shape(declared.type)
    if tuple(result.shape) != shape:
        raise ExportError(
            f"Core ML's operation {operation.type!r} ({declared.name}) declares {shape} and computes "
            f"{tuple(result.shape)}"
        )
