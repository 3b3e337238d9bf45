"""`pocketgan export`: from a model to verified files, as a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketgan import console
from pocketgan.cli.options import Json

if TYPE_CHECKING:
    from pocketgan.bundle.manifest import Entry, Role

_TARGETS = "onnx, executorch-xnnpack, executorch-coreml, executorch-vulkan, executorch-qualcomm, coreml, coreai, torch"
_ROLES: dict[str, Role] = {"file": "student", "spec": "unpruned", "function": "foreign"}


def export(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model file, a generator name, or package.module:function.")
    ],
    target: Annotated[str, typer.Option("--target", help=f"Comma-separated: {_TARGETS}.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the unpacked bundle, or a .pgb file; whole or not there.")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            help="Comma-separated: fp32, fp16, int8, w8a8 (Core ML), 8bit, 6bit, 4bit, int4, mixed (least for "
            "--floor); each target's own default if left out.",
        ),
    ] = None,
    input: Annotated[
        str | None, typer.Option("--input", help="Input as channels x height x width, such as 3x256x256.")
    ] = None,
    ngf: Annotated[int | None, typer.Option("--ngf", help="Width of a named generator's first layer.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the bundle; the model's if left out.")] = None,
    calibration: Annotated[
        Path | None,
        typer.Option("--calibration", help="Folder of real inputs, for int8, w8a8 and mixed: photos, class maps."),
    ] = None,
    ios: Annotated[int | None, typer.Option("--ios", help="Oldest iOS for Core ML: 16, 17 or 18.")] = None,
    io: Annotated[
        str, typer.Option("--io", help="tensor (NCHW float in [-1, 1]), image (uint8 RGB in and out), or both.")
    ] = "tensor",
    soc: Annotated[
        str | None, typer.Option("--soc", help="Chip for executorch-qualcomm, such as SM8750; SM8650 if left out.")
    ] = None,
    floor: Annotated[float | None, typer.Option("--floor", help="Parity floor in dB, for every entry.")] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Exporting processes at most; each takes 1.5 GB.")
    ] = 2,
    lint: Annotated[
        bool, typer.Option("--lint", help="Write nothing: say what leaves the accelerator, why, and what to change.")
    ] = False,
    json: Json = False,
) -> None:
    """Export a model to runtime files, and measure each against the model."""
    from pocketgan.errors import ExportError, require

    if json:
        console.use_json()
    require("export", "torch", "safetensors")
    from pocketgan.export.bundles import BundleRequest, export_bundle
    from pocketgan.export.calibration import load_calibration
    from pocketgan.export.source import parse_shape, parse_source, source_shape, source_spec
    from pocketgan.export.targets import pairs
    from pocketgan.training.cost import cost

    wanted = pairs(target.split(","), None if precision is None else precision.split(","))
    called = bundle_name(name, model)
    source = parse_source(model, None if input is None else parse_shape(input), ngf)
    if lint:
        from pocketgan.cli.lint import show_lint

        show_lint(source, list(dict.fromkeys(name for name, _ in wanted)))
        return
    if out is None:
        raise ExportError("export writes a bundle: say where with --out FOLDER or --out FILE.pgb (--lint writes none)")
    spec = source_spec(source)
    packed = out.suffix == ".pgb"
    folder = out.with_name(f".{out.name}.unpacked") if packed else out
    request = BundleRequest(
        model=source,
        folder=folder,
        name=called,
        role=_ROLES[source.kind],
        targets=wanted,
        io=contracts(io),
        cost=None if spec is None else cost(spec),
        calibration=None if calibration is None else load_calibration(calibration, source_shape(source)),
        ios=ios,
        soc=soc,
        floor=floor,
    )
    manifest = export_bundle(request, workers)
    if packed:
        _pack(folder, out)
    rows = [_row(entry) for entry in manifest.entries]
    columns = ("entry", "bytes", "parity", "max error", "delegated", "subgraphs")
    payload = {entry.id: _summary(entry, folder, out) for entry in manifest.entries}
    trade_offs = [_trade_off(entry) for entry in manifest.entries if entry.trade_off]
    console.result(payload, "\n".join([console.table(columns, rows), *trade_offs, str(out)]))


def contracts(text: str) -> list[str]:
    """`image,tensor` -> ["image", "tensor"].

    Raises:
        ExportError: it names something else.
    """
    from pocketgan.errors import ExportError
    from pocketgan.export.golden import IO

    found = list(dict.fromkeys(part.strip() for part in text.split(",")))
    if not set(found) <= set(IO):
        raise ExportError(f"--io is {' or '.join(IO)}, or both with a comma between, not {text!r}")
    return found


def bundle_name(name: str | None, model: str) -> str:
    """What the user said, or the model's last name; a bundle takes letters, digits, '.', '_' and '-'."""
    import re

    from pocketgan.errors import ExportError

    if name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", name):
        raise ExportError(
            f"--name takes letters, digits, '.', '_' and '-', and starts with one of the first two, not {name!r}"
        )
    if name is not None:
        return name
    last = model.rpartition(":")[2] if ":" in model else Path(model).name.removesuffix(".safetensors")
    return re.sub(r"[^A-Za-z0-9._-]", "-", last).lstrip("._-")[:128] or "model"


def _pack(folder: Path, out: Path) -> None:
    import shutil

    from pocketgan.bundle.packing import pack_folder

    try:
        pack_folder(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _summary(entry: Entry, folder: Path, out: Path) -> dict[str, Any]:
    point = entry.components[0].entry_point
    parity, delegation = entry.parity, entry.delegation
    return {
        "path": str(out if folder != out else folder / point),
        "bytes": entry.bytes,
        "parity": None
        if parity is None
        else {**parity.model_dump(include={"psnr_db", "max_abs_error", "ssim"}), "passed": parity.passed},
        "delegated_fraction": None if delegation is None else delegation.delegated_fraction,
        "subgraphs": None if delegation is None else delegation.subgraphs,
        **({"trade_off": [trial.model_dump() for trial in entry.trade_off]} if entry.trade_off else {}),
    }


def _trade_off(entry: Entry) -> str:
    """What was tried for mixed precision, the chosen file marked."""
    rows = [
        (
            "chosen" if trial.bytes == entry.bytes else "",
            ", ".join(f"{count} {precision}" for precision, count in sorted(trial.layers.items())),
            f"{trial.low_macs:.0%}",
            f"{trial.bytes:,}",
            "exact" if trial.psnr_db is None else f"{trial.psnr_db:.1f} dB",
        )
        for trial in entry.trade_off
    ]
    return console.table((entry.id, "layers", "MACs in low precision", "bytes", "parity"), rows)


def _row(entry: Entry) -> tuple[str, ...]:
    parity, delegation = entry.parity, entry.delegation
    measured = ("not here", "-")
    if parity is not None:
        value = "exact" if parity.psnr_db is None else f"{parity.psnr_db:.1f} dB"
        measured = (value if parity.passed else f"{value} FAILS", f"{parity.max_abs_error:.2g}")
    delegated = (f"{delegation.delegated_fraction:.0%}", str(delegation.subgraphs)) if delegation else ("-", "-")
    return (entry.id, f"{entry.bytes:,}", *measured, *delegated)
