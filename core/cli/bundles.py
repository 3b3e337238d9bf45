"""`pocketgan bundle`: make, look into, check, sign and unpack the one file that goes into the app."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketgan import console
from pocketgan.cli.options import EntryId, Json, OutFile, OutFolder, parse_range

if TYPE_CHECKING:
    from pocketgan.bundle.manifest import Entry, Manifest
    from pocketgan.foreign.packing import Kind

bundle = typer.Typer(name="bundle", help="Pack, inspect, verify, sign and unpack bundles (.pgb).", no_args_is_help=True)

BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A .pgb file or an unpacked bundle.")]


@bundle.command()
def pack(
    out: OutFile,
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="manifest.json and the files that it lists.")
    ] = None,
    onnx: Annotated[Path | None, typer.Option("--onnx", help="An ONNX model that pocketgan did not make.")] = None,
    pte: Annotated[Path | None, typer.Option("--pte", help="An ExecuTorch program that it did not make.")] = None,
    mlpackage: Annotated[
        Path | None, typer.Option("--mlpackage", help="A Core ML package that it did not make.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Its name in reports; the file's if left out.")] = None,
    precision: Annotated[
        str, typer.Option("--precision", help="fp32, fp16, ...: models of one target and precision take turns.")
    ] = "fp32",
    input: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            help="Of an open input, channels x height x width, such as 3x256x256; of several, NAME=SHAPE for each.",
        ),
    ] = None,
    value_range: Annotated[
        str, typer.Option("--range", help="What black and white are to it, such as 0,1 or 0,255.")
    ] = "-1,1",
    json: Json = False,
) -> None:
    """Make a .pgb of a folder, or of a model from elsewhere.

    The golden outputs of such a model are computed here, by something else than its runtime where something else can.
    """
    from pocketgan.bundle.packing import pack_folder
    from pocketgan.errors import BundleError

    _start(json)
    models: dict[Kind, Path | None] = {"onnx": onnx, "pte": pte, "mlpackage": mlpackage}
    sources = [(kind, file) for kind, file in models.items() if file is not None]
    if len(sources) + (folder is not None) != 1:
        raise BundleError("pack takes one of FOLDER, --onnx, --pte and --mlpackage")
    if folder is not None:
        digest = pack_folder(folder, out)
    else:
        from pocketgan.bundle.naming import bundle_name
        from pocketgan.foreign.packing import pack_foreign

        kind, file = sources[0]
        shapes = _shapes(input or [])
        digest = pack_foreign(
            kind,
            file,
            out,
            name=bundle_name(name, file.stem),
            precision=precision,
            input_shape=shapes.pop("", None),
            named_shapes=shapes,
            value_range=parse_range(value_range),
        )
    size = out.stat().st_size
    console.result({"path": str(out), "digest": digest, "bytes": size}, f"{out}: {size:,} bytes, digest {digest}")


@bundle.command()
def inspect(path: BundlePath, json: Json = False) -> None:
    """Show what a bundle says of itself.

    The files' hashes are left to `verify`.
    """
    from pocketgan.bundle.manifest import added_bytes
    from pocketgan.bundle.reader import open_bundle
    from pocketgan.bundle.signature import signature_of

    _start(json)
    with open_bundle(path) as opened:
        state = signature_of(opened)
        manifest, digest = opened.manifest, opened.digest
    payload = {
        "path": str(path),
        "digest": digest,
        "signature": {"signed": state.signed, "public_key": state.public_key, "problem": state.problem},
        "entries": {entry.id: {"bytes": entry.bytes} for entry in manifest.entries},
        "concepts": {
            concept.name: {"text": concept.text, "bytes": added_bytes(manifest, concept.name)}
            for concept in manifest.concepts
        },
        "manifest": manifest.model_dump(mode="json"),
    }
    console.result(payload, "\n".join(_plain(line) for line in _summary(manifest, digest, str(state))))


@bundle.command()
def verify(
    path: BundlePath,
    public_key: Annotated[
        Path | None, typer.Option("--public-key", help="Ed25519 public key that the bundle must be signed with.")
    ] = None,
    json: Json = False,
) -> None:
    """Check every file, hash and the signature.

    Exit code 1 if anything is wrong.
    """
    from pocketgan.bundle.check import check
    from pocketgan.bundle.signature import read_public_key, verify_signature
    from pocketgan.errors import BundleError

    _start(json)
    if public_key:
        read_public_key(public_key)
    problems = check(path)
    if public_key:
        try:
            problem = verify_signature(path, public_key).problem
        except BundleError:
            problem = None  # it cannot be opened, and `check` has said why
        problems += [problem] if problem and problem not in problems else []
    text = "\n".join(_plain(f"problem: {problem}") for problem in problems) or "ok"
    console.result({"ok": not problems, "problems": problems}, text)
    if problems:
        raise typer.Exit(1)


@bundle.command()
def sign(
    path: BundlePath,
    key: Annotated[Path, typer.Option("--key", help="Ed25519 private key in PEM, without a password.")],
    json: Json = False,
) -> None:
    """Sign a bundle in place; its digest does not change."""
    from pocketgan.bundle.signature import sign as sign_bundle

    _start(json)
    state = sign_bundle(path, key)
    console.result({"path": str(path), "public_key": state.public_key}, f"{path}: signed by key {state.public_key}")


@bundle.command()
def unpack(
    path: BundlePath,
    out: OutFolder,
    entry: EntryId = None,
    concept: Annotated[
        str | None, typer.Option("--concept", help="Of a pack's entry: what this concept needs alone, such as ink.")
    ] = None,
    json: Json = False,
) -> None:
    """Write a bundle's files to a new folder.

    With --entry what that entry needs, which is not a whole bundle; with --concept what it needs to draw that one.
    """
    from pocketgan.bundle.packing import unpack as unpack_bundle

    _start(json)
    unpack_bundle(path, out, entry, concept)
    drawing = "" if concept is None else f" to draw {concept}"
    payload = {"out": str(out), "entry": entry, "concept": concept}
    console.result(payload, f"{out}: unpacked {entry or 'all entries'}{drawing}")


def _shapes(texts: list[str]) -> dict[str, tuple[int, ...]]:
    """Shapes by the inputs' names; one without a name by ""."""
    from pocketgan.errors import BundleError

    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _, shape = text.rpartition("=")
        if not re.fullmatch(r"[1-9]\d{0,5}(x[1-9]\d{0,5})*", shape):
            raise BundleError(f"--input is a shape such as 3x256x256, or NAME=SHAPE, not {text!r}")
        if name in shapes:
            raise BundleError(
                f"--input is given twice for {name or 'the first open input'}; name each input: NAME=SHAPE"
            )
        shapes[name] = tuple(int(size) for size in shape.split("x"))
    return shapes


def _start(json: bool) -> None:
    if json:
        console.use_json()


def _plain(line: str) -> str:
    """Without characters that a terminal would obey: manifests come from strangers."""
    return "".join(character if character.isprintable() else "?" for character in line)


def _summary(manifest: Manifest, digest: str, signature: str) -> list[str]:
    facts = [
        ("name", manifest.name),
        ("role", f"{manifest.role}, {'trained' if manifest.trained else 'untrained'}"),
        ("digest", digest),
        ("signature", signature),
        ("format", manifest.format_version),
    ]
    if manifest.cost:
        cost = manifest.cost
        facts.append(("cost", f"{cost.params:,} params, {cost.macs:,} MACs, {cost.macs_by_output:,} MACs by output"))
    if manifest.teacher:
        facts.append(("teacher", str(manifest.teacher)))
    if manifest.quality:
        facts.append(("quality", ", ".join(f"{name} {value:g}" for name, value in sorted(manifest.quality.items()))))
    for entry in manifest.entries:
        if entry.unchecked is not None:
            facts.append(("unchecked", f"{entry.id}, because {entry.unchecked}"))
    columns = ("entry", "bytes", "runtime", "parity", "max error", "delegated", "subgraphs")
    table = console.table(columns, [_row(manifest, entry) for entry in manifest.entries])
    lines = [*(f"{name:<10} {value}" for name, value in facts), "", *table.splitlines()]
    return [*lines, "", *_concept_table(manifest).splitlines()] if manifest.concepts else lines


def _concept_table(manifest: Manifest) -> str:
    """What a pack draws: a row a concept, and how near its source each entry draws it."""
    from pocketgan.bundle.manifest import added_bytes

    columns = ("concept", "text", *(f"bytes in {entry.id}" for entry in manifest.entries))
    columns = (*columns, *(f"parity in {entry.id}" for entry in manifest.entries))
    rows = []
    for concept in manifest.concepts:
        name = concept.name + (" (default)" if concept.name == manifest.default_concept else "")
        sizes = added_bytes(manifest, concept.name)
        drawn = [
            manifest.entry(entry.id, concept.name) if concept.name in manifest.concepts_of(entry.id) else None
            for entry in manifest.entries
        ]
        bytes_in = [f"{sizes[entry.id]:,}" if entry.id in sizes else "-" for entry in manifest.entries]
        rows.append(
            (name, concept.text, *bytes_in, *("-" if one is None else _parity(manifest, one)[0] for one in drawn))
        )
    return console.table(columns, rows)


def _row(manifest: Manifest, entry: Entry) -> tuple[Any, ...]:
    runtime = f"{entry.runtime} {entry.runtime_version}"
    measured, delegation = _parity(manifest, entry), entry.delegation
    delegated = (f"{delegation.delegated_fraction:.0%}", str(delegation.subgraphs)) if delegation else ("-", "-")
    return (entry.id, f"{entry.bytes:,}", runtime, *measured, *delegated)


def _parity(manifest: Manifest, entry: Entry) -> tuple[str, str]:
    """How near its source an entry is, and its largest error."""
    parity = entry.parity
    if parity is None:
        return ("not checked" if manifest.has_reference(entry) else "no independent reference", "-")
    value = "exact" if parity.psnr_db is None else f"{parity.psnr_db:.1f} dB"
    return (value if parity.passed else f"{value} FAILS", f"{parity.max_abs_error:.2g}")
