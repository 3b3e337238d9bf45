"""What a teacher that is no network of ours must be: one picture in, one picture of the same size out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pocketgan.errors import ModelError
from pocketgan.fitting import Size
from pocketgan.foreign.output_range import Range

if TYPE_CHECKING:
    from pocketgan.bundle.manifest import Entry, Origin


def must_take_pictures(called: str, inputs: Sequence[tuple[str, list[Any], str]], size: Size) -> None:
    """Raises ModelError where what an ONNX model declares is no picture of that size."""
    if len(inputs) != 1:
        names = ", ".join(name for name, *_ in inputs) or "none"
        raise ModelError(f"{called} takes {len(inputs)} inputs ({names}); a teacher takes one picture")
    _, shape, _ = inputs[0]
    described = "x".join("?" if one is None else str(one) for one in shape)
    if len(shape) != 4:
        raise ModelError(f"{called} takes {described}; a teacher takes one picture: 1x3xHxW or 1xHxWx3")
    fixed = [one if isinstance(one, int) and one > 0 else None for one in shape]
    if fixed[0] not in (None, 1):
        raise ModelError(f"{called} takes batches of {fixed[0]}; export it again for one picture")
    channels, sides = (fixed[3], fixed[1:3]) if fixed[1] != 3 and fixed[3] == 3 else (fixed[1], fixed[2:])
    if channels not in (None, 3):
        raise ModelError(f"{called} takes {channels} channels ({described}); a teacher takes pictures, which have 3")
    taken = tuple(side or asked for side, asked in zip(sides, size, strict=True))
    must_be_of_size(called, (taken[0], taken[1]), size)


def must_be_of_size(called: str, taken: Size, asked: Size) -> None:
    """Raises ModelError where a network takes another (height, width) in pixels than is asked."""
    if taken != asked:
        raise ModelError(
            f"{called} takes pictures of {taken[1]}x{taken[0]} pixels alone, not {asked[1]}x{asked[0]}: set "
            f"{size_fields(taken)}"
        )


def size_fields(taken: Size | None) -> str:
    """Where a size is said."""
    if taken is None:
        return "`resolution` in the recipe, --size in `pairs make`"
    if taken[0] == taken[1]:
        return f"`resolution: {taken[0]}` in the recipe, --size {taken[0]} in `pairs make`"
    return f"`resolution: [{taken[0]}, {taken[1]}]` in the recipe (`pairs make` makes squares alone)"


def must_give_a_picture(called: str, entry: Entry) -> None:
    """Raises ModelError where the outputs of a packed ONNX model are no picture."""
    outputs = entry.components[0].outputs
    if len(outputs) != 1:
        names = ", ".join(one.name for one in outputs)
        raise ModelError(f"{called} gives {len(outputs)} outputs ({names}); a teacher gives one picture")
    shape = outputs[0].shape
    if len(shape) != 4 or shape[0] != 1 or not {shape[1], shape[3]} & {1, 3}:
        described = "x".join(map(str, shape))
        raise ModelError(f"{called} gives {described}; a teacher gives one picture, of 3 channels or a grey one of 1")


def must_not_be_told(origin: Origin, value_range: Range | None) -> None:
    """Raises ModelError where a range is said of what says its own."""
    if value_range is not None:
        raise ModelError(
            f"{origin.file} says its range itself; --range and `teacher.range` are for ONNX files and functions, "
            "leave them out"
        )


def tell_range(suggested: Range | None) -> str:
    """What to do, where the outputs suggest another range, or none that is known."""
    if suggested is None:
        return (
            "no range that networks have holds them: where they are normalised by a mean and a deviation (ImageNet's), "
            "give a function that undoes it before and behind the network"
        )
    low, high = suggested
    told = f"say the network's range: --range {pair_of(suggested)}, in a recipe `teacher.range: [{low:g}, {high:g}]`"
    return told + (" (or -1, 1 if its pictures are as bright as that)" if suggested == (0, 1) else "")


def pair_of(black_to_white: Range) -> str:
    """As --range takes it."""
    return f"{black_to_white[0]:g},{black_to_white[1]:g}"
