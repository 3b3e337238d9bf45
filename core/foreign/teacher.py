"""Teachers that pocketgan did not train: an ONNX file, a bundle, a function of the user's own, a model file.

They are known by the pictures that they draw, one at a time; nothing of what is inside them is used.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from pocketgan import console
from pocketgan.bundle.manifest import Origin, TensorSpec
from pocketgan.errors import DataError, ModelError, require
from pocketgan.files import sha256_file
from pocketgan.fitting import Size
from pocketgan.foreign.output_range import ASSUMED, OutputRange, Range
from pocketgan.foreign.teacher_checks import (
    must_be_of_size,
    must_give_a_picture,
    must_not_be_told,
    must_take_pictures,
    pair_of,
    size_fields,
    tell_range,
)
from pocketgan.scratch import scratch_folder

if TYPE_CHECKING:
    from torch import nn

Kind = Literal["onnx", "bundle", "function", "weights"]
KINDS = "FILE.onnx, FILE.pgb, FILE.safetensors or package.module:function"
Compute = Callable[[np.ndarray], np.ndarray]
# Standard deviation in levels of 255 below which a picture is one colour, and mean difference of two that are equal.
_ONE_COLOUR, _EQUAL = 3.0, 1.0


class ForeignTeacher:
    """An open teacher, made by `open_teacher`.

    Attributes:
        origin: what it is and where it comes from.
        bundle: of an ONNX file, packed for drawing (its golden outputs are its runtime's own) and gone with the
            teacher; of a bundle, the file itself; None for others.
    """

    def __init__(
        self, origin: Origin, size: Size, compute: Compute, output: TensorSpec, seen: OutputRange, bundle: Path | None
    ) -> None:
        self.origin, self.bundle = origin, bundle
        self._size, self._compute, self._output, self._seen = size, compute, output, seen
        self._drawn = self._one_coloured = self._unchanged = 0

    def draw(self, pictures: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Draw pictures, (h, w, 3) uint8 RGB of the size that the teacher was opened for, one for each.

        The first few are held back until their values were looked at.

        Raises:
            DataError: a picture of another size.
            ModelError: the range of the values is another than the teacher was opened with, or they are no numbers.
        """
        from pocketgan.bench.runners.picture import to_picture

        waiting: list[np.ndarray] = []
        for picture in pictures:
            if picture.shape != (*self._size, 3) or picture.dtype != np.uint8:
                raise DataError(f"{self.origin.file} draws uint8 pictures of {(*self._size, 3)}, not {picture.shape}")
            values = self._compute(picture)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise ModelError(f"{self.origin.file} gives values that are not finite numbers")
            drawn = to_picture(values, self._output)
            drawn = np.repeat(drawn, 3, axis=2) if drawn.shape[2] == 1 else drawn
            self._compare(picture, drawn)
            waiting.append(drawn)
            if values.dtype.kind == "f" and not self._seen.decided:
                self._seen.see(values)
                if not self._seen.decided:
                    continue
                self._seen.check()
            yield from waiting
            waiting.clear()
        if waiting:
            self._seen.check()
            yield from waiting

    def _compare(self, picture: np.ndarray, drawn: np.ndarray) -> None:
        if _is_one_colour(picture):
            return  # it tells nothing of the teacher
        self._drawn += 1
        self._one_coloured += _is_one_colour(drawn)
        self._unchanged += bool(np.abs(picture.astype(np.int16) - drawn).mean() < _EQUAL)

    def note_what_it_drew(self) -> None:
        """Say so where there is nothing to learn from any picture that it drew."""
        if self._drawn and self._one_coloured == self._drawn:
            console.note(
                f"teacher: {self.origin.file} drew one colour, or nearly, in every picture; there is nothing to learn "
                "from it: is its range right, and is it trained?"
            )
        elif self._drawn and self._unchanged == self._drawn:
            console.note(
                f"teacher: {self.origin.file} gave every picture back as it was; a student of it learns to do nothing"
            )


@contextmanager
def open_teacher(name: str, size: Size, *, value_range: Range | None = None) -> Iterator[ForeignTeacher]:
    """Open a teacher for pictures of one size; what it is, is found out before anything is drawn.

    Args:
        name: an ONNX file, a bundle, a model file, or `package.module:function`, whose module runs in eval mode.
        size: (height, width) in pixels of the pictures that it draws.
        value_range: what black and white are to an ONNX file or a function, in and out; where None, -1 and 1 are
            assumed, and doubted by the first pictures. Bytes are 0 and 255; bundles and model files say it themselves.
    Raises:
        ModelError, BundleError: there is no such teacher, or it does not turn pictures of that size into such.
        MissingExtraError: what runs it is not installed.
    """
    if value_range is not None and not value_range[0] < value_range[1]:
        raise ModelError(f"a range is black and white, such as 0,255, not {value_range[0]:g},{value_range[1]:g}")
    with _OPENERS[_kind(name)](name, size, value_range) as teacher:
        yield teacher
        teacher.note_what_it_drew()


def teacher_files(name: str) -> list[Path]:
    """The files whose content says what the teacher draws: itself, and those that an ONNX file names.

    Raises:
        ModelError, BundleError: there is no such teacher.
    """
    if _kind(name) == "function":
        from pocketgan.training.generators.own import source_file

        return [source_file(name)]
    path = _file(name)
    if path.suffix.lower() != ".onnx":
        return [path]
    from pocketgan.bundle.damage import reading
    from pocketgan.bundle.onnx_data import named_files

    with reading(path):
        return [path, *(path.parent / named for named in named_files(path))]


def origin_of(name: str) -> Origin:
    """What a teacher is and where it comes from; nothing of it is run. Raises as `teacher_files`."""
    kind = _kind(name)
    if kind != "function":
        path = _file(name)
        return Origin(kind=kind, file=path.name, sha256=sha256_file(path))
    (source,) = teacher_files(name)
    return Origin(kind=kind, file=name, sha256=sha256_file(source) if source.is_file() else None)


def short_name(name: str) -> str:
    """What a teacher's pictures may be called after it: the file's stem, or the function's name."""
    from pocketgan.bundle.naming import bundle_name

    return bundle_name(None, name.rpartition(":")[2] if _kind(name) == "function" else Path(name).stem)


def _kind(name: str) -> Kind:
    known: dict[str, Kind] = {".onnx": "onnx", ".pgb": "bundle", ".safetensors": "weights"}
    suffix = Path(name).suffix.lower()
    if suffix in known:
        return known[suffix]
    if re.fullmatch(r"[\w.]+:\w+", name):
        return "function"
    from pocketgan.export.not_models import advice

    raise ModelError(advice(name) or f"there is no teacher {name!r}: give {KINDS}")


def _file(name: str) -> Path:
    path = Path(name)
    if not path.is_file():
        raise ModelError(f"there is no teacher {name}; it is looked for from {Path.cwd()}")
    return path


@contextmanager
def _open_onnx(name: str, size: Size, value_range: Range | None) -> Iterator[ForeignTeacher]:
    from pocketgan.bundle.naming import bundle_name
    from pocketgan.foreign.onnx_inputs import onnx_inputs
    from pocketgan.foreign.packing import pack_foreign

    origin, path = origin_of(name), Path(name)
    must_take_pictures(origin.file, onnx_inputs(path), size)
    with scratch_folder() as folder:
        packed = folder / "teacher.pgb"
        pack_foreign(
            "onnx",
            path,
            packed,
            name=bundle_name(None, path.stem),
            precision="fp32",
            input_shape=(3, *size),
            value_range=value_range or ASSUMED,
            with_reference=False,
        )
        with _opened_bundle(packed, origin, size, value_range is not None, tell_range) as teacher:
            yield teacher


@contextmanager
def _open_bundle(name: str, size: Size, value_range: Range | None) -> Iterator[ForeignTeacher]:
    origin = origin_of(name)
    must_not_be_told(origin, value_range)

    def hint(suggested: Range | None) -> str:
        option = "its own --range" if suggested is None else f"--range {pair_of(suggested)}"
        return f"the bundle says another range than its model has: pack the model again, with {option}"

    with _opened_bundle(Path(name), origin, size, True, hint) as teacher:
        yield teacher


@contextmanager
def _opened_bundle(
    path: Path, origin: Origin, size: Size, said: bool, hint: Callable[[Range | None], str]
) -> Iterator[ForeignTeacher]:
    from pocketgan.bench.check import input_size, loaded_entry, picture_output, runnable_entries_on_pictures
    from pocketgan.bundle.reader import open_bundle

    with open_bundle(path) as bundle:
        if origin.kind == "onnx":
            must_give_a_picture(origin.file, bundle.manifest.entries[0])
        # What was not rounded, whatever its runtime: pictures are drawn once and learned from for long.
        entry = min(runnable_entries_on_pictures(bundle), key=lambda one: one.precision != "fp32")
        must_be_of_size(origin.file, input_size(entry), size)
        output = picture_output(entry)
        made = _size_of(output)
        if made != size:
            raise ModelError(
                f"{origin.file} makes {made[1]}x{made[0]} pixels of {size[1]}x{size[0]}; a teacher keeps the size "
                "(networks that enlarge are none)"
            )
        seen = OutputRange(origin.file, output.value_range or ASSUMED, said, hint)
        with loaded_entry(bundle, entry, _threads()) as compute:
            yield ForeignTeacher(origin, size, compute, output, seen, path)


@contextmanager
def _open_function(name: str, size: Size, value_range: Range | None) -> Iterator[ForeignTeacher]:
    require("train", "torch")
    from pocketgan.training.generators.own import call_function, check_maps_pictures, source_file

    origin = origin_of(name)
    console.note(f"teacher: calling {name}, a function of {source_file(name)}")
    module = call_function(name, seed=0)
    check_maps_pictures(module, name, (3, *size))
    yield _of_module(origin, module, size, value_range)


@contextmanager
def _open_model_file(name: str, size: Size, value_range: Range | None) -> Iterator[ForeignTeacher]:
    require("train", "torch", "safetensors")
    from pocketgan.training.generators import check
    from pocketgan.training.generators.files import load_generator

    origin = origin_of(name)
    must_not_be_told(origin, value_range)
    loaded = load_generator(Path(name))
    spec = loaded.spec
    if (spec.input_channels, spec.output_channels) != (3, 3):
        raise ModelError(
            f"{origin.file} makes {spec.output_channels} channels of {spec.input_channels}; a teacher makes 3 of 3"
        )
    try:
        check(spec.at(*size))
    except ModelError as error:
        raise ModelError(f"{origin.file}: {error}; change {size_fields(None)}") from error
    yield _of_module(origin, loaded.module, size, ASSUMED)


def _of_module(origin: Origin, module: nn.Module, size: Size, value_range: Range | None) -> ForeignTeacher:
    import torch

    from pocketgan.bench.runners.picture import to_tensor

    black_to_white = value_range or ASSUMED
    contract = TensorSpec(
        name="picture",
        shape=[1, 3, *size],
        layout="NCHW",
        dtype="float32",
        value_range=black_to_white,
        colour_space="RGB",
    )
    module.eval()

    def compute(picture: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            values: np.ndarray = module(torch.from_numpy(to_tensor(picture, contract))).float().numpy()
        return values

    seen = OutputRange(origin.file, black_to_white, value_range is not None, tell_range)
    return ForeignTeacher(origin, size, compute, contract, seen, None)


_OPENERS: dict[Kind, Callable[[str, Size, Range | None], AbstractContextManager[ForeignTeacher]]] = {
    "onnx": _open_onnx,
    "bundle": _open_bundle,
    "function": _open_function,
    "weights": _open_model_file,
}


def _size_of(output: TensorSpec) -> Size:
    height, width = output.shape[1:3] if output.layout == "NHWC" else output.shape[2:4]
    return height, width


def _is_one_colour(picture: np.ndarray) -> bool:
    return bool(picture.std(axis=(0, 1)).max() < _ONE_COLOUR)


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
