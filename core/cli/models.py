"""Commands about networks: their cost, the search, and weights of public projects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketgan import console
from pocketgan.cli.options import Json, OutFile
from pocketgan.errors import ModelError, require

if TYPE_CHECKING:
    from torch import nn

    from pocketgan.bundle.manifest import Cost
    from pocketgan.training.generators import GeneratorSpec

# Written out: importing the generators takes longer than `--help` may. A test compares.
NAMES = (
    "resnet6, resnet9, resnet9-bn, unet128, unet256, mobile-resnet9, pix2pixhd, pix2pixhd-local, gaugan, incres9, "
    "incres-spade, e2gan"
)
Generator = Annotated[
    str,
    typer.Argument(metavar="GENERATOR_OR_FILE", help=f"{NAMES}, a .safetensors file, or package.module:function."),
]
Input = Annotated[str | None, typer.Option("--input", metavar="CxHxW", help="Input size such as 3x256x256.")]
NormOption = Annotated[
    str | None,
    typer.Option("--norm", help="batch, batch-plain, instance or instance-affine; the paper's where absent."),
]
Ngf = Annotated[int | None, typer.Option("--ngf", help="Channels of the first layer; the paper's where absent.")]


def cost(
    model: Generator,
    size: Input = None,
    ngf: Ngf = None,
    norm: NormOption = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="One row per layer.")] = False,
    json: Json = False,
) -> None:
    """Parameters and MACs of a generator, true and as papers count them."""
    from pocketgan.training.cost import cost as cost_of
    from pocketgan.training.cost import cost_by_layer
    from pocketgan.training.generators import check

    if ":" in model and not Path(model).exists():
        _cost_of_own(model, size)
        return
    spec = _spec(model, size, ngf, norm)
    check(spec)
    total = cost_of(spec)
    rows = cost_by_layer(spec) if verbose else []
    payload = {
        **total.model_dump(),
        "input": [spec.input_channels, spec.height, spec.width],
        **(
            {
                "layers": [
                    {"name": r.layer.name, "params": r.params, "macs": r.macs, "macs_by_output": r.macs_by_output}
                    for r in rows
                ]
            }
            if verbose
            else {}
        ),
    }
    lines = [
        _total(total),
        f"at batch 1, input {spec.input_channels}x{spec.height}x{spec.width}",
    ]
    if verbose:
        cells = [(r.layer.name, r.params, f"{r.macs / 1e6:.2f}", f"{r.macs_by_output / 1e6:.2f}") for r in rows]
        lines = [console.table(["layer", "params", "MACs (M)", "by output (M)"], cells), "", *lines]
    console.result(payload, "\n".join(lines))


def _cost_of_own(function: str, size: str | None) -> None:
    """Cost of the module that `package.module:function` returns, measured; there are no layers to list."""
    require("train", "torch", "safetensors")
    from pocketgan.training.generators.own import call_function, measured_cost

    if size is None:
        raise ModelError(f"{function} needs its input's shape: --input 3x256x256")
    shape = _parse_size(size)
    total = measured_cost(call_function(function), shape)
    console.result(
        {**total.model_dump(), "input": list(shape)},
        f"{_total(total)}\nat batch 1, input {size}; counted while it ran; FFTs and recurrent cells count nothing",
    )


def _total(total: Cost) -> str:
    return "\n".join(
        [
            f"params          {total.params / 1e6:10.3f} M",
            f"MACs            {total.macs / 1e9:10.3f} G   executed",
            f"MACs by output  {total.macs_by_output / 1e9:10.3f} G   as papers count transposed convolutions",
        ]
    )


def search(
    teacher: Annotated[
        str, typer.Argument(metavar="TEACHER", help="A model file, or a generator name (fresh, seeded).")
    ],
    budget: Annotated[str, typer.Option("--budget", help="Largest cost of the student, such as 2.6G or 12ms.")],
    out: OutFile,
    by: Annotated[
        str, typer.Option("--by", help="macs_by_output (the papers' count), macs, params or latency.")
    ] = "macs_by_output",
    target: Annotated[
        str | None,
        typer.Option("--target", help="Suit the student to this exported form on this device, such as onnx."),
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of the target's runtime.")] = 1,
    widths: Annotated[
        str | None,
        typer.Option("--widths", help="Multiples of 1, 4, 8 or 16, or auto: what pays on the target (its default)."),
    ] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Time the device's layers again.")] = False,
    least_width: Annotated[
        int, typer.Option("--least-width", help="Channels that layers outside the blocks keep.")
    ] = 16,
    size: Input = None,
    ngf: Ngf = None,
    norm: NormOption = None,
    seed: int = 0,
    inherit: Annotated[bool, typer.Option("--inherit", help="Keep the teacher's surviving weights.")] = False,
    json: Json = False,
) -> None:
    """One-step search: prune a teacher to a budget. Writes the student with fresh weights, ready to be distilled."""
    from pocketgan.latency.search import Wish, find_student, parse_budget
    from pocketgan.training import removal
    from pocketgan.training.cost import cost as cost_of
    from pocketgan.training.generators import build
    from pocketgan.training.generators.files import load_generator, save_generator

    limit = parse_budget(budget, by)
    wish = Wish(by, limit, least_width, widths, target, threads, refresh)
    spec = _spec(teacher, size, ngf, norm)
    module: nn.Module = load_generator(Path(teacher)).module if Path(teacher).is_file() else build(spec, seed)
    answer = find_student(module, spec, wish)
    found = answer.result
    student_module = removal.inherit(module, spec, found.spec) if inherit else build(found.spec, seed)
    save_generator(out, student_module, found.spec, {"trained": "no"})
    student, before = cost_of(found.spec), cost_of(spec)
    payload = {
        **student.model_dump(),
        "budget": limit,
        "by": by,
        "seconds": found.seconds,
        "evaluations": found.evaluations,
        "rule": found.rule,
        "predicted_ms": answer.predicted_ms,
        "measured_ms": answer.measured_ms,
        "path": str(out),
    }
    notes = []
    if answer.predicted_ms is not None and answer.measured_ms is not None:
        notes.append(
            f"{target}, {threads} thread{'s' if threads > 1 else ''}: {answer.predicted_ms:.2f} ms predicted, "
            f"{answer.measured_ms:.2f} ms measured"
        )
    if found.rule:
        notes.append(f"chosen: {found.rule}")
    text = "\n".join(
        [
            console.table(
                ["", "teacher", "student", "times fewer"],
                [
                    (name, f"{a / 1e6:,.2f} M", f"{b / 1e6:,.2f} M", f"{a / b:.1f}")
                    for name, a, b in (
                        ("params", before.params, student.params),
                        ("MACs", before.macs, student.macs),
                        ("MACs by output", before.macs_by_output, student.macs_by_output),
                    )
                ],
            ),
            *notes,
            f"found in {found.seconds * 1e3:.0f} ms with {found.evaluations} evaluations; written to {out}",
        ]
    )
    console.result(payload, text)


def import_checkpoint(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Weights of a public project: .pth or .safetensors.")],
    family: Annotated[
        str,
        typer.Option("--family", help="resnet6, resnet9, unet128, unet256, pix2pixhd, pix2pixhd-local or gaugan."),
    ],
    out: OutFile,
    size: Input = None,
    levels: Annotated[
        int | None, typer.Option("--levels", min=5, max=6, help="gaugan: 6 doublings (`more`) or 5 (`normal`).")
    ] = None,
    json: Json = False,
) -> None:
    """Read weights of the pix2pix/CycleGAN, pix2pixHD and SPADE projects. Writes a model file."""
    require("train", "torch", "safetensors")
    from pocketgan.training.cost import cost as cost_of
    from pocketgan.training.generators.files import save_generator
    from pocketgan.training.reference import import_checkpoint as read

    if levels is not None and family != "gaugan":
        raise ModelError(f"--levels goes with gaugan; the shapes of {family} tell theirs")
    channels, *pixels = _parse_size(size) if size else (None,)
    imported = read(file, family, (pixels[0], pixels[1]) if pixels else None, levels)
    spec = imported.spec
    if channels not in (None, spec.input_channels):
        raise ModelError(f"{file} takes {spec.input_channels} input channels, --input says {channels}")
    save_generator(out, imported.module, spec, {"trained": "yes"})
    total = cost_of(spec)
    shape = [spec.input_channels, spec.height, spec.width]
    payload = {**total.model_dump(), "path": str(out), "input": shape, "norm": spec.norm, "ignored": imported.ignored}
    text = (
        f"{family}, {total.params / 1e6:.2f} M parameters, norm {spec.norm}, input {'x'.join(map(str, shape))}; "
        f"written to {out}"
    )
    if imported.ignored:
        text += f"\nleft out: {len(imported.ignored)} statistics of norms that keep none, such as {imported.ignored[0]}"
    console.result(payload, text)


def _spec(model: str, size: str | None, ngf: int | None, norm: str | None) -> GeneratorSpec:
    """The spec of a model file or a generator name, at the wanted input size."""
    require("train", "torch", "safetensors")
    from pocketgan.training.generators import spec_by_name
    from pocketgan.training.generators.files import read_spec
    from pocketgan.training.generators.spec import NORMS

    channels, height, width = _parse_size(size) if size else (None, None, None)
    if Path(model).suffix == ".safetensors":
        if ngf is not None or norm is not None:
            raise ModelError(f"--ngf and --norm go with a generator name; {model} has its own widths and norm")
        spec = read_spec(Path(model))
        if channels not in (None, spec.input_channels):
            raise ModelError(f"{model} takes {spec.input_channels} input channels, --input says {channels}")
        return spec.at(height or spec.height, width or spec.width)
    if norm is not None and norm not in NORMS:
        raise ModelError(f"--norm takes {', '.join(NORMS)}, not {norm!r}")
    return spec_by_name(model, ngf=ngf, norm=norm, height=height, width=width, input_channels=channels)


def _parse_size(size: str) -> tuple[int, int, int]:
    """`3x256x256` -> (3, 256, 256)."""
    parts = size.lower().split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) for part in parts):
        raise ModelError(f"--input takes channels x height x width such as 3x256x256, not {size!r}")
    channels, height, width = map(int, parts)
    return channels, height, width
