"""`pocketgan export --lint`: what of a model leaves the accelerators, as a page for people or as JSON."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pocketgan import console

if TYPE_CHECKING:
    from pocketgan.export.lint import Fall, Reading

_NARROWEST, _WIDEST = 60, 120
_INDENT = "    "
# Paths of modules that are named; more are counted.
_PLACES = 3
_CAVEATS = {
    "coreml": "Core ML decides on the device; this is what is known to fall, and Xcode's performance report has the"
    " last word. Float32 programs never run on the Neural Engine: keep fp16, the default.",
    "onnx": "What a provider leaves runs on ONNX Runtime's own CPU kernels.",
}


def show_lint(model: str, shape: tuple[int, int, int] | None, ngf: int | None, target: str) -> None:
    """Read the model for every target (with commas between), and show what was found.

    Raises:
        PocketganError: the model cannot be loaded or traced, or nothing is known of a target.
    """
    from pocketgan.errors import require

    require("export", "torch", "safetensors")
    import torch

    from pocketgan.export.lint import lint
    from pocketgan.export.source import load_source, parse_source
    from pocketgan.targets import pairs

    targets = list(dict.fromkeys(name for name, _ in pairs(target.split(","), None)))
    loaded = load_source(parse_source(model, shape, ngf))
    example = (torch.zeros(1, *loaded.shape),)
    readings_by_target = {}
    with console.progress("lint", len(targets)) as progress:
        for target in targets:
            readings_by_target[target] = lint(loaded.module, target, example)
            progress.advance(1, target)
    payload = {
        target: {
            accelerator: {"plain": plain.to_json(), "exported": exported.to_json()}
            for accelerator, (plain, exported) in readings.items()
        }
        for target, readings in readings_by_target.items()
    }
    width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
    console.result(
        payload, "\n\n".join(_page(target, readings, width) for target, readings in readings_by_target.items())
    )


def _page(target: str, readings: Mapping[str, tuple[Reading, Reading]], width: int) -> str:
    lines = []
    for accelerator, (plain, exported) in readings.items():
        lines.append(f"{target} · {accelerator}")
        if exported.error is not None:
            lines += [*_wrapped(f"cannot be exported: {exported.error}", width, "  ", _INDENT), ""]
            continue
        lines += _wrapped(f"plainly   {_share(plain)}", width, "  ", " " * 12)
        lines += _wrapped(f"exported  {_share(exported)}", width, "  ", " " * 12)
        kept = {fall.layer for fall in exported.falls}
        gone = [f"{fall.layer} ({fall.count})" for fall in plain.falls if fall.layer not in kept]
        if gone:
            lines += _wrapped(f"rewritten {', '.join(gone)}", width, "  ", " " * 12)
        for fall in exported.falls:
            lines += _fall(fall, width)
        if exported.unchecked:
            lines += _wrapped(f"depends on attributes: {', '.join(exported.unchecked)}", width, "  ", _INDENT)
        lines.append("")
    if target in _CAVEATS:
        lines += [*_wrapped(_CAVEATS[target], width, "", ""), ""]
    return "\n".join(lines[:-1])


def _share(reading: Reading) -> str:
    if reading.error is not None:
        return f"not at all: {reading.error}"
    pieces = {0: "no subgraph", 1: "one subgraph"}.get(reading.subgraphs, f"{reading.subgraphs} subgraphs")
    # Never 100 % while something is left.
    percent = int(100 * reading.fraction) if reading.falls else 100
    return f"{percent:3d} % of {reading.total} operators in {pieces}"


def _fall(fall: Fall, width: int) -> list[str]:
    places = [place or "the model itself" for place in fall.where]
    more = f" and {len(places) - _PLACES} more" if len(places) > _PLACES else ""
    observed = f" ({fall.since}; {fall.source})" if fall.source else ""
    return [
        *_wrapped(f"- {fall.layer}, {_times(fall.count)}: {', '.join(places[:_PLACES])}{more}", width, "  ", _INDENT),
        *_wrapped(f"why:    {fall.why}{observed}", width, _INDENT, _INDENT + " " * 8),
        *_wrapped(f"change: {fall.change}", width, _INDENT, _INDENT + " " * 8),
    ]


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _wrapped(text: str, width: int, first: str, later: str) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )
