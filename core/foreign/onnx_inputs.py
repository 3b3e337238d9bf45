"""What an ONNX model takes: its inputs, with what is open in their shapes filled as the user says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketgan.bundle.damage import reading
from pocketgan.bundle.onnx_data import named_files
from pocketgan.errors import BundleError

Shape = tuple[int, ...]


@dataclass
class AskedShapes:
    """What the user says of inputs: of the first open one, and by name."""

    first: Shape | None
    by_name: dict[str, Shape]

    @property
    def given(self) -> bool:
        return self.first is not None or bool(self.by_name)

    def of(self, name: str, declared: Sequence[Any]) -> Shape | None:
        """What was said of this input, which is used up."""
        if name in self.by_name:
            return self.by_name.pop(name)
        if all(isinstance(one, int) and one > 0 for one in declared):
            return None
        asked, self.first = self.first, None
        return asked


def onnx_inputs(file: Path) -> list[tuple[str, list[int | str | None], str]]:
    """Name, shape and type of what an ONNX model says that it takes; an open size is a word or None.

    Raises:
        BundleError: it is missing, is no model, or names files that do not lie in its folder.
    """
    if not file.is_file():
        raise BundleError(f"there is no {file}")
    with reading(file):
        named_files(file)
    try:
        inputs = open_session(file, optimise=False).get_inputs()
    except Exception as error:  # the runtime raises whatever it likes
        reason = " ".join(str(error).split()).replace(str(file), file.name)
        raise BundleError(f"{file}: onnx cannot run it here: {reason[:300]}") from error
    return [(one.name, list(one.shape), one.type) for one in inputs]


def onnx_shapes(file: Path, input_shape: Shape | None = None) -> dict[str, Shape]:
    """The shapes of an ONNX model's inputs, its first open one as the user says (see `pack_foreign`).

    Raises:
        BundleError: as `onnx_inputs`, or a shape is open that nobody says, or another than the user says.
    """
    return {name: shape for name, shape, _ in closed_inputs(onnx_inputs(file), AskedShapes(input_shape, {}))}


def closed_inputs(
    there: Sequence[tuple[str, list[int | str | None], str]], shapes: AskedShapes
) -> list[tuple[str, Shape, str]]:
    """(name, shape, type) of each input, its shape without anything open.

    Raises:
        BundleError: a shape is open that nobody says, or another than the user says.
    """
    inputs = [(name, _filled(shape, shapes.of(name, shape), name), kind) for name, shape, kind in there]
    if shapes.first is not None and there:
        name, shape, _ = there[0]
        _filled(shape, shapes.first, name)  # it says what the model says, or is refused
    return inputs


def open_session(file: Path, optimise: bool = True) -> Any:
    """ONNX Runtime's session of the file on the CPU; it raises whatever the runtime does."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _filled(shape: Sequence[Any], asked: Shape | None, name: str) -> Shape:
    """The shape with what is open in it (None or a word) filled: a batch of one, the rest as the user says."""
    described = "x".join("?" if one is None else str(one) for one in shape)
    filled = [1 if index == 0 and not isinstance(one, int) else one for index, one in enumerate(shape)]
    if asked is not None:
        for whole in _whole(asked, len(shape)):
            if all(size == one for size, one in zip(whole, filled, strict=True) if isinstance(one, int) and one > 0):
                return whole
        raise BundleError(f"input {name} is {described}, which {'x'.join(map(str, asked))} does not fit")
    if not all(isinstance(one, int) and one > 0 for one in filled):
        example = "3x256x256" if len(shape) == 4 else "x".join(["1", *["256"] * (len(shape) - 1)])
        raise BundleError(
            f"input {name} is open ({described}): say its shape with --input {example}, or of several inputs "
            f"{name}={example}"
        )
    return tuple(filled)


def _whole(asked: Shape, rank: int) -> list[Shape]:
    """What a shape may stand for: all that is declared, or channels, height and width of one picture, whichever way
    round the model has them."""
    if len(asked) == 3 and rank == 4:
        channels, height, width = asked
        return [(1, channels, height, width), (1, height, width, channels)]
    return [asked] if len(asked) == rank else []
