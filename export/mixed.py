"""Mixed precision: the smallest and fastest file that meets a floor.

Each layer's rounding is measured alone; the errors of layers add up, nearly. Layers are moved to higher precisions in
the order of what that buys for what it costs, and the real file is written and run until the first that meets the floor
is found: the prediction says where to look, the file decides.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from pocketgan.bundle.manifest import Trial
from pocketgan.errors import ExportError, ParityError
from pocketgan.export.layers import Layer, layers_of, rounding_noise
from pocketgan.export.targets import Exported, Form, Target

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pocketgan.bundle.manifest import Parity
    from pocketgan.export.golden import Golden

_BITS = {"4bit": 4, "6bit": 6, "8bit": 8, "int8": 8, "fp16": 16, "fp32": 32}
# Each layer costs one run on each.
_IMAGES = 2
# Guesses from the prediction; after them the range is halved.
_GUESSES = 3


def export_mixed(
    target: Target,
    module: nn.Module,
    example: tuple[Tensor, ...],
    form: Form,
    *,
    golden: Golden,
    folder: Path,
    floor_db: float,
) -> tuple[Exported, np.ndarray, list[Trial]]:
    """Write to `folder` the smallest of `target`'s files that were found to meet the floor.

    Args:
        golden: as tensors.
    Returns:
        What was written, what it computes, and the files that were tried, the most compressed first.
    Raises:
        ExportError: this host cannot run the target's files, or the network has no layer with weights.
        ParityError: not even the highest precision meets the floor.
    """
    from pocketgan.export.parity import measure, run_file
    from pocketgan.export.tracing import trace

    contract = golden.to(form.io)
    graph = trace(module, example).module(check_guards=False)
    assert isinstance(graph, torch.fx.GraphModule)
    layers = layers_of(graph)
    if not layers:
        raise ExportError(f"{type(module).__name__} has no layer with weights whose precision could be chosen")
    activations = "int8" in target.ladder
    images = [torch.from_numpy(image) for image in golden.inputs[:_IMAGES]]
    noise = rounding_noise(graph, layers, _BITS[target.ladder[0]], images, activations=activations)
    steps = _upgrades(layers, target.ladder, noise)
    tried: dict[int, Trial] = {}
    smallest: tuple[int, Exported, np.ndarray] | None = None

    with tempfile.TemporaryDirectory(prefix="pocketgan-") as temporary:
        best = Path(temporary) / "best"

        def attempt(count: int) -> Parity:
            nonlocal smallest
            chosen = _precisions(layers, target.ladder, steps[:count])
            here = Path(temporary) / "trial"
            shutil.rmtree(here, ignore_errors=True)
            here.mkdir()
            exported = target.export(module, example, replace(form, layers=chosen), here)
            outputs = run_file(target.checked_by, here / exported.entry_point, list(contract.inputs))
            if outputs is None:
                raise ExportError(f"mixed precision needs {target.name}'s files to run on this host, which they do not")
            parity = measure(outputs, contract, floor_db, target.checked_by or target.runtime)
            low = sum(layer.macs for layer in layers if chosen[layer.name] != target.ladder[-1])
            tried[count] = Trial(
                layers=dict(Counter(chosen.values())),
                low_macs=low / sum(layer.macs for layer in layers),
                bytes=sum(file.stat().st_size for file in here.rglob("*") if file.is_file()),
                psnr_db=parity.psnr_db,
            )
            if parity.passed and (smallest is None or tried[count].bytes < smallest[0]):
                smallest = tried[count].bytes, exported, outputs
                shutil.rmtree(best, ignore_errors=True)
                here.rename(best)
            return parity

        _search(_predicted_db(target.ladder, steps, noise, golden.peak), floor_db, attempt)
        assert smallest is not None
        # What surrounds quantised layers may take more than they save.
        whole = sum(layer.weights for layer in layers) * _BITS[target.ladder[-1]] / 8
        if smallest[0] > whole and len(steps) not in tried:
            attempt(len(steps))
        for file in best.iterdir():
            shutil.move(file, folder / file.name)
    return smallest[1], smallest[2], [tried[count] for count in sorted(tried)]


def _upgrades(layers: Sequence[Layer], ladder: Sequence[str], noise: Sequence[float]) -> list[tuple[int, int]]:
    """Every step of every layer up the ladder, (layer, rung), those first that take away most noise for their cost."""
    weights, macs = sum(layer.weights for layer in layers), sum(layer.macs for layer in layers)

    def worth(index: int, rung: int) -> float:
        layer = layers[index]
        larger = (_BITS[ladder[rung]] - _BITS[ladder[rung - 1]]) / _BITS["fp32"] * layer.weights / weights
        slower = layer.macs / macs if ladder[rung] == "fp32" else 0.0
        return (_noise(ladder, rung - 1, noise[index]) - _noise(ladder, rung, noise[index])) / (larger + slower)

    waiting = dict.fromkeys(range(len(layers)), 1)
    steps = []
    while waiting:
        index = max(waiting, key=lambda index: worth(index, waiting[index]))
        steps.append((index, waiting[index]))
        waiting[index] += 1
        if waiting[index] == len(ladder):
            del waiting[index]
    return steps


def _noise(ladder: Sequence[str], rung: int, coarsest: float) -> float:
    """Half a step of rounding a bit more: a quarter of the noise; none at the highest precision."""
    if rung == len(ladder) - 1:
        return 0.0
    return coarsest * 4.0 ** (_BITS[ladder[0]] - _BITS[ladder[rung]])


def _precisions(layers: Sequence[Layer], ladder: Sequence[str], steps: Sequence[tuple[int, int]]) -> dict[str, str]:
    rungs = dict(steps)  # a layer's later steps come last
    return {layer.name: ladder[rungs.get(index, 0)] for index, layer in enumerate(layers)}


def _predicted_db(
    ladder: Sequence[str], steps: Sequence[tuple[int, int]], noise: Sequence[float], peak: float
) -> list[float]:
    """PSNR after so many steps, from none to all, if the layers' errors add up."""
    remaining = list(noise)
    errors = [sum(remaining)]
    for index, rung in steps:
        remaining[index] = _noise(ladder, rung, noise[index])
        errors.append(sum(remaining))
    return [10 * math.log10(peak**2 / error) if error > 0 else math.inf for error in errors]


def _search(predicted_db: Sequence[float], floor_db: float, attempt: Callable[[int], Parity]) -> int:
    """The fewest steps with which an attempt passes.

    Raises:
        ParityError: there are none.
    """
    last = len(predicted_db) - 1
    failed, passed, shift, tries = -1, last + 1, 0.0, 0
    while passed - failed > 1:
        guess = (failed + passed) // 2
        if tries < _GUESSES:
            guess = next((count for count, db in enumerate(predicted_db) if db + shift >= floor_db), last)
        count = min(max(guess, failed + 1), passed - 1)
        parity = attempt(count)
        psnr_db = parity.psnr_db
        if psnr_db is not None and math.isfinite(predicted_db[count]):
            shift = psnr_db - predicted_db[count]
        if parity.passed:
            passed = count
        elif count == last:
            raise ParityError(
                f"the floor of {floor_db:g} dB cannot be met: the highest precision reaches {psnr_db:.1f} dB; "
                "--floor sets a lower one"
            )
        else:
            failed = count
        tries += 1
    return passed
