"""Commands about networks: their cost, the search, and weights of public projects."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketgan import console
from pocketgan.cli.options import Json, OutFile
from pocketgan.errors import ModelError, require
from pocketgan.targets import TIMED

if TYPE_CHECKING:
    from pocketgan.latency.search import SearchedStudent
    from pocketgan.models import ModelCost

# Written out: importing the generators takes longer than `--help` may. A test compares.
NAMES = (
    "resnet6, resnet9, resnet9-bn, unet128, unet256, mobile-resnet9, pix2pixhd, pix2pixhd-local, gaugan, incres9, "
    "incres-spade, e2gan, e2gan-mobile"
)
Generator = Annotated[
    str,
    typer.Argument(
        metavar="GENERATOR_OR_FILE",
        help=f"{NAMES}, a .safetensors file, package.module:function, an .onnx file or a .pgb bundle.",
    ),
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
    """Parameters and MACs of a generator.

    MACs are true ones, and as papers count them.
    """
    from pocketgan import api

    answer = api.cost(model, input=size_of(size), ngf=ngf, norm=norm)
    payload: dict[str, Any] = {**answer.total.model_dump(), "input": list(answer.input)}
    payload |= {"uncounted": dict(answer.uncounted)} if answer.uncounted else {}
    lines = [*_total(answer), f"at batch 1, input {'x'.join(map(str, answer.input))}"]
    if answer.how:
        lines[-1] += f"; {answer.how}"
    elif verbose:
        payload["layers"] = [
            {"name": row.layer.name, "params": row.params, "macs": row.macs, "macs_by_output": row.macs_by_output}
            for row in answer.layers
        ]
        cells = [
            (r.layer.name, r.params, f"{r.macs / 1e6:.2f}", f"{r.macs_by_output / 1e6:.2f}") for r in answer.layers
        ]
        lines = [console.table(["layer", "params", "MACs (M)", "by output (M)"], cells), "", *lines]
    console.result(payload, "\n".join(lines))


def _total(cost: ModelCost) -> list[str]:
    return [
        f"params          {cost.params / 1e6:10.3f} M",
        f"MACs            {cost.macs / 1e9:10.3f} G   executed",
        f"MACs by output  {cost.macs_by_output / 1e9:10.3f} G   as papers count transposed convolutions",
    ]


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
        typer.Option("--target", help=f"Suit the student to this exported form on this device: {' or '.join(TIMED)}."),
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
    from pocketgan import api

    student = api.search(
        teacher,
        budget,
        out=out,
        by=by,
        target=target,
        threads=threads,
        widths=widths,
        least_width=least_width,
        input=size_of(size),
        ngf=ngf,
        norm=norm,
        seed=seed,
        inherit=inherit,
        refresh=refresh,
    )
    payload = {
        **student.cost.model_dump(),
        "budget": student.budget,
        "by": by,
        "seconds": student.seconds,
        "evaluations": student.evaluations,
        "rule": student.rule,
        "predicted_ms": student.predicted_ms,
        "measured_ms": student.measured_ms,
        "path": str(out),
    }
    console.result(payload, _search_text(student, target, threads))


def _search_text(student: SearchedStudent, target: str | None, threads: int) -> str:
    before, after = student.teacher_cost, student.cost
    rows = [
        (name, f"{a / 1e6:,.2f} M", f"{b / 1e6:,.2f} M", f"{a / b:.1f}")
        for name, a, b in (
            ("params", before.params, after.params),
            ("MACs", before.macs, after.macs),
            ("MACs by output", before.macs_by_output, after.macs_by_output),
        )
    ]
    lines = [console.table(["", "teacher", "student", "times fewer"], rows)]
    if student.predicted_ms is not None and student.measured_ms is not None:
        lines.append(
            f"{target}, {threads} thread{'s' if threads > 1 else ''}: {student.predicted_ms:.2f} ms predicted, "
            f"{student.measured_ms:.2f} ms measured"
        )
    if student.rule:
        lines.append(f"chosen: {student.rule}")
    took = f"found in {student.seconds * 1e3:.0f} ms with {student.evaluations} evaluations"
    return "\n".join([*lines, f"{took}; written to {student.path}"])


def import_checkpoint(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Weights of a public project: .pth or .safetensors.")],
    family: Annotated[
        str,
        typer.Option(
            "--family",
            help="resnet6, resnet9, unet128, unet256, mobile-resnet9, pix2pixhd, pix2pixhd-local, gaugan, incres9 or "
            "incres-spade.",
        ),
    ],
    out: OutFile,
    size: Input = None,
    levels: Annotated[
        int | None,
        typer.Option("--levels", min=5, max=6, help="gaugan, incres-spade: 6 doublings (`more`) or 5 (`normal`)."),
    ] = None,
    member: Annotated[
        str | None,
        typer.Option(
            "--channels",
            help="mobile-resnet9: the member of a supernet, such as 32_32_48_32_48_48_16_16; the largest where absent.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Read weights of public projects.

    Those of pix2pix and CycleGAN, pix2pixHD, SPADE, CAT, GAN Compression and OMGD, teachers and students. Writes a
    model file.
    """
    require("train", "torch", "safetensors")
    from pocketgan.training.cost import cost as cost_of
    from pocketgan.training.generators.files import save_generator
    from pocketgan.training.reference import import_checkpoint as read

    if levels is not None and family not in ("gaugan", "incres-spade"):
        raise ModelError(f"--levels goes with gaugan and incres-spade; the shapes of {family} tell theirs")
    if member is not None and not re.fullmatch(r"\d{1,5}(_\d{1,5})*", member):
        raise ModelError(f"--channels are whole numbers such as 32_32_48_32_48_48_16_16, not {member}")
    of_member = None if member is None else [int(number) for number in member.split("_")]
    channels, *pixels = size_of(size) or (None,)
    imported = read(file, family, (pixels[0], pixels[1]) if pixels else None, levels, of_member)
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
        count = len(imported.ignored)
        text += f"\nleft out: {count} entries that its network never uses, such as {imported.ignored[0]}"
    console.result(payload, text)


def size_of(text: str | None) -> tuple[int, int, int] | None:
    """`--input 3x256x256` -> (3, 256, 256), None where it is not given."""
    from pocketgan.export.source import parse_shape

    return None if text is None else parse_shape(text)
