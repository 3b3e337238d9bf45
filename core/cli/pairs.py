"""`pocketgan pairs`: data sets of pairs, made offline, and a look at them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketgan import console
from pocketgan.cli.options import Json, output_file, output_folder, parse_range
from pocketgan.cli.painters import diffusion, editing_of, filters, given, numbers, workers_of
from pocketgan.errors import DataError

if TYPE_CHECKING:
    from pocketgan.training.data.concepts import Concept

pairs = typer.Typer(name="pairs", help="Data sets of pairs, made offline.", no_args_is_help=True)
# Options of one kind of teacher have no default here, so that telling them to another is noticed.
Steps = Annotated[int | None, typer.Option("--steps", min=1, help="diffusion: denoising steps; 20.")]
ImageGuidance = Annotated[
    float | None, typer.Option("--image-guidance", min=1, help="diffusion: how closely the photo is kept; 1.5.")
]
Guidance = Annotated[float | None, typer.Option("--guidance", help="diffusion: how closely the text is followed; 7.5.")]
Seeds = Annotated[
    str | None,
    typer.Option(
        "--seeds", metavar="N,...", help="diffusion: of the noise; the next one where a picture is dropped; 0."
    ),
]
DrawAt = Annotated[int | None, typer.Option("--draw-at", help="diffusion: side in pixels that it edits at; 512.")]
Batch = Annotated[int | None, typer.Option("--batch", min=1, help="diffusion: pictures at a time; 4.")]
LeastChange = Annotated[
    float | None,
    typer.Option("--least-change", help="diffusion: mean change of colour below which a picture is dropped."),
]
LeastStructure = Annotated[
    float | None, typer.Option("--least-structure", help="diffusion: agreement of edges below which it is dropped.")
]
LeastDirection = Annotated[
    float | None,
    typer.Option("--least-direction", help="diffusion, with --clip: CLIP's direction below which it is; 0."),
]


@pairs.callback()
def _pairs() -> None:
    """Data sets of pairs, made offline."""


@pairs.command("make")
def make(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="A folder of pictures.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            parser=output_folder("--out"),
            metavar="DIR",
            help="Folder to write, or to add concepts to; each concept in it appears whole or not at all.",
        ),
    ],
    concept: Annotated[
        list[str] | None,
        typer.Option(
            "--concept",
            metavar="NAME[=TEXT]",
            help="An effect of the filters (`pocketgan pairs list`) or `all`; of diffusion, a name and what to ask: "
            "winter='make it winter'. As often as you like. Of another teacher, what its effect shall be called; after "
            "the file if left out.",
        ),
    ] = None,
    teacher: Annotated[
        str,
        typer.Option(
            "--teacher",
            metavar="TEACHER",
            help="Who draws: filters, diffusion, FILE.onnx, FILE.pgb, FILE.safetensors or package.module:function.",
        ),
    ] = "filters",
    value_range: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="LOW,HIGH",
            help="What black and white are to an ONNX file or a function, such as 0,255; -1,1 is assumed, and doubted.",
        ),
    ] = None,
    size: Annotated[int, typer.Option("--size", help="Height and width of each picture, in pixels.")] = 256,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="DIR", help="diffusion: a folder of InstructPix2Pix in diffusers' layout, or a hub's id."
        ),
    ] = None,
    revision: Annotated[str | None, typer.Option("--revision", help="diffusion: of a hub's model.")] = None,
    steps: Steps = None,
    image_guidance: ImageGuidance = None,
    guidance: Guidance = None,
    seeds: Seeds = None,
    draw_at: DrawAt = None,
    batch: Batch = None,
    least_change: LeastChange = None,
    least_structure: LeastStructure = None,
    clip: Annotated[
        Path | None,
        typer.Option("--clip", metavar="DIR", help="diffusion: a CLIP model that judges the pictures, too."),
    ] = None,
    least_direction: LeastDirection = None,
    no_safety_checker: Annotated[
        bool, typer.Option("--no-safety-checker", help="diffusion: without the model's own.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Draw again what was drawn or begun with other settings.")
    ] = False,
    json: Json = False,
) -> None:
    """Make pairs: your photos (A), and what concepts make of them (B).

    OUT/CONCEPT is a data set, OUT/CONCEPT.yaml a recipe for it: `pocketgan run`. A killed call goes on where it was.
    """
    from pocketgan.pairs.making import make_concepts
    from pocketgan.pipeline.processes import is_first
    from pocketgan.recipe.units import parse_resolution

    console.use_quiet(not is_first())
    told = None if value_range is None else parse_range(value_range)
    try:
        parse_resolution(size)
    except ValueError as error:
        raise DataError(f"--size is a multiple of 4 from 32 to 4096, as networks take it, not {size}") from error
    of_diffusion = {
        "--model": model, "--revision": revision, "--steps": steps, "--image-guidance": image_guidance,
        "--guidance": guidance, "--seeds": seeds, "--draw-at": draw_at, "--batch": batch,
        "--least-change": least_change, "--least-structure": least_structure, "--clip": clip,
        "--least-direction": least_direction, "--no-safety-checker": no_safety_checker or None,
    }  # fmt: skip
    foreign = [option for option, value in of_diffusion.items() if value is not None]
    if foreign and teacher != "diffusion":
        raise DataError(f"{', '.join(foreign)} {'is' if len(foreign) == 1 else 'are'} for --teacher diffusion")
    with ExitStack() as stack:
        workers = workers_of(teacher)
        if teacher == "filters":
            wishes, painter_of = filters(concept or [], told)
        elif teacher == "diffusion":
            limits = {"change": least_change, "structure": least_structure, "direction": least_direction}
            editing = editing_of(
                limits, steps=steps, image_guidance=image_guidance, guidance=guidance, seeds=numbers(seeds),
                draw_at=draw_at, batch=batch, safety=not no_safety_checker,
            )  # fmt: skip
            wishes, painter_of = diffusion(concept or [], told, model, editing, revision, clip, workers)
        else:
            wishes, painter_of = given(concept or [], teacher, size, told, stack)
        made = make_concepts(images, out, wishes, painter_of, size, workers=workers, restart=restart)
    console.result(_payload(out, made, size), _text(out, made))


@pairs.command("list")
def effects(json: Json = False) -> None:
    """The effects of the filters, and what one would say to get each."""
    from pocketgan.training.teachers.filters import EFFECTS

    def sees(reach: float | None) -> str:
        return "set in pixels" if reach is None else "one pixel" if reach == 0 else f"{reach:.0%} of the side"

    payload = {name: {"text": effect.text, "reach": effect.reach} for name, effect in EFFECTS.items()}
    rows = [(name, effect.text, sees(effect.reach)) for name, effect in EFFECTS.items()]
    console.result({"effects": payload}, console.table(("effect", "text", "a pixel depends on"), rows))


@pairs.command("sheet")
def sheet(
    made: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `pairs make` wrote.")],
    out: Annotated[
        Path, typer.Option("--out", parser=output_file("--out"), metavar="FILE", help="Picture to write, .png or .jpg.")
    ],
    concept: Annotated[
        list[str] | None,
        typer.Option(
            "--concept", help="These alone; of one alone, what was kept and what was dropped, with its score."
        ),
    ] = None,
    photos: Annotated[int, typer.Option("--photos", min=1, help="How many photos.")] = 6,
    side: Annotated[int, typer.Option("--side", min=16, max=1024, help="Side of each on the sheet, in pixels.")] = 128,
    json: Json = False,
) -> None:
    """A contact sheet: what every concept makes of the same photos."""
    from pocketgan.pairs.sheet import write_sheet

    rows = write_sheet(made, out, concept, photos, side)
    console.result({"out": str(out), "rows": rows}, f"{out}: {rows} row{'s' * (rows != 1)} of pictures")


def _payload(out: Path, made: Sequence[Concept], size: int) -> dict[str, Any]:
    from pocketgan.training.data.concepts import read_set

    photos = read_set(out).photos
    only = made[0].record if len(made) == 1 else None
    counts = only.counts if only else {split: sum(p.split == split for p in photos) for split in ("train", "val")}
    origin = only.teacher.origin if only else None
    return {
        "out": str(out),
        "size": size,
        "train": counts["train"],
        "val": counts["val"],
        "direction": "AtoB",
        "data": str(made[0].folder) if only else None,
        "recipe": str(out / f"{only.name}.yaml") if only else None,
        "teacher": None if origin is None else origin.model_dump(),
        "concepts": [
            {
                "name": concept.record.name,
                "text": concept.record.text,
                "data": str(concept.folder),
                "recipe": str(out / f"{concept.record.name}.yaml"),
                **concept.record.counts,
                "dropped": concept.record.dropped,
                "digest": concept.record.digest,
            }
            for concept in made
        ],
    }


def _text(out: Path, made: Sequence[Concept]) -> str:
    lines = []
    for concept in made:
        record = concept.record
        dropped = ", ".join(f"{count} {why}" for why, count in record.dropped.items())
        lines.append(
            f"{record.counts['train']} training and {record.counts['val']} validation pairs in {concept.folder}: photo "
            f"(A), {record.name} (B)" + (f"; dropped: {dropped}" if dropped else "")
        )
    origin = made[0].record.teacher.origin
    if origin is not None:
        lines.append(f"drawn by {origin}")
    name = made[0].record.name
    recipe = out / f"{name}.yaml"
    lines.append(f"{recipe} trains from photo to {name} (direction AtoB): pocketgan run {shlex.quote(str(recipe))}")
    sheet_of = f" --concept {name}" if any(one.record.dropped for one in made) else ""
    lines.append(f"look at them: pocketgan pairs sheet {shlex.quote(str(out))}{sheet_of} --out sheet.png")
    return "\n".join(lines)
