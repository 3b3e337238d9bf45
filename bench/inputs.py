"""What an entry takes: times of different input sizes say nothing of each other."""

from __future__ import annotations

from collections.abc import Sequence

from pocketgan.bundle.manifest import Entry, TensorSpec


def input_types(entry: Entry, component: str | None = None) -> str:
    """Shapes and types of everything that the entry, or one component of it, takes: "1x3x256x256 float32"."""
    return ", ".join(f"{_shape(spec.shape)} {spec.dtype}" for spec in _inputs(entry, component))


def input_size(entry: Entry, component: str | None = None) -> str:
    """For tables: shapes without the batch, of the pictures where there are any: "3x256x256"."""
    specs = _inputs(entry, component)
    pictures = [spec for spec in specs if spec.colour_space is not None]
    sizes = [_shape(spec.shape[1:] if len(spec.shape) > 1 and spec.shape[0] == 1 else spec.shape) for spec in specs]
    shown = [size for spec, size in zip(specs, sizes, strict=True) if spec in (pictures or specs)]
    return ", ".join(dict.fromkeys(shown))


def _inputs(entry: Entry, component: str | None) -> list[TensorSpec]:
    return [spec for one in entry.components if component in (None, one.name) for spec in one.inputs]


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
