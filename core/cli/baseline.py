"""`pocketgan baseline`: bundles of what would be shipped otherwise, to stand on the same chart."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from pocketgan import console
from pocketgan.cli.options import Json, output_file

baseline = typer.Typer(name="baseline", help="Bundles of what you would ship otherwise.", no_args_is_help=True)
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        parser=output_file("--out"),
        metavar="FILE",
        help="Bundle to write (.pgb); it appears whole or not at all.",
    ),
]


@baseline.command()
def unpruned(
    out: Out,
    family: Annotated[
        str, typer.Option("--family", help="resnet9, unet256, gaugan or another generator, at its paper's size.")
    ] = "resnet9",
    target: Annotated[str, typer.Option("--target", help="Comma-separated, as for `pocketgan export`.")] = "onnx",
    precision: Annotated[str | None, typer.Option("--precision", help="Comma-separated; each target's own.")] = None,
    input: Annotated[str | None, typer.Option("--input", help="Another input size, such as 3x256x256.")] = None,
    json: Json = False,
) -> None:
    """The full generator of a paper, fresh.

    It is what its pruned student is to be faster than.
    """
    from pocketgan.cli.models_export import export
    from pocketgan.errors import ModelError, require

    require("export", "torch", "safetensors")
    from pocketgan.training.generators import NAMES

    if json:
        console.use_json()
    if family not in NAMES:
        raise ModelError(f"there is no generator {family!r}; there are {', '.join(NAMES)}")
    _must_be_a_bundle(out)
    export(family, target, out, precision, input=input, name=f"unpruned-{family}", json=json)


@baseline.command()
def diffusion(
    out: Out,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Denoising steps of an edit.")] = 20,
    guidance: Annotated[
        bool, typer.Option("--guidance/--no-guidance", help="Three passes a step, as InstructPix2Pix does, or one.")
    ] = True,
    one_step: Annotated[
        bool, typer.Option("--one-step", help="A distilled editor: one step without guidance, the strongest rival.")
    ] = False,
    size: Annotated[int, typer.Option("--size", help="Side of its pictures in pixels.")] = 256,
    weights: Annotated[
        str | None,
        typer.Option("--weights", help="Local folder in diffusers' layout, or a hub's id; random weights if left out."),
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="fp32 or fp16.")] = "fp32",
    json: Json = False,
) -> None:
    """An editor of Stable Diffusion 1.5's size.

    InstructPix2Pix, in ONNX, component by component.
    """
    from pocketgan.bundle.packing import pack_folder
    from pocketgan.errors import require

    if json:
        console.use_json()
    require("diffusion", "torch", "diffusers", "transformers")
    _must_be_a_bundle(out)
    from pocketgan.export.baselines import diffusion_bundle
    from pocketgan.export.diffusion import GUIDANCE_PASSES, Editor

    if one_step:
        steps, guidance = 1, False
    editor = Editor(size, steps, GUIDANCE_PASSES if guidance else 1, weights)
    name = f"diffusion-{steps}-step{'s' * (steps > 1)}"
    # Beside the bundle: it takes as much room again, which temporary folders often do not have.
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
        manifest = diffusion_bundle(editor, Path(folder) / "bundle", name, precision)
        digest = pack_folder(Path(folder) / "bundle", out)
    components = {
        one.name: {"repeat": one.repeat, "bytes": sum(file.bytes for file in one.files)}
        for one in manifest.entries[0].components
    }
    parity = manifest.entries[0].parity
    payload = {
        "bundle": str(out),
        "digest": digest,
        "steps": steps,
        "guidance_passes": editor.guidance_passes,
        "weights": weights or "random",
        "components": components,
        "parity_psnr_db": parity.psnr_db if parity else None,
    }
    rows = [(name, one["repeat"], f"{one['bytes'] / 1e6:,.0f}") for name, one in components.items()]
    table = console.table(("component", "runs an edit", "MB"), rows)
    console.result(payload, f"{table}\n\n{out}: {out.stat().st_size / 1e6:,.0f} MB, weights: {weights or 'random'}")


def _must_be_a_bundle(out: Path) -> None:
    from pocketgan.errors import ExportError

    if out.suffix != ".pgb":
        raise ExportError(f"--out is a bundle file such as {out.stem or 'baseline'}.pgb, not {out}")
