"""`pocketgan export`: from a model to verified files, as a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketgan import console
from pocketgan.cli.options import Json, output_bundle
from pocketgan.targets import CALIBRATED, DEFAULT_SOC, IOS, PRECISIONS, TARGETS

if TYPE_CHECKING:
    from pocketgan.bundle.manifest import Entry, Manifest, Parity


def export(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model file, a generator name, or package.module:function.")
    ],
    target: Annotated[
        str, typer.Option("--target", help=f"Comma-separated: {', '.join(TARGETS)}.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            parser=output_bundle,
            metavar="PATH",
            help="Folder of the unpacked bundle, or a .pgb file; whole or not there.",
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            help=f"Comma-separated: {', '.join(PRECISIONS)} (mixed: the least that meets --floor); each target's own "
            "default if left out.",
        ),
    ] = None,
    input: Annotated[
        str | None, typer.Option("--input", help="Input as channels x height x width, such as 3x256x256.")
    ] = None,
    ngf: Annotated[int | None, typer.Option("--ngf", help="Width of a named generator's first layer.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the bundle; the model's if left out.")] = None,
    calibration: Annotated[
        Path | None,
        typer.Option("--calibration", help=f"Folder of real inputs, for {', '.join(CALIBRATED)}: photos, class maps."),
    ] = None,
    ios: Annotated[
        int | None, typer.Option("--ios", help=f"Oldest iOS for Core ML: {', '.join(map(str, IOS))}.")
    ] = None,
    io: Annotated[
        str, typer.Option("--io", help="tensor (NCHW float in [-1, 1]), image (uint8 RGB in and out), or both.")
    ] = "tensor",
    soc: Annotated[
        str | None,
        typer.Option("--soc", help=f"Chip for executorch-qualcomm, such as SM8750; {DEFAULT_SOC} if left out."),
    ] = None,
    floor: Annotated[float | None, typer.Option("--floor", help="Parity floor in dB, for every entry.")] = None,
    concepts: Annotated[
        Path | None,
        typer.Option(
            "--concepts",
            metavar="DIR",
            help="Folder of MODEL's adapters: one bundle draws all of their concepts, on shared weights.",
        ),
    ] = None,
    default: Annotated[
        str | None,
        typer.Option(
            "--default", metavar="NAME", help="Concept to draw where none is asked for; the first if left out."
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Exporting processes at most; each takes 1.5 GB.")
    ] = 2,
    lint: Annotated[
        bool, typer.Option("--lint", help="Write nothing: say what leaves the accelerator, why, and what to change.")
    ] = False,
    json: Json = False,
) -> None:
    """Export a model to runtime files, each measured.

    Parity is measured against the model itself. Where an entry cannot be written the others are; exit code 1.
    """
    from pocketgan import api
    from pocketgan.cli.models import size_of
    from pocketgan.errors import ExportError

    if json:
        console.use_json()
    if lint:
        from pocketgan.cli.lint import show_lint

        show_lint(model, size_of(input), ngf, target)
        return
    if out is None:
        raise ExportError("export writes a bundle: say where with --out FOLDER or --out FILE.pgb (--lint writes none)")
    written = api.export(
        model,
        target,
        out,
        precisions=precision,
        input=size_of(input),
        ngf=ngf,
        name=name,
        io=io,
        calibration=calibration,
        ios=ios,
        soc=soc,
        floor=floor,
        concepts=concepts,
        default=default,
        workers=workers,
    )
    entries = written.manifest.entries
    columns = ("entry", "bytes", "parity", "max error", "delegated", "subgraphs")
    trade_offs = [_trade_off(entry) for entry in entries if entry.trade_off]
    unchecked = [f"{entry.id}: not checked here, because {entry.unchecked}" for entry in entries if entry.unchecked]
    payload = {entry.id: _summary(entry, out) for entry in entries}
    for concept in written.manifest.concepts:
        for form in concept.forms:
            payload[form.entry].setdefault("concepts", {})[concept.name] = _parity(form.parity)
    payload |= {entry: {"error": why} for entry, why in written.failed.items()}
    failures = [f"not written: {entry}: {why}" for entry, why in written.failed.items()]
    console.result(
        payload,
        "\n".join(
            [
                console.table(columns, map(_row, entries)),
                *_concept_lines(written.manifest),
                *unchecked,
                *trade_offs,
                *failures,
                str(out),
            ]
        ),
    )
    if failures:
        raise typer.Exit(1)


def _summary(entry: Entry, out: Path) -> dict[str, Any]:
    point = entry.components[0].entry_point
    parity, delegation = entry.parity, entry.delegation
    return {
        "path": str(out if out.suffix == ".pgb" else out / point),
        "bytes": entry.bytes,
        "parity": _parity(parity),
        **({} if entry.unchecked is None else {"unchecked": entry.unchecked}),
        "delegated_fraction": None if delegation is None else delegation.delegated_fraction,
        "subgraphs": None if delegation is None else delegation.subgraphs,
        **({"trade_off": [trial.model_dump() for trial in entry.trade_off]} if entry.trade_off else {}),
    }


def _parity(parity: Parity | None) -> dict[str, Any] | None:
    if parity is None:
        return None
    return {**parity.model_dump(include={"psnr_db", "max_abs_error", "ssim"}), "passed": parity.passed}


def _concept_lines(manifest: Manifest) -> list[str]:
    """What a pack draws: the parity of every concept but the default, which is the entry's."""
    if not manifest.concepts:
        return []
    ids = [entry.id for entry in manifest.entries]
    rows = []
    for concept in manifest.concepts:
        forms = {form.entry: form for form in concept.forms}
        told = [_psnr(forms[one].parity) if one in forms else "as the entry" for one in ids]
        rows.append((concept.name, *told))
    return [console.table(("concept", *ids), rows)]


def _psnr(parity: Parity | None) -> str:
    if parity is None:
        return "not checked here"
    value = "exact" if parity.psnr_db is None else f"{parity.psnr_db:.1f} dB"
    return value if parity.passed else f"{value} FAILS"


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
    measured = (_psnr(parity), "-" if parity is None else f"{parity.max_abs_error:.2g}")
    delegated = (f"{delegation.delegated_fraction:.0%}", str(delegation.subgraphs)) if delegation else ("-", "-")
    return (entry.id, f"{entry.bytes:,}", *measured, *delegated)
