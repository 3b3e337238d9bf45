"""Sample pictures of a training: an overview while it runs, and the rows that the report shows."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from pocketgan.training.data.samples import Pictures
    from pocketgan.training.programs import Program

SAMPLE_ROWS = 4


def overview(program: Program, val: Pictures, device: torch.device) -> np.ndarray:
    """input | target | output of a few validation images."""
    from pocketgan.training.data.images import grid

    rows = []
    for index in _spread(min(SAMPLE_ROWS, len(val)), len(val)):
        pair = val.whole(index)
        rows.append([*_columns(val, {**pair, "output": program.output(pair["input"][None].to(device))[0]}).values()])
    return grid(rows)


def _columns(val: Pictures, images: Mapping[str, Tensor], target: str = "target") -> dict[str, np.ndarray]:
    """Pixels of a row of pictures; an unpaired target is unrelated and left out."""
    from pocketgan.training.data.images import to_pixels

    shown = {name: image for name, image in images.items() if val.paired or name != "target"}
    return {
        target if name == "target" else name: val.view(image) if name == "input" else to_pixels(image)
        for name, image in shown.items()
    }


def write_samples(
    folder: Path,
    val: Pictures,
    whole: Sequence[dict[str, Tensor]],
    networks: Mapping[str, nn.Module],
    target: str = "target",
) -> None:
    """`rows/<i>/<column>.png` for the report: whole photos where there are any, then validation images.

    Args:
        target: the column of the targets.
    """
    import torch

    from pocketgan.pictures import write_image

    rows = [*whole[: SAMPLE_ROWS // 2]]
    count = min(SAMPLE_ROWS - len(rows), len(val))
    rows += [val.whole(index) for index in _spread(count, len(val))]
    for row, images in enumerate(rows):
        with torch.no_grad():
            for name, network in networks.items():
                images[name] = network(images["input"][None].to(device_of(network)))[0]
        for name, pixels in _columns(val, images, target).items():
            write_image(folder / "rows" / str(row) / f"{name}.png", pixels)


def _spread(count: int, images: int) -> list[int]:
    """Numbers of images all over a set, one further each time: built-in crops go round the photos."""
    return [(row * images // count + row) % images for row in range(count)]


def device_of(network: nn.Module) -> torch.device:
    """Where a network lies; the CPU of one without parameters."""
    import torch

    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


def read_samples(folder: Path) -> list[dict[str, str]]:
    """The rows that a training stage left, PNG in base64 by column."""
    rows = []
    for row in sorted((folder / "rows").glob("*")):
        rows.append({p.stem: base64.b64encode(p.read_bytes()).decode() for p in sorted(row.glob("*.png"))})
    return rows
